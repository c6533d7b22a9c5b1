import { describe, expect, it } from '@jest/globals';
import { withFailures } from '../../src/activities/failures.ts';
import { whileBeating } from '../../src/activities/sandbox-trouble.ts';
import { SandboxError } from '../../src/sandbox/sandbox.ts';
import {
  checksStarted,
  currentFlow,
  decideReview,
  parkedResolved,
  resolveParked,
  searchAttributes,
  submissionState,
} from '../../src/workflows/contract.ts';
import { waitFor } from '../support/wait.ts';
import {
  createFakeActivities,
  type FakeActivities,
  decisionOf,
  hourMs,
  permanentFailure,
  record,
  refusalType,
  stageOf,
  startSubmission,
  waitForCall,
  waitForStage,
  withWorkers,
  useTemporal,
} from './support.ts';

const temporal = useTemporal();

const noRoom = () => new SandboxError('no room', { transient: true });

describe('from submitted to concluded', () => {
  it('fetches, judges, opens the review, and commits the decision of an update', async () => {
    const { calls, activities } = createFakeActivities();
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      const decision = decisionOf('APPROVED');
      const answer = await handle.executeUpdate(decideReview, { updateId: decision.requestId, args: [decision] });
      expect(answer).toEqual({ reviewId: `review-of-${decision.requestId}` });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
      await record(handle, 'approved');
    });
    expect(calls).toEqual(['fetchSource', 'judgeSubmission', 'openReview', 'commitDecision']);
  });

  it('ends as rejected by a rejection', async () => {
    const { activities } = createFakeActivities();
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      await handle.executeUpdate(decideReview, { args: [decisionOf('REJECTED')] });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'rejected' });
      await record(handle, 'rejected');
    });
  });

  it('ends without a review when the checks fail', async () => {
    const { calls, activities } = createFakeActivities({
      judgeSubmission: async () => ({ status: 'judged', verdict: 'wrong-answer', checkRunId: 'run-1' }),
    });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await expect(handle.result()).resolves.toEqual({ conclusion: 'checks-failed' });
      await record(handle, 'checks-failed');
    });
    expect(calls).toEqual(['fetchSource', 'judgeSubmission', 'concludeWithoutReview checks-failed']);
  });

  it.each([
    ['fetching', { fetchSource: async () => ({ status: 'unavailable' as const }) }],
    [
      'the other host',
      {
        fetchSource: async () => ({ status: 'remote' as const }),
        fetchRemoteSource: async () => ({ status: 'unavailable' as const }),
      },
    ],
    ['the judge', { judgeSubmission: async () => ({ status: 'source-unavailable' as const }) }],
  ])('ends as source-unavailable when %s does not find the source', async (_, overrides) => {
    const { calls, activities } = createFakeActivities(overrides);
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await expect(handle.result()).resolves.toEqual({ conclusion: 'source-unavailable' });
      await record(handle, 'source-unavailable');
    });
    expect(calls.at(-1)).toBe('concludeWithoutReview source-unavailable');
  });

  it('leaves a run of a newer version, whose api came first, to a worker that knows it', async () => {
    const { calls, activities } = createFakeActivities();
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env, undefined, currentFlow + 1);
      const said = await waitFor('its task to fail', async () => {
        const { events = [] } = await handle.fetchHistory();
        return (
          events?.find((event) => event.workflowTaskFailedEventAttributes)?.workflowTaskFailedEventAttributes?.failure?.message ??
          null
        );
      });
      expect(said).toMatch(/a newer version started this run/);
      expect((await handle.describe()).status.name).toBe('RUNNING');
      await handle.terminate();
    });
    expect(calls).toEqual([]);
  });

  it("fetches another host's repository in a step of its own", async () => {
    const { calls, activities } = createFakeActivities({ fetchSource: async () => ({ status: 'remote' }) });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      await handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED')] });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
      await record(handle, 'remote-source');
    });
    expect(calls.slice(0, 3)).toEqual(['fetchSource', 'fetchRemoteSource', 'judgeSubmission']);
  });

  it('shows its stage in the search attributes, by which an admin finds it', async () => {
    const { activities } = createFakeActivities();
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      const { typedSearchAttributes } = await handle.describe();
      expect(typedSearchAttributes.get(searchAttributes.submissionStatus)).toBe('AWAITING_REVIEW');
      expect(typedSearchAttributes.get(searchAttributes.reviewDueAt)?.getTime()).toBeGreaterThan(Date.now() + hourMs);
      await handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED')] });
      await handle.result();
      const closed = await handle.describe();
      expect(closed.typedSearchAttributes.get(searchAttributes.submissionStatus)).toBe('CLOSED');
    });
  });

  it('is QUEUED until the judge says that it has begun', async () => {
    const judging = Promise.withResolvers<Awaited<ReturnType<FakeActivities['judgeSubmission']>>>();
    const { activities } = createFakeActivities({ judgeSubmission: () => judging.promise });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      expect(await stageOf(handle)).toBe('QUEUED');
      await handle.signal(checksStarted);
      await waitForStage(handle, 'CHECKING');
      judging.resolve({ status: 'judged', verdict: 'accepted', checkRunId: 'run-1' });
      await waitForStage(handle, 'AWAITING_REVIEW');
      await handle.terminate();
    });
  });
});

describe('waiting', () => {
  it('reminds at the instants of the plan, and overdue decides nothing', async () => {
    const { calls, activities } = createFakeActivities({
      openReview: async () => ({ remindAt: Date.now() + 200, dueAt: Date.now() + 400 }),
    });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForCall(calls, 'remindReviewers review-overdue');
      expect(await stageOf(handle)).toBe('AWAITING_REVIEW');
      await handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED')] });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
      await record(handle, 'overdue-then-approved');
    });
    expect(calls).toEqual([
      'fetchSource',
      'judgeSubmission',
      'openReview',
      'remindReviewers review-reminder',
      'remindReviewers review-overdue',
      'commitDecision',
    ]);
  });

  it('reminds once of an instant that passed while no worker ran', async () => {
    let remindAt = 0;
    const { calls, activities } = createFakeActivities({
      openReview: async () => {
        remindAt = Date.now() + 1_500;
        return { remindAt, dueAt: remindAt + hourMs };
      },
    });
    const { handle } = await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const started = await startSubmission(temporal.env);
      await waitForStage(started.handle, 'AWAITING_REVIEW');
      return started;
    });
    const whileAway = [...calls];
    await waitFor('the instant', async () => (Date.now() > remindAt ? true : null));
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      await waitForCall(calls, 'remindReviewers review-reminder');
      await handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED')] });
      await handle.result();
    });
    expect(whileAway).toEqual(['fetchSource', 'judgeSubmission', 'openReview']);
    expect(calls).toEqual([...whileAway, 'remindReviewers review-reminder', 'commitDecision']);
  });

  it('goes on under the next worker where the last one stopped', async () => {
    const { calls, activities } = createFakeActivities();
    const { handle } = await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const started = await startSubmission(temporal.env);
      await waitForStage(started.handle, 'AWAITING_REVIEW');
      return started;
    });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      await handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED')] });
      await handle.result();
    });
    expect(calls).toEqual(['fetchSource', 'judgeSubmission', 'openReview', 'commitDecision']);
  });
});

describe('our own trouble', () => {
  it('parks the submission with the reason, and a redrive runs the step again', async () => {
    let tries = 0;
    const { calls, activities } = createFakeActivities({
      judgeSubmission: async () => {
        tries += 1;
        if (tries === 1) throw permanentFailure('the runner image is gone');
        return { status: 'judged', verdict: 'accepted', checkRunId: 'run-1' };
      },
    });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'PARKED');
      expect(await handle.query(submissionState)).toEqual({ stage: 'PARKED', parkedReason: 'the runner image is gone' });
      await handle.signal(parkedResolved, { action: 'nonsense' } as never);
      await handle.signal(parkedResolved, { action: 'redrive' });
      await waitForStage(handle, 'AWAITING_REVIEW');
      await handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED')] });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
      await record(handle, 'parked-then-redriven');
    });
    expect(calls.filter((call) => call.startsWith('enterStage'))).toEqual(['enterStage PARKED', 'enterStage QUEUED']);
  });

  it('closes a parked submission by an admin without charging the student', async () => {
    const { calls, activities } = createFakeActivities({
      judgeSubmission: async () => Promise.reject(permanentFailure('no such runner')),
    });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'PARKED');
      await handle.signal(parkedResolved, { action: 'close' });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'closed-by-admin' });
      await record(handle, 'parked-then-closed');
    });
    expect(calls.at(-1)).toBe('concludeWithoutReview closed-by-admin');
  });

  it('tells who decided when the decision cannot be committed, parks, and takes the next decision after a redrive', async () => {
    let isBroken = true;
    const { activities } = createFakeActivities({
      commitDecision: async ({ requestId }) => {
        if (isBroken) throw permanentFailure('a bug of ours');
        return { status: 'committed', reviewId: `review-of-${requestId}`, xpAdded: 50 };
      },
    });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      const failed = handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED')] });
      expect(await refusalType(failed)).toBe('invalid-state');
      await waitForStage(handle, 'PARKED');
      isBroken = false;
      await handle.signal(parkedResolved, { action: 'redrive' });
      await waitForStage(handle, 'AWAITING_REVIEW');
      await handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED')] });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
      await record(handle, 'commit-parked-then-approved');
    });
  });

  it('is resolved by an update as well, which says why it is refused', async () => {
    let isBroken = true;
    const { calls, activities } = createFakeActivities({
      fetchSource: async () => {
        if (isBroken) throw permanentFailure('the disk is full');
        return { status: 'ready' };
      },
    });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'PARKED');
      const resolve = (request: unknown) => handle.executeUpdate(resolveParked, { args: [request as never] });
      for (const malformed of [null, {}, { action: 'approve' }]) expect(await refusalType(resolve(malformed))).toBe('validation');
      isBroken = false;
      await resolve({ action: 'redrive' });
      await waitForStage(handle, 'AWAITING_REVIEW');
      expect(await refusalType(resolve({ action: 'close' }))).toBe('invalid-state');
      await handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED')] });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
      await record(handle, 'redriven-by-update');
    });
    // By the workflow's own worker, then by any; and again after the redrive.
    expect(calls.filter((call) => call === 'fetchSource')).toHaveLength(3);
  });

  it('is closed by an update', async () => {
    const { calls, activities } = createFakeActivities({
      fetchSource: () => Promise.reject(permanentFailure('the disk is full')),
    });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'PARKED');
      await handle.executeUpdate(resolveParked, { args: [{ action: 'close' }] });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'closed-by-admin' });
    });
    expect(calls.at(-1)).toBe('concludeWithoutReview closed-by-admin');
  });

  it.each([
    ['transient', permanentFailure('no room', [{ parkedClass: 'transient' }])],
    ['permanent', permanentFailure('no room', [{ parkedClass: 'permanent' }])],
    ['permanent', permanentFailure('a bug of ours')],
  ])('is parked as %s, as the step said', async (parkedClass, failure) => {
    const parked: unknown[] = [];
    const { activities } = createFakeActivities({
      judgeSubmission: () => Promise.reject(failure),
      enterStage: async (input) => void parked.push(input),
    });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle, submissionId } = await startSubmission(temporal.env);
      await waitForStage(handle, 'PARKED');
      await handle.executeUpdate(resolveParked, { args: [{ action: 'close' }] });
      await handle.result();
      expect(parked).toEqual([{ submissionId, stage: 'PARKED', parkedReason: failure.message, parkedClass }]);
    });
  });

  it("is parked after four tries of the sandbox's, whatever else failed in between", async () => {
    const failures = [noRoom(), new Error('PostgreSQL is away'), noRoom(), noRoom(), noRoom()];
    let tries = 0;
    const parked: unknown[] = [];
    const { activities } = createFakeActivities({ enterStage: async (input) => void parked.push(input) });
    const judge = withFailures({
      judgeSubmission: (_input: { submissionId: string; runNo: number }) =>
        whileBeating(async () => {
          tries += 1;
          throw failures[tries - 1] ?? new Error('one try too many');
        }),
    });
    await withWorkers(temporal.env, temporal.bundle, { ...activities, ...judge }, async () => {
      const { handle, submissionId } = await startSubmission(temporal.env);
      await waitFor('the end of the tries', async () => (parked.length > 0 ? true : null), 60_000);
      const about = { stage: 'PARKED', parkedReason: 'no room', parkedClass: 'transient' };
      expect({ tries, parked }).toEqual({ tries: 5, parked: [{ submissionId, ...about }] });
      await handle.terminate();
    });
  }, 90_000);

  it('ignores a redrive of a submission that is not parked', async () => {
    const { activities } = createFakeActivities();
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      await handle.signal(parkedResolved, { action: 'close' });
      expect(await stageOf(handle)).toBe('AWAITING_REVIEW');
      await handle.terminate();
    });
  });
});
