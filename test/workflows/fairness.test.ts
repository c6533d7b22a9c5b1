import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { activityInfo, heartbeat } from '@temporalio/activity';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker, type WorkflowBundle } from '@temporalio/worker';
import { fairnessSettings, prioritySettings } from '../../src/embedded/temporal.ts';
import { createTemporalClient, type TemporalClient } from '../../src/temporal/client.ts';
import { createSubmissionWorkflows } from '../../src/temporal/submissions.ts';
import { createTrialWorkflows } from '../../src/temporal/trial-runs.ts';
import { taskQueues } from '../../src/workflows/contract.ts';
import { bundleWorkflows, startTemporal } from '../support/temporal.ts';
import { waitFor } from '../support/wait.ts';
import { createFakeActivities } from './support.ts';

/** With one queue in place of four, between which there is no order. */
const onePartition = ['Read', 'Write'].map((side) => `matching.numTaskqueue${side}Partitions=1`);

/** Some seconds on an idle machine. */
const timeoutMs = 180_000;

let workflowBundle: WorkflowBundle;

beforeAll(async () => {
  workflowBundle = await bundleWorkflows();
}, timeoutMs);

/** A server with these settings, the product's starters, and a judge with one place that a test holds. */
function useQueue(settings: readonly string[]) {
  let env: TestWorkflowEnvironment;
  let client: TemporalClient;

  beforeAll(async () => {
    env = await startTemporal(undefined, [...settings, ...onePartition]);
    client = createTemporalClient(env.address, 'default');
  }, timeoutMs);
  afterAll(async () => {
    await client.connection.close();
    await env.teardown();
  });

  /** Tasks that wait for the judge. */
  async function waiting(): Promise<number> {
    const { stats } = await client.workflowService.describeTaskQueue({
      namespace: 'default',
      taskQueue: { name: taskQueues.judging },
      taskQueueType: 2,
      reportStats: true,
    });
    return Number(stats?.approximateBacklogCount ?? 0);
  }

  const submit = (studentId: string) => {
    const id = randomUUID();
    const about = { taskId: randomUUID(), exerciseId: randomUUID(), attemptNo: 1 };
    return createSubmissionWorkflows(client).start({ id, workflowId: `submission-${studentId}/${id}`, studentId, ...about });
  };
  const tryOut = (userId: string) => createTrialWorkflows(client).start({ runId: `${userId}/${randomUUID()}`, userId });

  /** Whose work the judge took, in its order: while it is busy with the first one, `first` fills the queue, then `then` comes. */
  async function order(first: readonly (() => Promise<void>)[], then: readonly (() => Promise<void>)[]): Promise<string[]> {
    const taken: string[] = [];
    const gate = Promise.withResolvers<void>();
    const take = async (whose: string) => {
      taken.push(whose);
      const beat = setInterval(() => heartbeat(), 1_000);
      await gate.promise.finally(() => clearInterval(beat));
    };
    const common = { connection: env.nativeConnection, namespace: 'default' };
    const { judgeSubmission: _, ...rest } = createFakeActivities().activities;
    const submissions = await Worker.create({
      ...common,
      taskQueue: taskQueues.submissions,
      workflowBundle,
      activities: { ...rest, failTrialRun: async () => undefined },
    });
    const whose = () => /^(?:submission|run)-(.*)\//.exec(activityInfo().workflowExecution?.workflowId ?? '')?.[1] ?? '';
    const judging = await Worker.create({
      ...common,
      taskQueue: taskQueues.judging,
      maxConcurrentActivityTaskExecutions: 1,
      maxConcurrentActivityTaskPolls: 1,
      activities: {
        judgeSubmission: async () => {
          await take(whose());
          return { status: 'source-unavailable' };
        },
        makeTrialRun: () => take(whose()),
      },
    });
    await submissions.runUntil(
      judging.runUntil(async () => {
        await Promise.all(first.map((start) => start()));
        await waitFor('the first in the queue', async () => ((await waiting()) >= first.length - 1 ? true : null), timeoutMs);
        await Promise.all(then.map((start) => start()));
        const all = first.length + then.length;
        await waitFor('all in the queue', async () => ((await waiting()) >= all - 1 ? true : null), timeoutMs);
        gate.resolve();
        await waitFor('all to be judged', async () => (taken.length === all ? true : null), timeoutMs);
      }),
    );
    return taken;
  }

  return { submit, tryOut, order };
}

const times = (count: number, start: () => Promise<void>) => Array.from({ length: count }, () => start);

/**
 * The first was under way when it came, the server may have read one ahead, and its count of what waits, by which the queue is known to be
 * full, is approximate: one or two of the flood may be taken before the last has arrived. In the order of submitting it would be the last.
 */
const amongTheNext = 5;

describe('where the server has fairness, students take turns', () => {
  const queue = useQueue([...prioritySettings, ...fairnessSettings]);

  it(
    'one submission beside a flood is judged among the next',
    async () => {
      const taken = await queue.order(
        times(40, () => queue.submit('many')),
        [() => queue.submit('one')],
      );
      expect(taken).toHaveLength(41);
      expect(taken.indexOf('one')).toBeGreaterThan(0);
      expect(taken.indexOf('one')).toBeLessThanOrEqual(amongTheNext);
    },
    timeoutMs,
  );

  it(
    'fifty students are judged before the flood goes on',
    async () => {
      const others = Array.from({ length: 50 }, (_, index) => `student ${index}`);
      const taken = await queue.order(
        times(15, () => queue.submit('many')),
        others.map((student) => () => queue.submit(student)),
      );
      const last = Math.max(...others.map((student) => taken.indexOf(student)));
      expect(last).toBeLessThanOrEqual(others.length + 2);
    },
    timeoutMs,
  );

  it(
    'so it is with code that is tried',
    async () => {
      const taken = await queue.order(
        times(15, () => queue.tryOut('many')),
        [() => queue.tryOut('one')],
      );
      expect(taken.indexOf('one')).toBeGreaterThan(0);
      expect(taken.indexOf('one')).toBeLessThanOrEqual(amongTheNext);
    },
    timeoutMs,
  );
});

describe('where it has not, they come in the order of submitting', () => {
  const queue = useQueue(prioritySettings);

  it(
    'one submission beside a flood is judged last',
    async () => {
      const taken = await queue.order(
        times(15, () => queue.submit('many')),
        [() => queue.submit('one')],
      );
      expect(taken.indexOf('one')).toBe(15);
    },
    timeoutMs,
  );
});

it('the server of compose has the same settings', async () => {
  const yaml = await readFile(join(import.meta.dirname, '../../deploy/temporal/dynamic-config.yaml'), 'utf8');
  for (const setting of [...prioritySettings, ...fairnessSettings]) {
    const [name, value] = setting.split('=');
    expect(yaml).toContain(`${name}:\n  - value: ${value}\n`);
  }
});
