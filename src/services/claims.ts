import { Course } from '../database/entities/courses.ts';
import { Submission } from '../database/entities/submissions.ts';
import type { Task } from '../database/entities/tasks.ts';
import { User } from '../database/entities/users.ts';
import type { Em } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import { taskAfter } from '../domain/tasks.ts';
import { type Actor, mayReview } from '../domain/users.ts';
import { recordActivity, recordAudit } from './activity.ts';
import { requestIdOf, type StoredRequest, storeRequest } from './requests.ts';
import { changeOpenSubmission, type Concluded, dropClaim, isSubmissionVisible, submissionNotFound } from './submissions.ts';

/** What became of a claim, in Unix milliseconds for the workflow's timer. */
export type CommitClaimResult =
  | { readonly status: 'claimed'; readonly leaseUntil: number }
  | { readonly status: 'refused'; readonly kind: 'forbidden' | 'invalid-state'; readonly message: string }
  | Concluded;

/** Whether a claim still stands when its time is up. */
export type CheckLeaseResult =
  | { readonly status: 'held'; readonly leaseUntil: number }
  | { readonly status: 'lapsed' }
  | Concluded;

async function leaseEnd(em: Em, task: Task): Promise<Date> {
  await em.populate(task, ['exercise']);
  const course = await em.findOneOrFail(Course, task.exercise.getEntity().course.id);
  return new Date(Date.now() + course.claimLeaseMs);
}

/**
 * The reviewer's page is still open: moves the end of the lease. The workflow hears of it when its timer goes off and looks.
 *
 * @returns when the lease ends now; null where the actor holds no claim, which is then to be asked for.
 */
export async function renewClaim(em: Em, actor: Actor, submissionId: string): Promise<Date | null> {
  const lease = await changeOpenSubmission(em, submissionId, async (tx, submission, task) => {
    if (submission.claimedBy?.id !== actor.id) return null;
    submission.leaseUntil = await leaseEnd(tx, task);
    return submission.leaseUntil;
  });
  return lease instanceof Date ? lease : null;
}

/**
 * Stores that a reviewer claims a submission, or gives a claim back; the workflow decides whether that is possible.
 *
 * @throws DomainError `not-found`, also for a submission that is not visible to the actor; `self-review`.
 */
export async function requestClaim(
  em: Em,
  actor: Actor,
  input: { kind: 'claim' | 'release'; submissionId: string; key: string | null; takeOver?: boolean | undefined },
): Promise<StoredRequest> {
  const submission = await em.findOne(Submission, { id: input.submissionId, status: 'SUBMITTED' });
  if (submission === null || !isSubmissionVisible(submission, actor)) throw submissionNotFound();
  if (submission.student.id === actor.id) throw new DomainError('self-review', 'Nobody reviews their own work.');
  const { kind, takeOver } = input;
  const requestId = requestIdOf(actor, kind, input.key);
  return storeRequest(em, { requestId, kind, actor, submission, body: takeOver === undefined ? {} : { takeOver } });
}

/** Commits a claim that the workflow has let through. Role is read here again. Safe to repeat. */
export async function commitClaim(em: Em, input: { submissionId: string; actorId: string }): Promise<CommitClaimResult> {
  return changeOpenSubmission<CommitClaimResult>(em, input.submissionId, async (tx, submission, task) => {
    const reviewer = await tx.findOne(User, { id: input.actorId, disabledAt: null, erasedAt: null });
    if (reviewer === null || !mayReview(reviewer)) {
      return { status: 'refused', kind: 'forbidden', message: 'Claiming takes the role of a reviewer.' };
    }
    if (submission.stage !== 'AWAITING_REVIEW' && submission.stage !== 'UNDER_REVIEW') {
      return { status: 'refused', kind: 'invalid-state', message: 'This submission does not await a review.' };
    }
    const from = submission.claimedBy?.id ?? null;
    submission.leaseUntil = await leaseEnd(tx, task);
    if (from !== reviewer.id) {
      dropClaim(submission, task);
      submission.claimedBy = tx.getReference(User, reviewer.id, { wrapped: true });
      submission.leaseUntil = await leaseEnd(tx, task);
      submission.stage = 'UNDER_REVIEW';
      task.status = taskAfter(task.status, 'claim');
      task.updatedAt = new Date();
      recordActivity(tx, 'review.claimed', { actorId: reviewer.id, submission, data: { takenOverFrom: from } });
      if (from !== null) {
        const target = { kind: 'submission', id: submission.id };
        recordAudit(tx, { action: 'claim.taken-over', actorId: reviewer.id, target, via: 'api', data: { from } });
      }
    }
    return { status: 'claimed', leaseUntil: submission.leaseUntil.getTime() };
  });
}

/** Gives a claim back. Safe to repeat. */
export async function commitRelease(em: Em, input: { submissionId: string; actorId: string }): Promise<Concluded | null> {
  return changeOpenSubmission(em, input.submissionId, (tx, submission, task) => {
    if (submission.claimedBy !== null) recordActivity(tx, 'review.released', { actorId: input.actorId, submission });
    dropClaim(submission, task);
    return null;
  });
}

/** Looks, when a claim's time is up, whether its holder was there meanwhile; takes it off where not. */
export async function checkLease(em: Em, input: { submissionId: string }): Promise<CheckLeaseResult> {
  return changeOpenSubmission<CheckLeaseResult>(em, input.submissionId, (tx, submission, task) => {
    const { claimedBy, leaseUntil } = submission;
    if (claimedBy !== null && leaseUntil !== null && leaseUntil > new Date()) {
      return { status: 'held', leaseUntil: leaseUntil.getTime() };
    }
    if (claimedBy !== null) recordActivity(tx, 'review.released', { submission, data: { lapsed: true } });
    dropClaim(submission, task);
    return { status: 'lapsed' };
  });
}
