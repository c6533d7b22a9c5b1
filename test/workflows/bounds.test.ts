import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import {
  checksStarted,
  claimReview,
  decideReview,
  overrideRequested,
  parkedResolved,
  releaseReview,
  reviewDecided,
} from '../../src/workflows/contract.ts';
import {
  claimOf,
  createFakeActivities,
  decisionOf,
  type Handle,
  refusalType,
  releaseOf,
  startSubmission,
  waitForStage,
  withWorkers,
  useTemporal,
} from './support.ts';

const temporal = useTemporal();

async function historyOf(handle: Handle): Promise<{ events: number; bytes: number }> {
  const history = await handle.fetchHistory();
  return { events: history.events?.length ?? 0, bytes: Buffer.byteLength(historyToJSON(history)) };
}

/** Does it so often, ten at a time: the server lets no more updates be under way. */
async function often(times: number, act: (index: number) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < times; from += 10) {
    await Promise.all(Array.from({ length: Math.min(10, times - from) }, (_, index) => act(from + index)));
  }
}

describe('one attempt', () => {
  it('stays small, whatever reviewers and admins do to it: below 2,000 events and 2 MB', async () => {
    const { activities } = createFakeActivities({
      recordOverrideSignal: async () => ({ status: 'ignored', message: 'not an admin' }),
    });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle, studentId } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      await often(300, async () => {
        const refused = handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED', studentId)] });
        expect(await refusalType(refused)).toBe('self-review');
      });
      const actorId = randomUUID();
      for (let index = 0; index < 50; index += 1) {
        await handle.executeUpdate(claimReview, { args: [claimOf(actorId)] });
        await handle.executeUpdate(releaseReview, { args: [releaseOf(actorId)] });
      }
      const override = { actorId: randomUUID(), outcome: 'APPROVED', reason: 'because' } as const;
      await often(50, (index) => handle.signal(overrideRequested, { ...override, requestId: `override ${index}` }));
      await handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED')] });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
      const { events, bytes } = await historyOf(handle);
      expect(events).toBeLessThan(2_000);
      expect(bytes).toBeLessThan(2_000_000);
    });
  }, 120_000);

  it('may be claimed and released a hundred times: below 2,000 events', async () => {
    await withWorkers(temporal.env, temporal.bundle, createFakeActivities().activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      const actorId = randomUUID();
      for (let index = 0; index < 100; index += 1) {
        await handle.executeUpdate(claimReview, { args: [claimOf(actorId)] });
        await handle.executeUpdate(releaseReview, { args: [releaseOf(actorId)] });
      }
      await handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED')] });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
      expect((await historyOf(handle)).events).toBeLessThan(2_000);
    });
  }, 120_000);

  it('survives 500 stray and malformed signals', async () => {
    const { calls, activities } = createFakeActivities({
      recordOverrideSignal: async () => ({ status: 'ignored', message: 'malformed' }),
    });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle, studentId } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      const signals = [reviewDecided, parkedResolved, overrideRequested, checksStarted] as const;
      const contents = [
        null,
        [],
        {},
        'APPROVED',
        7,
        { action: 'redrive' },
        { requestId: 'x', actorId: studentId, outcome: 'APPROVED' },
      ];
      await often(500, (index) =>
        handle.signal(signals[index % signals.length] as typeof reviewDecided, contents[index % contents.length] as never),
      );
      expect(await handle.query('submissionState')).toEqual({ stage: 'AWAITING_REVIEW', parkedReason: null });
      await handle.executeUpdate(decideReview, { args: [decisionOf('REJECTED')] });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'rejected' });
      expect((await historyOf(handle)).events).toBeLessThan(10_240);
    });
    expect(calls.filter((call) => call === 'commitDecision')).toHaveLength(1);
  }, 120_000);
});
