import { createHash } from 'node:crypto';
import { LockMode, UniqueConstraintViolationException } from '@mikro-orm/core';
import { newId } from '../database/columns.ts';
import { CheckRun } from '../database/entities/check-runs.ts';
import { DecisionRequest, Review } from '../database/entities/reviews.ts';
import { Submission } from '../database/entities/submissions.ts';
import { User } from '../database/entities/users.ts';
import type { Em } from '../database/orm.ts';
import type { Verdict } from '../domain/check-runs.ts';
import { DomainError } from '../domain/errors.ts';
import { uuidV7 } from '../domain/ids.ts';
import type { ReviewOutcome } from '../domain/reviews.ts';
import { taskAfter } from '../domain/tasks.ts';
import { type Actor, mayReview } from '../domain/users.ts';
import { recordActivity, recordAudit } from './activity.ts';
import { notify } from './notifications.ts';
import { settleTaskXp } from './progress.ts';
import { closeSubmission } from './submissions.ts';
import { lockTask } from './tasks.ts';

export interface QueueEntry {
  readonly submissionId: string;
  readonly taskId: string;
  readonly studentName: string;
  readonly exerciseTitle: string;
  readonly attemptNo: number;
  readonly verdict: Verdict | null;
  readonly submittedAt: Date;
  readonly answerDueAt: Date | null;
}

/** What awaits a review, the one due first at the top, without the reviewer's own work. */
export async function listReviewQueue(em: Em, actor: Actor, limit: number): Promise<QueueEntry[]> {
  const submissions = await em.find(
    Submission,
    { stage: ['AWAITING_REVIEW', 'UNDER_REVIEW'], student: { $ne: actor.id } },
    { orderBy: { answerDueAt: 'asc', id: 'asc' }, limit, populate: ['student', 'task.exercise'] },
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
    submittedAt: submission.submittedAt,
    answerDueAt: submission.answerDueAt,
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

/** The same actor and key give the same request id, hence the same update id: asking again cannot decide twice. */
function requestIdOf(actor: Actor, key: string | null): string {
  if (key === null) return newId();
  const digest = createHash('sha256').update(`${actor.id}:decide:${key}`).digest();
  return uuidV7(digest.readUIntBE(0, 6), digest.subarray(6));
}

/**
 * Stores what a reviewer asks for; the workflow then decides what becomes of it. A repeat of the key finds what was asked before: it is
 * about that submission, also where the task has a newer one by now.
 *
 * @throws DomainError `not-found` for an unknown submission, `self-review`, `key-reused` where the key came with another decision.
 */
export async function requestDecision(
  em: Em,
  actor: Actor,
  input: DecisionInput,
): Promise<{ requestId: string; submissionId: string; workflowId: string }> {
  const requestId = requestIdOf(actor, input.key);
  const known = await em.findOne(DecisionRequest, requestId, { populate: ['submission'] });
  if (known !== null) return repeated(known, input);
  const submission = await selectDecidable(em, input);
  if (submission.student.id === actor.id) throw new DomainError('self-review', 'Nobody reviews their own work.');
  const { outcome, comment } = input;
  try {
    em.create(DecisionRequest, { id: requestId, createdAt: new Date(), submission, actor: actor.id, outcome, comment });
    await em.flush();
  } catch (error) {
    if (!(error instanceof UniqueConstraintViolationException)) throw error;
    // The same request at the same time was first.
    return repeated(await em.fork().findOneOrFail(DecisionRequest, requestId, { populate: ['submission'] }), input);
  }
  return { requestId, submissionId: submission.id, workflowId: submission.workflowId };
}

function repeated(known: DecisionRequest, input: DecisionInput) {
  const submission = known.submission.getEntity();
  const isSame =
    known.outcome === input.outcome &&
    known.comment === input.comment &&
    (input.submissionId ?? submission.id) === submission.id &&
    (input.taskId ?? submission.task.id) === submission.task.id;
  if (!isSame) throw new DomainError('key-reused', 'This Idempotency-Key came with another decision before.');
  return { requestId: known.id, submissionId: submission.id, workflowId: submission.workflowId };
}

async function selectDecidable(em: Em, input: DecisionInput): Promise<Submission> {
  const submission =
    input.submissionId === undefined
      ? await em.findOne(Submission, { task: input.taskId ?? null }, { orderBy: { attemptNo: 'desc' } })
      : await em.findOne(Submission, input.submissionId);
  if (submission === null) throw new DomainError('not-found', 'There is no such submission.');
  return submission;
}

export interface ReviewView {
  readonly id: string;
  readonly submissionId: string;
  readonly reviewerId: string;
  readonly outcome: ReviewOutcome;
  readonly comment: string;
  readonly commit: string;
  readonly createdAt: Date;
}

/** The review that a request led to; null where it has not (yet). */
export async function selectOptionalReviewByRequest(em: Em, requestId: string): Promise<ReviewView | null> {
  const review = await em.findOne(Review, { requestId });
  if (review === null) return null;
  return {
    id: review.id,
    submissionId: review.submission.id,
    reviewerId: review.reviewer.id,
    outcome: review.outcome,
    comment: review.comment,
    commit: review.commit,
    createdAt: review.createdAt,
  };
}

export type CommitDecisionResult =
  | { readonly status: 'committed'; readonly reviewId: string; readonly xpAdded: number }
  | {
      readonly status: 'refused';
      readonly kind: 'already-decided' | 'forbidden' | 'self-review' | 'validation';
      readonly message: string;
    };

/** What the columns take. Who decides by hand in Temporal may type anything; an error of the database would be repeated for ever. */
const isStorable = ({ requestId, actorId }: { requestId: string; actorId: string }) =>
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
    const found = await tx.findOneOrFail(Submission, input.submissionId);
    const task = await lockTask(tx, found.task.id);
    const submission = await tx.findOneOrFail(Submission, found.id, { lockMode: LockMode.PESSIMISTIC_WRITE, refresh: true });
    const known = await tx.findOne(Review, { requestId: input.requestId });
    if (known !== null && known.submission.id !== submission.id) {
      return { status: 'refused', kind: 'validation', message: 'This requestId decided another submission: take a new one.' };
    }
    if (known !== null) return { status: 'committed', reviewId: known.id, xpAdded: 0 };
    if (submission.closedAt !== null) {
      return { status: 'refused', kind: 'already-decided', message: 'This submission is decided already.' };
    }
    const reviewer = await tx.findOne(User, { id: input.actorId, disabledAt: null, erasedAt: null });
    if (reviewer === null || !mayReview(reviewer)) {
      return { status: 'refused', kind: 'forbidden', message: 'Deciding takes the role of a reviewer.' };
    }
    if (submission.student.id === reviewer.id) {
      return { status: 'refused', kind: 'self-review', message: 'Nobody reviews their own work.' };
    }
    const request = await tx.findOne(DecisionRequest, { id: input.via === 'api' ? input.requestId : null });
    const review = tx.create(Review, {
      id: newId(),
      createdAt: new Date(),
      submission,
      reviewer,
      outcome: input.outcome,
      comment: request?.comment ?? "Decided in Temporal's web UI.",
      commit: submission.source.commit,
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
      taskId: task.id,
      submissionId: submission.id,
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
