import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ApplicationFailure } from '@temporalio/common';
import { WorkflowFailedError } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker, type WorkflowBundle } from '@temporalio/worker';
import type { NotificationActivities } from '../../src/activities/notifications.ts';
import { deliveryRetry, deliveryWorkflowId, taskQueues } from '../../src/workflows/contract.ts';
import { createDeliveryStarter } from '../../src/temporal/deliveries.ts';
import { bundleWorkflows, startTemporal } from '../support/temporal.ts';
import { waitFor } from '../support/wait.ts';

let env: TestWorkflowEnvironment;
let workflowBundle: WorkflowBundle;

beforeAll(async () => {
  [env, workflowBundle] = await Promise.all([startTemporal(), bundleWorkflows()]);
}, 60_000);

afterAll(() => env.teardown());

/** Runs `use` with a delivery that was started while workers serve both queues; returns the activities' calls. */
async function deliver(
  sendMail: NotificationActivities['sendMail'],
  use: (deliveryId: string) => Promise<void>,
  markFailed: NotificationActivities['markFailed'] = async () => undefined,
): Promise<string[]> {
  const calls: string[] = [];
  const activities: NotificationActivities = {
    async sendMail(input) {
      calls.push('sendMail');
      await sendMail(input);
    },
    async markFailed(input) {
      calls.push('markFailed');
      await markFailed(input);
    },
  };
  const common = { connection: env.nativeConnection, shutdownForceTime: '2s' } as const;
  const submissions = await Worker.create({ ...common, taskQueue: taskQueues.submissions, workflowBundle });
  const notifications = await Worker.create({ ...common, taskQueue: taskQueues.notifications, activities });
  const deliveryId = randomUUID();
  const start = async () => {
    await createDeliveryStarter(env.client)({ id: deliveryId, workflowRunNo: 1 });
    await use(deliveryId);
  };
  await submissions.runUntil(notifications.runUntil(start()));
  return calls;
}

const handleOf = (deliveryId: string, runNo = 1) => env.client.workflow.getHandle(deliveryWorkflowId(deliveryId, runNo));
const statusOf = async (deliveryId: string) => (await handleOf(deliveryId).describe()).status.name;

describe('a delivery', () => {
  it('is done when the mail is handed over', async () => {
    const calls = await deliver(
      async () => undefined,
      (id) => handleOf(id).result(),
    );
    expect(calls).toEqual(['sendMail']);
  });

  it('that the server refuses for good is given up at once; its workflow completes', async () => {
    let status = '';
    const calls = await deliver(
      () => Promise.reject(ApplicationFailure.nonRetryable('RCPT TO: 550', 'MailRefused')),
      async (id) => {
        await handleOf(id).result();
        status = await statusOf(id);
      },
    );
    expect(calls).toEqual(['sendMail', 'markFailed']);
    expect(status).toBe('COMPLETED');
  });

  it('that fails now is tried again', async () => {
    let tries = 0;
    const calls = await deliver(
      async () => {
        tries += 1;
        if (tries < 2) throw new Error('451');
      },
      (id) => handleOf(id).result(),
    );
    expect(calls).toEqual(['sendMail', 'sendMail']);
  });

  it('notes that it is given up until that is written', async () => {
    let notes = 0;
    const calls = await deliver(
      () => Promise.reject(ApplicationFailure.nonRetryable('550', 'MailRefused')),
      (id) => handleOf(id).result(),
      async () => {
        notes += 1;
        if (notes < 2) throw new Error('the database is away');
      },
    );
    expect(calls).toEqual(['sendMail', 'markFailed', 'markFailed']);
  });

  it('that an admin cancels in Temporal is given up as well', async () => {
    const calls = await deliver(
      () => Promise.reject(new Error('421')),
      async (id) => {
        await waitFor('a first try', async () => {
          const { raw } = await handleOf(id).describe();
          return (raw.pendingActivities ?? []).some(({ attempt }) => (attempt ?? 0) > 1) ? true : null;
        });
        await handleOf(id).cancel();
        await expect(handleOf(id).result()).rejects.toBeInstanceOf(WorkflowFailedError);
        expect(await statusOf(id)).toBe('CANCELLED');
      },
    );
    expect(calls).toEqual(['sendMail', 'markFailed']);
  });

  it('is started once, and once more under the next number', async () => {
    const start = createDeliveryStarter(env.client);
    const calls = await deliver(
      async () => undefined,
      async (id) => {
        await handleOf(id).result();
        await start({ id, workflowRunNo: 1 });
        await start({ id, workflowRunNo: 2 });
        await handleOf(id, 2).result();
      },
    );
    expect(calls).toEqual(['sendMail', 'sendMail']);
  });
});

/** When tries begin, where each fails at once: milliseconds after the first. */
function triesUntil(endMs: number): number[] {
  const { initialInterval, backoffCoefficient, maximumInterval } = deliveryRetry.policy;
  const tries: number[] = [];
  for (
    let atMs = 0, waitMs: number = initialInterval;
    atMs < endMs;
    waitMs = Math.min(waitMs * backoffCoefficient, maximumInterval)
  ) {
    tries.push(atMs);
    atMs += waitMs;
  }
  return tries;
}

describe('how long a mail is tried', () => {
  const minuteMs = 60_000;

  it('a server that is away for ten minutes gets each mail, at most ten minutes after it is back', () => {
    const tries = triesUntil(deliveryRetry.giveUpAfterMs);
    // However much of the outage is left when a mail is tried first.
    for (let leftMs = 0; leftMs <= 10 * minuteMs; leftMs += 1_000) {
      const first = tries.find((atMs) => atMs >= leftMs) ?? Number.POSITIVE_INFINITY;
      expect(first - leftMs).toBeLessThanOrEqual(10 * minuteMs);
    }
    // And it is not overrun while it is away: some tries a mail.
    expect(tries.filter((atMs) => atMs < 10 * minuteMs).length).toBeLessThanOrEqual(10);
  });

  it('greylisting of five minutes delays a mail by less than ten', () => {
    expect(triesUntil(deliveryRetry.giveUpAfterMs).find((atMs) => atMs >= 5 * minuteMs)).toBeLessThan(10 * minuteMs);
  });

  it('a day has tries to its end, and not so many that a history grows', () => {
    const tries = triesUntil(deliveryRetry.giveUpAfterMs);
    expect(deliveryRetry.giveUpAfterMs - (tries.at(-1) ?? 0)).toBeLessThanOrEqual(10 * minuteMs);
    expect(tries.length).toBeLessThan(200);
  });
});
