import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { claimReview, decideReview } from '../../src/workflows/contract.ts';
import {
  claimOf,
  createFakeActivities,
  decisionOf,
  type FakeActivities,
  type Handle,
  hourMs,
  refusalType,
  startSubmission,
  waitForCall,
  waitForStage,
  withWorkers,
  useTemporal,
} from './support.ts';

const temporal = useTemporal();

/** PostgreSQL has another end already: of an override, or of another workflow of the submission. */
const approved = async () => ({ conclusion: 'approved' }) as const;
const inReview = (handle: Handle) => waitForStage(handle, 'AWAITING_REVIEW');

/** The step that finds it, what a test does until then, and the steps that were taken. */
const cases: [keyof FakeActivities, Partial<FakeActivities>, (handle: Handle) => Promise<unknown>][] = [
  ['fetchSource', { fetchSource: async () => ({ status: 'concluded', ...(await approved()) }) }, async () => undefined],
  [
    'fetchRemoteSource',
    {
      fetchSource: async () => ({ status: 'remote' }),
      fetchRemoteSource: async () => ({ status: 'concluded', ...(await approved()) }),
    },
    async () => undefined,
  ],
  ['judgeSubmission', { judgeSubmission: async () => ({ status: 'concluded', ...(await approved()) }) }, async () => undefined],
  ['openReview', { openReview: approved }, async () => undefined],
  [
    'remindReviewers',
    { openReview: async () => ({ remindAt: Date.now(), dueAt: Date.now() + hourMs }), remindReviewers: approved },
    async () => undefined,
  ],
  [
    'checkLease',
    { commitClaim: async () => ({ status: 'claimed', leaseUntil: Date.now() }), checkLease: approved },
    async (handle) => {
      await inReview(handle);
      await handle.executeUpdate(claimReview, { args: [claimOf(randomUUID())] });
    },
  ],
  [
    'commitDecision',
    { commitDecision: async () => ({ status: 'refused', kind: 'already-decided', message: 'decided', ...(await approved()) }) },
    async (handle) => {
      await inReview(handle);
      const decided = handle.executeUpdate(decideReview, { args: [decisionOf('REJECTED')] });
      expect(await refusalType(decided)).toBe('already-decided');
    },
  ],
];

describe('a step that finds the submission ended', () => {
  it.each(cases)('ends the workflow with that conclusion: %s', async (step, overrides, act) => {
    const { calls, activities } = createFakeActivities(overrides);
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await act(handle);
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
    });
    // Nothing comes after it, and nothing is written over what is there.
    expect(calls.at(-1)?.split(' ')[0]).toBe(step);
  });

  it('is the last one too: what was to be written gives way to what is there', async () => {
    const { activities } = createFakeActivities({
      judgeSubmission: async () => ({ status: 'judged', verdict: 'wrong-answer', checkRunId: 'run-1' }),
      concludeWithoutReview: approved,
    });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
    });
  });

  it('tells a reviewer who claims meanwhile, and leaves the end to the next step', async () => {
    const { calls, activities } = createFakeActivities({ commitClaim: approved });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await inReview(handle);
      const claimed = handle.executeUpdate(claimReview, { args: [claimOf(randomUUID())] });
      expect(await refusalType(claimed)).toBe('already-decided');
      await handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED')] });
      await waitForCall(calls, 'commitDecision');
      await handle.result();
    });
  });
});
