import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { cancelSubmission, decideReview, reviewDecided } from '../../src/workflows/contract.ts';
import {
  createFakeActivities,
  type FakeActivities,
  decisionOf,
  permanentFailure,
  record,
  refusalType,
  startSubmission,
  waitForCall,
  waitForStage,
  withWorkers,
  useTemporal,
} from './support.ts';

const cancelOf = (actorId: string, isAdmin = false) => ({ requestId: randomUUID(), actorId, isAdmin });

const temporal = useTemporal();

describe('deciding', () => {
  it('refuses a decision while the checks run, one of the student, and a malformed one', async () => {
    const judging = Promise.withResolvers<never>();
    const { activities } = createFakeActivities({ judgeSubmission: () => judging.promise });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle, studentId } = await startSubmission(temporal.env);
      const update = (decision: unknown) => refusalType(handle.executeUpdate(decideReview, { args: [decision as never] }));
      expect(await update(decisionOf('APPROVED'))).toBe('invalid-state');
      expect(await update(decisionOf('APPROVED', studentId))).toBe('self-review');
      expect(await update({ ...decisionOf('APPROVED'), outcome: 'MAYBE' })).toBe('validation');
      expect(await update(null)).toBe('validation');
      await handle.terminate();
      judging.reject(permanentFailure('the test is over'));
    });
  });

  it('takes one of six decisions at once and refuses the others as decided', async () => {
    const { calls, activities } = createFakeActivities();
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      const decisions = Array.from({ length: 6 }, (_, index) => decisionOf(index % 2 === 0 ? 'APPROVED' : 'REJECTED'));
      const answers = await Promise.all(
        decisions.map((decision) =>
          refusalType(handle.executeUpdate(decideReview, { updateId: decision.requestId, args: [decision] })).catch(
            // The workflow may have ended before the update reached it.
            () => 'already-decided',
          ),
        ),
      );
      expect(answers.filter((answer) => answer === 'not refused')).toHaveLength(1);
      expect(answers.filter((answer) => answer === 'already-decided')).toHaveLength(5);
      await handle.result();
    });
    expect(calls.filter((call) => call === 'commitDecision')).toHaveLength(1);
  });

  it('answers the same update id with the same review, also after the end', async () => {
    const { calls, activities } = createFakeActivities();
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      const decision = decisionOf('APPROVED');
      const ask = () => handle.executeUpdate(decideReview, { updateId: decision.requestId, args: [decision] });
      const [first, second] = await Promise.all([ask(), ask()]);
      await handle.result();
      expect([second, await ask()]).toEqual([first, first]);
    });
    expect(calls.filter((call) => call === 'commitDecision')).toHaveLength(1);
  });

  it('opens again when the commit refuses the reviewer, and takes the next decision', async () => {
    const demoted = randomUUID();
    const { activities } = createFakeActivities({
      commitDecision: async ({ actorId, requestId }) =>
        actorId === demoted
          ? { status: 'refused', kind: 'forbidden', message: 'no longer a reviewer' }
          : { status: 'committed', reviewId: `review-of-${requestId}`, xpAdded: 50 },
    });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      const refused = handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED', demoted)] });
      expect(await refusalType(refused)).toBe('forbidden');
      await handle.executeUpdate(decideReview, { args: [decisionOf('REJECTED')] });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'rejected' });
      await record(handle, 'refused-then-rejected');
    });
  });

  it('answers a request that was refused and is asked again by what becomes of it then', async () => {
    let isReviewer = false;
    const { activities } = createFakeActivities({
      commitDecision: async ({ requestId }) =>
        isReviewer
          ? { status: 'committed', reviewId: `review-of-${requestId}`, xpAdded: 50 }
          : { status: 'refused', kind: 'forbidden', message: 'not a reviewer yet' },
    });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      const decision = decisionOf('APPROVED');
      expect(await refusalType(handle.executeUpdate(decideReview, { args: [decision] }))).toBe('forbidden');
      isReviewer = true;
      const answer = await handle.executeUpdate(decideReview, { args: [decision] });
      expect(answer).toEqual({ reviewId: `review-of-${decision.requestId}` });
      await handle.result();
    });
  });

  it("takes a signal from Temporal's web UI, and ignores invalid ones", async () => {
    const seen: unknown[] = [];
    const { activities } = createFakeActivities({
      commitDecision: async (input) => {
        seen.push(input);
        return { status: 'committed', reviewId: 'review-1', xpAdded: 50 };
      },
    });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle, studentId, submissionId } = await startSubmission(temporal.env);
      await handle.signal(reviewDecided, null as never);
      await waitForStage(handle, 'AWAITING_REVIEW');
      const { via: _, ...signal } = decisionOf('APPROVED');
      for (const invalid of [null, {}, 'APPROVED', { ...signal, outcome: 'yes' }, { ...signal, actorId: studentId }]) {
        await handle.signal(reviewDecided, invalid as never);
      }
      await handle.signal(reviewDecided, signal);
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
      expect(seen).toEqual([{ submissionId, ...signal, via: 'temporal' }]);
      await record(handle, 'approved-by-signal');
    });
  });
});

describe('taking back', () => {
  it('ends a submission in the queue, in its checks and in review, for the student and for admins', async () => {
    const judging = Promise.withResolvers<never>();
    const { calls, activities } = createFakeActivities({ judgeSubmission: () => judging.promise });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle, studentId } = await startSubmission(temporal.env);
      await waitForCall(calls, 'judgeSubmission');
      await handle.executeUpdate(cancelSubmission, { args: [cancelOf(studentId)] });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'cancelled' });
      await record(handle, 'cancelled-in-checks');
      judging.reject(permanentFailure('the test is over'));
    });
    expect(calls.at(-1)).toBe('concludeWithoutReview cancelled');
    const inReview = createFakeActivities();
    await withWorkers(temporal.env, temporal.bundle, inReview.activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      await handle.executeUpdate(cancelSubmission, { args: [cancelOf(randomUUID(), true)] });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'closed-by-admin' });
      await record(handle, 'cancelled-in-review');
    });
    expect(inReview.calls.at(-1)).toBe('concludeWithoutReview closed-by-admin');
  });

  it('does not charge the student for a judging that was done before it heard of the end', async () => {
    const judging = Promise.withResolvers<Awaited<ReturnType<FakeActivities['judgeSubmission']>>>();
    const { calls, activities } = createFakeActivities({ judgeSubmission: () => judging.promise });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle, studentId } = await startSubmission(temporal.env);
      await waitForCall(calls, 'judgeSubmission');
      await handle.executeUpdate(cancelSubmission, { args: [cancelOf(studentId)] });
      judging.resolve({ status: 'judged', verdict: 'wrong-answer', checkRunId: 'run-1' });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'cancelled' });
    });
  });

  it('takes no decision from the moment on in which it is told', async () => {
    const concluding = Promise.withResolvers<{ conclusion: 'cancelled' }>();
    const { activities } = createFakeActivities({ concludeWithoutReview: () => concluding.promise });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle, studentId } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      await handle.executeUpdate(cancelSubmission, { args: [cancelOf(studentId)] });
      expect(await refusalType(handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED')] }))).toBe('invalid-state');
      concluding.resolve({ conclusion: 'cancelled' });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'cancelled' });
    });
  });

  it('is refused for others, and once a decision is taken', async () => {
    const committing = Promise.withResolvers<Awaited<ReturnType<FakeActivities['commitDecision']>>>();
    const { calls, activities } = createFakeActivities({ commitDecision: () => committing.promise });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle, studentId } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      const cancel = (request: unknown) => refusalType(handle.executeUpdate(cancelSubmission, { args: [request as never] }));
      expect(await cancel(cancelOf(randomUUID()))).toBe('forbidden');
      expect(await cancel(null)).toBe('forbidden');
      const decided = handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED')] });
      await waitForCall(calls, 'commitDecision');
      expect(await cancel(cancelOf(studentId))).toBe('already-decided');
      committing.resolve({ status: 'committed', reviewId: 'review-1', xpAdded: 50 });
      await expect(decided).resolves.toEqual({ reviewId: 'review-1' });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
    });
  });

  it("ends in order when the workflow is cancelled in Temporal's web UI", async () => {
    const { calls, activities } = createFakeActivities();
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      await handle.cancel();
      await expect(handle.result()).resolves.toEqual({ conclusion: 'closed-by-admin' });
      await record(handle, 'cancelled-by-temporal');
    });
    expect(calls.at(-1)).toBe('concludeWithoutReview closed-by-admin');
  });
});
