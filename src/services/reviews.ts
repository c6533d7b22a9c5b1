import { newId } from '../database/columns.ts';
import { CheckRun } from '../database/entities/check-runs.ts';
import { Review, SubmissionRequest } from '../database/entities/reviews.ts';
import { Submission } from '../database/entities/submissions.ts';
import { User } from '../database/entities/users.ts';
import type { Em } from '../database/orm.ts';
import type { Verdict } from '../domain/check-runs.ts';
import { DomainError } from '../domain/errors.ts';
import type { ReviewOutcome } from '../domain/reviews.ts';
import type { Conclusion } from '../domain/submissions.ts';
import { taskAfter } from '../domain/tasks.ts';
import { type Actor, mayReview } from '../domain/users.ts';
import { recordActivity, recordAudit } from './activity.ts';
import { notify } from './notifications.ts';
import { settleTaskXp } from './progress.ts';
import { repeated, requestIdOf, selectOptionalRequest, type StoredRequest, storeRequest } from './requests.ts';
import { closeSubmission, isSubmissionVisible, lockSubmission, submissionNotFound } from './submissions.ts';

export interface QueueEntry {
  readonly submissionId: string;
  readonly taskId: string;
  readonly studentName: string;
  readonly exerciseTitle: string;
  readonly attemptNo: number;
  readonly verdict: Verdict | null;
  readonly submittedAt: Date;
  readonly answerDueAt: Date | null;
  readonly claim: ClaimView | null;
}

/** Who has claimed a submission, and until when unless they are still there. */
export interface ClaimView {
  readonly reviewerId: string;
  readonly reviewerName: string;
  readonly leaseUntil: Date;
}

/** The claim of a submission whose `claimedBy` is populated. */
export function claimOf(submission: Submission): ClaimView | null {
  const { claimedBy, leaseUntil } = submission;
  if (claimedBy === null || leaseUntil === null) return null;
  return { reviewerId: claimedBy.id, reviewerName: claimedBy.getEntity().name, leaseUntil };
}

/** What awaits a review, the one due first at the top, without the reviewer's own work. */
export async function listReviewQueue(em: Em, actor: Actor, limit: number): Promise<QueueEntry[]> {
  const submissions = await em.find(
    Submission,
    { stage: ['AWAITING_REVIEW', 'UNDER_REVIEW'], student: { $ne: actor.id } },
    { orderBy: { answerDueAt: 'asc', id: 'asc' }, limit, populate: ['student', 'task.exercise', 'claimedBy'] },
  );
  const checkRuns = await em.find(CheckRun, { submission: submissions.map(({ id }) => id) }, { orderBy: { runNo: 'asc' } });
  const verdicts = new Map(checkRuns.map((run) => [run.submission.id, run.verdict]));
  return submissions.map((submission) => ({
    submissionId: submission.id,
    taskId: submission.task.id,
    studentName: submission.student.$.name,
    exerciseTitle: submission.task.$.exercise.$.title,
    attemptNo: submission.attemptNo,
    verdict: verdicts.get(submission.id) ?? null,
    submittedAt: submission.submittedAt ?? submission.createdAt,
    answerDueAt: submission.answerDueAt,
    claim: claimOf(submission),
  }));
}

export interface DecisionInput {
  /** One of the two: a submission, or the newest one of a task. */
  readonly submissionId?: string | undefined;
  readonly taskId?: string | undefined;
  readonly outcome: ReviewOutcome;
  readonly comment: string;
  /** The caller's Idempotency-Key; null where it sent none. */
  readonly key: string | null;
}

/**
 * Stores what a reviewer decides; the workflow then decides what becomes of it. A repeat of the key finds what was asked before: it is
 * about that submission, also where the task has a newer one by now.
 *
 * @throws DomainError `not-found` for an unknown submission, `self-review`, `key-reused` where the key came with another decision.
 */
export async function requestDecision(em: Em, actor: Actor, input: DecisionInput): Promise<StoredRequest> {
  const requestId = requestIdOf(actor, 'decide', input.key);
  const { outcome, comment } = input;
  const known = await selectOptionalRequest(em, requestId);
  if (known !== null) {
    const taskId = known.submission.getEntity().task.id;
    const about = input.submissionId ?? ((input.taskId ?? taskId) === taskId ? known.submission.id : '');
    return repeated(known, about, { outcome, comment });
  }
  const submission = await selectDecidable(em, input);
  if (submission.student.id === actor.id) throw new DomainError('self-review', 'Nobody reviews their own work.');
  return storeRequest(em, { requestId, kind: 'decide', actor, submission, body: { outcome, comment } });
}

async function selectDecidable(em: Em, input: DecisionInput): Promise<Submission> {
  const submission =
    input.submissionId === undefined
      ? await em.findOne(Submission, { task: input.taskId ?? null, status: 'SUBMITTED' }, { orderBy: { attemptNo: 'desc' } })
      : await em.findOne(Submission, { id: input.submissionId, status: 'SUBMITTED' });
  if (submission === null) throw submissionNotFound();
  return submission;
}

export interface ReviewView {
  readonly id: string;
  readonly submissionId: string;
  readonly reviewerId: string;
  readonly outcome: ReviewOutcome;
  readonly comment: string;
  readonly commit: string;
  /** The review that an override put in its place; null while it holds. */
  readonly supersededById: string | null;
  readonly createdAt: Date;
}

const viewReview = (review: Review): ReviewView => ({
  id: review.id,
  submissionId: review.submission.id,
  reviewerId: review.reviewer.id,
  outcome: review.outcome,
  comment: review.comment,
  commit: review.commit,
  supersededById: review.supersededBy?.id ?? null,
  createdAt: review.createdAt,
});

/** The review that a request led to; null where it has not (yet). */
export async function selectOptionalReviewByRequest(em: Em, requestId: string): Promise<ReviewView | null> {
  const review = await em.findOne(Review, { requestId });
  return review === null ? null : viewReview(review);
}

/**
 * One review, for who sees its submission.
 *
 * @throws DomainError `not-found`, also for a review that is not visible to the actor.
 */
export async function selectReview(em: Em, actor: Actor, reviewId: string): Promise<ReviewView> {
  const review = await em.findOne(Review, reviewId, { populate: ['submission'] });
  if (review === null || !isSubmissionVisible(review.submission.$, actor)) throw reviewNotFound();
  return viewReview(review);
}

export const reviewNotFound = () => new DomainError('not-found', 'There is no such review.');

export type CommitDecisionResult =
  | { readonly status: 'committed'; readonly reviewId: string; readonly xpAdded: number }
  | {
      readonly status: 'refused';
      readonly kind: 'already-decided' | 'claimed' | 'forbidden' | 'self-review' | 'validation';
      readonly message: string;
      /** Set where the submission is closed already: the workflow ends with it. */
      readonly conclusion?: Conclusion;
    };

/** What the columns take. Who decides by hand in Temporal may type anything; an error of the database would be repeated for ever. */
export const isStorable = ({ requestId, actorId }: { requestId: string; actorId: string }) =>
  typeof requestId === 'string' &&
  requestId !== '' &&
  requestId.length <= 100 &&
  !requestId.includes('\0') &&
  /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(actorId);

/**
 * Commits a decision: review, task, XP, notices, activity, audit in one transaction. Role and ownership are read here again, because
 * they may have changed since the reviewer asked. Safe to repeat: the review is unique per request.
 */
export async function commitDecision(
  em: Em,
  input: { submissionId: string; requestId: string; actorId: string; outcome: ReviewOutcome; via: 'api' | 'temporal' },
): Promise<CommitDecisionResult> {
  if (!isStorable(input)) {
    return {
      status: 'refused',
      kind: 'validation',
      message: 'actorId is the id of an account, requestId a text of up to 100 characters.',
    };
  }
  return em.transactional(async (tx) => {
    const { submission, task } = await lockSubmission(tx, input.submissionId);
    const known = await tx.findOne(Review, { requestId: input.requestId });
    if (known !== null && known.submission.id !== submission.id) {
      return { status: 'refused', kind: 'validation', message: 'This requestId decided another submission: take a new one.' };
    }
    if (known !== null) return { status: 'committed', reviewId: known.id, xpAdded: 0 };
    const { conclusion } = submission;
    if (conclusion !== null) {
      return { status: 'refused', kind: 'already-decided', message: 'This submission is decided already.', conclusion };
    }
    const reviewer = await tx.findOne(User, { id: input.actorId, disabledAt: null, erasedAt: null });
    if (reviewer === null || !mayReview(reviewer)) {
      return { status: 'refused', kind: 'forbidden', message: 'Deciding takes the role of a reviewer.' };
    }
    if (submission.student.id === reviewer.id) {
      return { status: 'refused', kind: 'self-review', message: 'Nobody reviews their own work.' };
    }
    if (submission.claimedBy !== null && submission.claimedBy.id !== reviewer.id) {
      return { status: 'refused', kind: 'claimed', message: 'Another reviewer has claimed this submission.' };
    }
    const request = await tx.findOne(SubmissionRequest, { id: input.via === 'api' ? input.requestId : null });
    const review = tx.create(Review, {
      id: newId(),
      createdAt: new Date(),
      submission,
      reviewer,
      outcome: input.outcome,
      comment: request?.body.comment ?? "Decided in Temporal's web UI.",
      commit: submission.source?.commit ?? '',
      requestId: input.requestId,
      via: input.via,
      supersededBy: null,
    });
    const isApproved = input.outcome === 'APPROVED';
    task.status = taskAfter(task.status, isApproved ? 'approve' : 'reject');
    task.updatedAt = new Date();
    closeSubmission(submission, isApproved ? 'approved' : 'rejected');
    await tx.populate(task, ['revision']);
    const xpAdded = await settleTaskXp(tx, task, task.revision.getEntity().xp);
    await notify(tx, {
      userId: submission.student.id,
      kind: isApproved ? 'approved' : 'rejected',
      causeId: submission.id,
      submissionId: submission.id,
    });
    recordActivity(tx, 'review.created', {
      actorId: reviewer.id,
      submission,
      data: { outcome: input.outcome, xpAdded },
    });
    recordAudit(tx, {
      action: 'submission.decided',
      actorId: reviewer.id,
      target: { kind: 'submission', id: submission.id },
      via: input.via,
      data: { outcome: input.outcome },
    });
    return { status: 'committed', reviewId: review.id, xpAdded };
  });
}
