import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { activityInfo } from '@temporalio/activity';
import { WorkflowUpdateFailedError, WorkflowUpdateStage } from '@temporalio/client';
import { cancelSubmission, claimReview, decideReview, releaseReview, searchAttributes } from '../../src/workflows/contract.ts';
import { waitFor } from '../support/wait.ts';
import {
  claimOf,
  createFakeActivities,
  decisionOf,
  type FakeActivities,
  type Handle,
  hourMs,
  permanentFailure,
  record,
  refusalType,
  releaseOf,
  stageOf,
  startSubmission,
  waitForCall,
  waitForStage,
  withWorkers,
  useTemporal,
} from './support.ts';

const temporal = useTemporal();

const [ann, ben, admin] = [randomUUID(), randomUUID(), randomUUID()];

const claimBy = (handle: Handle, actorId: string, mayTakeOver = false) =>
  handle.executeUpdate(claimReview, { args: [claimOf(actorId, mayTakeOver)] });
const releaseBy = (handle: Handle, actorId: string, isAdmin = false) =>
  handle.executeUpdate(releaseReview, { args: [releaseOf(actorId, isAdmin)] });
const decideBy = (handle: Handle, actorId: string) =>
  handle.executeUpdate(decideReview, { args: [decisionOf('APPROVED', actorId)] });

type ClaimResult = Awaited<ReturnType<FakeActivities['commitClaim']>>;

/** Steps that went through the server. */
const scheduled = async (handle: Handle) =>
  ((await handle.fetchHistory()).events ?? []).flatMap(
    ({ activityTaskScheduledEventAttributes: step }) => step?.activityType?.name ?? [],
  );

/** Runs `use` with a submission that awaits its review. */
async function inReview(
  overrides: Partial<FakeActivities>,
  use: (handle: Handle, calls: string[]) => Promise<void>,
): Promise<void> {
  const { calls, activities } = createFakeActivities(overrides);
  await withWorkers(temporal.env, temporal.bundle, activities, async () => {
    const { handle } = await startSubmission(temporal.env);
    await waitForStage(handle, 'AWAITING_REVIEW');
    await use(handle, calls);
  });
}

describe('a claim', () => {
  it('keeps the decision for its holder, and the student from taking the submission back', async () => {
    await inReview({}, async (handle) => {
      const { leaseUntil } = await claimBy(handle, ann);
      expect(leaseUntil).toBeGreaterThan(Date.now());
      await waitForStage(handle, 'UNDER_REVIEW');
      const { typedSearchAttributes } = await handle.describe();
      expect(typedSearchAttributes.get(searchAttributes.submissionStatus)).toBe('UNDER_REVIEW');
      expect(await refusalType(claimBy(handle, ben))).toBe('claimed');
      expect(await refusalType(decideBy(handle, ben))).toBe('claimed');
      expect(await refusalType(releaseBy(handle, ben))).toBe('claimed');
      await decideBy(handle, ann);
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
      await record(handle, 'claimed-then-approved');
    });
  });

  it('is refused before the review is open, to the student, and malformed', async () => {
    const judging = Promise.withResolvers<never>();
    const { activities } = createFakeActivities({ judgeSubmission: () => judging.promise });
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle, studentId } = await startSubmission(temporal.env);
      expect(await refusalType(claimBy(handle, ann))).toBe('invalid-state');
      expect(await refusalType(claimBy(handle, studentId, true))).toBe('self-review');
      for (const malformed of [null, {}, 'claim']) {
        const args: [never] = [malformed as never];
        expect(await refusalType(handle.executeUpdate(claimReview, { args }))).toBe('validation');
        expect(await refusalType(handle.executeUpdate(releaseReview, { args }))).toBe('validation');
      }
      await handle.terminate();
      judging.reject(permanentFailure('the test is over'));
    });
  });

  it('is kept from the student’s cancel, and ends with an admin’s', async () => {
    const { activities } = createFakeActivities();
    await withWorkers(temporal.env, temporal.bundle, activities, async () => {
      const { handle, studentId } = await startSubmission(temporal.env);
      await waitForStage(handle, 'AWAITING_REVIEW');
      await claimBy(handle, ann);
      const cancel = (actorId: string, isAdmin: boolean) =>
        handle.executeUpdate(cancelSubmission, { args: [{ requestId: randomUUID(), actorId, isAdmin }] });
      expect(await refusalType(cancel(studentId, false))).toBe('invalid-state');
      await cancel(admin, true);
      await expect(handle.result()).resolves.toEqual({ conclusion: 'closed-by-admin' });
    });
  });

  it('is given back by its holder, again without an error, and is then free for the next', async () => {
    await inReview({}, async (handle, calls) => {
      await claimBy(handle, ann);
      await releaseBy(handle, ann);
      await waitForStage(handle, 'AWAITING_REVIEW');
      await releaseBy(handle, ann);
      await claimBy(handle, ben);
      await waitForStage(handle, 'UNDER_REVIEW');
      await releaseBy(handle, admin, true);
      await decideBy(handle, ann);
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
      expect(calls.slice(3)).toEqual(['commitClaim', 'commitRelease', 'commitClaim', 'commitRelease', 'commitDecision']);
      // By the worker that ran the workflow: a few events less for each.
      expect(await scheduled(handle)).not.toContain('commitClaim');
      expect(await scheduled(handle)).not.toContain('commitRelease');
      await record(handle, 'claimed-locally');
    });
  });

  it('is taken over by an admin, after whom the first holder decides no more', async () => {
    await inReview({}, async (handle) => {
      await claimBy(handle, ann);
      await claimBy(handle, admin, true);
      expect(await refusalType(decideBy(handle, ann))).toBe('claimed');
      await decideBy(handle, admin);
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
      await record(handle, 'taken-over-then-approved');
    });
  });
});

describe('claims in turn', () => {
  const lease = { status: 'claimed', leaseUntil: Date.now() + hourMs } as const;
  const refused = { status: 'refused', kind: 'forbidden', message: 'no longer a reviewer' } as const;

  /** PostgreSQL is away at first; then commits whose end a test decides, in the order in which they begin. */
  function heldCommits() {
    const ends: PromiseWithResolvers<ClaimResult>[] = [];
    const committed: string[] = [];
    const commitClaim: FakeActivities['commitClaim'] = async ({ actorId }) => {
      if (activityInfo().isLocal) throw new Error('connection refused');
      committed.push(actorId);
      const end = Promise.withResolvers<ClaimResult>();
      ends.push(end);
      return end.promise;
    };
    /** The n-th commit (from 0) ends so, when it has begun. */
    const end = async (index: number, result: ClaimResult | Error) => {
      const begun = await waitFor(`commit ${index}`, async () => ends[index] ?? null);
      if (result instanceof Error) begun.reject(result);
      else begun.resolve(result);
    };
    return { committed, commitClaim, end };
  }

  /** Asked, taken by the gate, and not committed yet. */
  const taken = (handle: Handle, actorId: string, mayTakeOver = false) =>
    handle.startUpdate(claimReview, { args: [claimOf(actorId, mayTakeOver)], waitForStage: WorkflowUpdateStage.ACCEPTED });

  it('are committed in the order in which they were taken; the last one holds from the moment on in which it is', async () => {
    const { committed, commitClaim, end } = heldCommits();
    await inReview({ commitClaim }, async (handle) => {
      const byAnn = await taken(handle, ann);
      const byAdmin = await taken(handle, admin, true);
      expect(await refusalType(decideBy(handle, ann))).toBe('claimed');
      await end(0, lease);
      await byAnn.result();
      expect(await refusalType(decideBy(handle, ann))).toBe('claimed');
      await end(1, lease);
      await byAdmin.result();
      expect(committed).toEqual([ann, admin]);
      await decideBy(handle, admin);
      await handle.result();
      expect((await scheduled(handle)).filter((name) => name === 'commitClaim')).toHaveLength(2);
      await record(handle, 'claimed-when-postgresql-was-back');
    });
  });

  it('leave what stood where one is refused, or fails', async () => {
    const { commitClaim, end } = heldCommits();
    await inReview({ commitClaim }, async (handle) => {
      const first = await taken(handle, ann);
      await end(0, permanentFailure('a bug of ours'));
      await expect(first.result()).rejects.toBeInstanceOf(WorkflowUpdateFailedError);
      // Nobody holds it now: anybody may.
      const second = await taken(handle, ben);
      await end(1, lease);
      await second.result();
      const takeOver = await taken(handle, admin, true);
      await end(2, refused);
      expect(await refusalType(takeOver.result())).toBe('forbidden');
      expect(await refusalType(decideBy(handle, admin))).toBe('claimed');
      await decideBy(handle, ben);
      await handle.result();
    });
  });

  it('leave it free where all of them are refused', async () => {
    const { commitClaim, end } = heldCommits();
    await inReview({ commitClaim }, async (handle) => {
      const claims = [await taken(handle, ann), await taken(handle, admin, true)];
      await end(0, refused);
      await end(1, refused);
      for (const claim of claims) expect(await refusalType(claim.result())).toBe('forbidden');
      await decideBy(handle, ben);
      await handle.result();
    });
  });

  it('are followed by a release that came while one was committed', async () => {
    const { commitClaim, end } = heldCommits();
    await inReview({ commitClaim }, async (handle, calls) => {
      const claim = await taken(handle, ann);
      const release = await handle.startUpdate(releaseReview, {
        args: [releaseOf(ann)],
        waitForStage: WorkflowUpdateStage.ACCEPTED,
      });
      await end(0, lease);
      await claim.result();
      await release.result();
      expect(calls.slice(-2)).toEqual(['commitClaim', 'commitRelease']);
      expect(await stageOf(handle)).toBe('AWAITING_REVIEW');
      await decideBy(handle, ben);
      await handle.result();
    });
  });

  it('are committed before a decision of their holder', async () => {
    const { commitClaim, end } = heldCommits();
    await inReview({ commitClaim }, async (handle, calls) => {
      await taken(handle, ann);
      const decided = await handle.startUpdate(decideReview, {
        args: [decisionOf('APPROVED', ann)],
        waitForStage: WorkflowUpdateStage.ACCEPTED,
      });
      expect(calls.at(-1)).toBe('commitClaim');
      await end(0, lease);
      await decided.result();
      expect(calls.slice(-2)).toEqual(['commitClaim', 'commitDecision']);
    });
  });
});

describe('a lease', () => {
  const soon = async () => ({ status: 'claimed', leaseUntil: Date.now() + 100 }) as const;

  it('lapses when its holder gave no sign, and the submission is free again', async () => {
    await inReview({ commitClaim: soon }, async (handle, calls) => {
      await claimBy(handle, ann);
      await waitForCall(calls, 'checkLease');
      await waitForStage(handle, 'AWAITING_REVIEW');
      await decideBy(handle, ben);
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
      await record(handle, 'claim-lapsed-then-approved');
    });
  });

  it('goes on while its holder is there, and is looked up at its new end', async () => {
    let looks = 0;
    const checkLease: FakeActivities['checkLease'] = async () => {
      looks += 1;
      return looks === 1 ? { status: 'held', leaseUntil: Date.now() + 200 } : { status: 'lapsed' };
    };
    const renewed = Promise.withResolvers<void>();
    await inReview(
      { commitClaim: soon, checkLease: async (input) => checkLease(input).finally(renewed.resolve) },
      async (handle) => {
        await claimBy(handle, ann);
        await renewed.promise;
        expect(await refusalType(decideBy(handle, ben))).toBe('claimed');
        await waitForStage(handle, 'AWAITING_REVIEW');
        expect(looks).toBe(2);
        await decideBy(handle, ben);
        await handle.result();
      },
    );
  });

  it('that is not over for the database yet is not looked up without a pause', async () => {
    // The database's side is behind by as much as the test lasts.
    const held = { status: 'held', leaseUntil: Date.now() - hourMs } as const;
    await inReview({ commitClaim: soon, checkLease: async () => held }, async (handle, calls) => {
      await claimBy(handle, ann);
      await waitForCall(calls, 'checkLease');
      const before = Date.now();
      await waitFor('another look', async () => (calls.filter((call) => call === 'checkLease').length > 1 ? true : null));
      const looks = calls.filter((call) => call === 'checkLease').length;
      expect(looks).toBeLessThanOrEqual(2 + (Date.now() - before) / 1_000);
      await decideBy(handle, ann);
      await handle.result();
    });
  });

  it('has reminders beside it, at their own instants', async () => {
    let remindAt = 0;
    await inReview(
      {
        openReview: async () => {
          remindAt = Date.now() + 1_000;
          return { remindAt, dueAt: remindAt + 2_500 };
        },
        commitClaim: async () => ({ status: 'claimed', leaseUntil: remindAt + 1 }),
      },
      async (handle, calls) => {
        await claimBy(handle, ann);
        await waitForCall(calls, 'remindReviewers review-overdue');
        await decideBy(handle, ben);
        await handle.result();
        expect(calls.slice(3)).toEqual([
          'commitClaim',
          'remindReviewers review-reminder',
          'checkLease',
          'remindReviewers review-overdue',
          'commitDecision',
        ]);
      },
    );
  });

  it('does not hold up a decision of its holder, whatever becomes of it meanwhile', async () => {
    const look = Promise.withResolvers<Awaited<ReturnType<FakeActivities['checkLease']>>>();
    await inReview({ commitClaim: soon, checkLease: () => look.promise }, async (handle, calls) => {
      await claimBy(handle, ann);
      await waitForCall(calls, 'checkLease');
      const decided = decideBy(handle, ann);
      look.resolve({ status: 'lapsed' });
      await decided;
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
    });
  });

  it('of a later claim is not ended by a look at the one before', async () => {
    const look = Promise.withResolvers<Awaited<ReturnType<FakeActivities['checkLease']>>>();
    const commitClaim: FakeActivities['commitClaim'] = async ({ actorId }) =>
      actorId === ann ? soon() : { status: 'claimed', leaseUntil: Date.now() + hourMs };
    await inReview({ commitClaim, checkLease: () => look.promise }, async (handle, calls) => {
      await claimBy(handle, ann);
      await waitForCall(calls, 'checkLease');
      await claimBy(handle, admin, true);
      look.resolve({ status: 'lapsed' });
      expect(await refusalType(decideBy(handle, ann))).toBe('claimed');
      await decideBy(handle, admin);
      await handle.result();
    });
  });
});
