import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import {
  cancelSubmission,
  claimReview,
  decideReview,
  overrideRequested,
  overrideSubmission,
} from '../../src/workflows/contract.ts';
import { waitFor } from '../support/wait.ts';
import {
  claimOf,
  createFakeActivities,
  decisionOf,
  type FakeActivities,
  type Handle,
  permanentFailure,
  record,
  refusalType,
  startSubmission,
  waitForCall,
  waitForStage,
  withWorkers,
  useTemporal,
} from './support.ts';

const temporal = useTemporal();

const overrideBy = (handle: Handle, overrideId: unknown = randomUUID()) =>
  handle.executeUpdate(overrideSubmission, { args: [{ overrideId } as never] });

/** Activities of a submission that an override has approved: who concludes it finds that. */
const approvedByOverride = (overrides: Partial<FakeActivities> = {}) =>
  createFakeActivities({ concludeWithoutReview: async () => ({ conclusion: 'approved' }), ...overrides });

describe('an override', () => {
  it('ends a submission in its checks, with what was committed', async () => {
    const judging = Promise.withResolvers<never>();
    const { calls, activities } = approvedByOverride({ judgeSubmission: () => judging.promise });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForCall(calls, 'judgeSubmission');
      await overrideBy(handle);
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
      await record(handle, 'overridden-in-checks');
      judging.reject(permanentFailure('the test is over'));
    });
    expect(calls.slice(-2)).toEqual(['commitOverride', 'concludeWithoutReview closed-by-admin']);
  });

  it('ends a submission that nobody has claimed, and one that somebody has', async () => {
    const { activities } = approvedByOverride();
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const free = await startSubmission(temporal.env);
      await waitForStage(free.handle, 'AWAITING_REVIEW');
      await overrideBy(free.handle);
      await expect(free.handle.result()).resolves.toEqual({ conclusion: 'approved' });
      await record(free.handle, 'overridden-in-review');

      const claimed = await startSubmission(temporal.env);
      await waitForStage(claimed.handle, 'AWAITING_REVIEW');
      await claimed.handle.executeUpdate(claimReview, { args: [claimOf(randomUUID())] });
      await overrideBy(claimed.handle);
      await expect(claimed.handle.result()).resolves.toEqual({ conclusion: 'approved' });
    });
  });

  it('ends a submission that is parked', async () => {
    const { activities } = approvedByOverride({ judgeSubmission: () => Promise.reject(permanentFailure('no such runner')) });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'PARKED');
      await overrideBy(handle);
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
      await record(handle, 'overridden-while-parked');
    });
  });

  it('ends a submission before its first step, where it comes first', async () => {
    const { calls, activities } = approvedByOverride();
    // Both wait for a worker: the override is in the workflow's first task.
    const { handle } = await startSubmission(temporal.env);
    const overriding = overrideBy(handle);
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      await overriding;
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
    });
    expect(calls.filter((call) => call === 'commitDecision' || call === 'openReview')).toEqual([]);
  });

  it('is refused while a decision is committed, which comes first', async () => {
    const committing = Promise.withResolvers<Awaited<ReturnType<FakeActivities['commitDecision']>>>();
    const { calls, activities } = createFakeActivities({ commitDecision: () => committing.promise });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      const decided = handle.executeUpdate(decideReview, { args: [decisionOf('REJECTED')] });
      await waitForCall(calls, 'commitDecision');
      expect(await refusalType(overrideBy(handle))).toBe('already-decided');
      committing.resolve({ status: 'committed', reviewId: 'review-1', xpAdded: 0 });
      await expect(decided).resolves.toEqual({ reviewId: 'review-1' });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'rejected' });
    });
    expect(calls).not.toContain('commitOverride');
  });

  it('takes no decision, claim, cancel or other override from the moment on in which it is told', async () => {
    const committing = Promise.withResolvers<void>();
    const { activities } = approvedByOverride({ commitOverride: () => committing.promise });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle, studentId } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      await overrideBy(handle);
      const cancel = { requestId: randomUUID(), actorId: studentId, isAdmin: false };
      expect(await refusalType(handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED')] }))).toBe('invalid-state');
      expect(await refusalType(handle.executeUpdate(claimReview, { args: [claimOf(randomUUID())] }))).toBe('already-decided');
      expect(await refusalType(handle.executeUpdate(cancelSubmission, { args: [cancel] }))).toBe('already-decided');
      expect(await refusalType(overrideBy(handle))).toBe('already-decided');
      committing.resolve();
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
    });
  });

  it('that cannot be committed here ends the submission all the same, and fails no workflow', async () => {
    const { activities } = createFakeActivities({ commitOverride: () => Promise.reject(permanentFailure('there is none')) });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      await overrideBy(handle);
      await expect(handle.result()).resolves.toEqual({ conclusion: 'closed-by-admin' });
    });
  });

  it('that names none is refused', async () => {
    const { activities } = createFakeActivities();
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      expect(await refusalType(overrideBy(handle, 7))).toBe('validation');
      expect(await refusalType(handle.executeUpdate(overrideSubmission, { args: [null as never] }))).toBe('validation');
      await handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED')] });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
    });
  });
});

describe('an override by signal', () => {
  const signal = { requestId: 'asked by phone', actorId: randomUUID(), outcome: 'APPROVED', reason: 'they called' } as const;

  it('is stored under the submission it came to, and comes back as an update', async () => {
    const stored: unknown[] = [];
    const { activities } = approvedByOverride({
      recordOverrideSignal: async (input) => {
        stored.push(input);
        return { status: 'recorded' };
      },
    });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle, submissionId } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      await handle.signal(overrideRequested, signal);
      await waitFor('the signal to be stored', async () => stored[0] ?? null);
      await overrideBy(handle);
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
      expect(stored).toEqual([{ ...signal, submissionId }]);
      await record(handle, 'override-signal-then-overridden');
    });
  });

  it('fails no workflow: neither one that is ignored, nor one that is malformed, nor one that cannot be stored', async () => {
    const { calls, activities } = createFakeActivities({
      recordOverrideSignal: async ({ reason }) => {
        if (reason === 'broken') throw permanentFailure('a bug of ours');
        return { status: 'ignored', message: 'no such admin' };
      },
    });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      const strays = [
        null,
        undefined,
        'APPROVED',
        7,
        [],
        {},
        { ...signal, outcome: 'MAYBE' },
        { ...signal, reason: 'broken' },
        signal,
      ];
      for (const stray of strays) await handle.signal(overrideRequested, stray as never);
      await handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED')] });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
    });
    expect(calls.filter((call) => call === 'recordOverrideSignal').length).toBeGreaterThan(0);
    expect(calls).not.toContain('commitOverride');
  });
});
