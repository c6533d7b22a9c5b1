import { LockMode } from '@mikro-orm/core';
import { newId } from '../database/columns.ts';
import { Submission } from '../database/entities/submissions.ts';
import type { Em } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import type { ReviewPlan } from '../domain/reviews.ts';
import { planReview } from '../domain/reviews.ts';
import {
  type Conclusion,
  isCounted,
  type SubmissionSource,
  type SubmissionStage,
  type SubmissionToStart,
} from '../domain/submissions.ts';
import { taskAfter } from '../domain/tasks.ts';
import { type Actor, mayReview } from '../domain/users.ts';
import { type ActivityKind, recordActivity, recordAudit } from './activity.ts';
import { notify, notifyReviewers } from './notifications.ts';
import { countStarted, startEach } from './outbox.ts';
import { lockTask, taskNotFound } from './tasks.ts';

/** Spells every submission's workflow id. */
const workflowIdOf = (submissionId: string) => `submission-${submissionId}`;

/** The open submission of a task, by which a second submit is refused. */
function selectOpenSubmission(em: Em, taskId: string): Promise<Submission | null> {
  return em.findOne(Submission, { task: taskId, closedAt: null });
}

/**
 * Submits a task, in the caller's transaction: the new row is the outbox entry from which the relay starts the workflow, so what is
 * committed here cannot get lost.
 *
 * @throws DomainError `not-found` unless the actor is the assignee, `invalid-state` where the task takes no submission now.
 */
export async function submitTask(
  em: Em,
  input: { taskId: string; actorId: string; source: SubmissionSource; submissionId: string },
): Promise<{ submissionId: string; attemptNo: number }> {
  const task = await lockTask(em, input.taskId);
  if (task.assignee.id !== input.actorId) throw taskNotFound();
  if ((await selectOpenSubmission(em, task.id)) !== null) {
    throw new DomainError('invalid-state', 'The last submission of this task is still open: wait for its answer.');
  }
  task.status = taskAfter(task.status, 'submit');
  task.updatedAt = new Date();
  const attemptNo = (await em.count(Submission, { task })) + 1;
  const submission = em.create(Submission, {
    id: input.submissionId,
    createdAt: new Date(),
    task,
    student: task.assignee,
    revision: task.revision,
    attemptNo,
    counted: null,
    status: 'SUBMITTED',
    stage: 'QUEUED',
    conclusion: null,
    parkedReason: null,
    source: input.source,
    workflowId: workflowIdOf(input.submissionId),
    submittedAt: new Date(),
    startedAt: null,
    answerDueAt: null,
    closedAt: null,
  });
  recordActivity(em, 'task.submitted', {
    actorId: input.actorId,
    taskId: task.id,
    submissionId: submission.id,
    data: { attemptNo, commit: input.source.commit },
  });
  return { submissionId: submission.id, attemptNo };
}

const startable = (submission: Submission): SubmissionToStart => ({
  id: submission.id,
  workflowId: submission.workflowId,
  studentId: submission.student.id,
  taskId: submission.task.id,
  exerciseId: submission.task.getEntity().exercise.id,
  attemptNo: submission.attemptNo,
});

export async function selectStartable(em: Em, submissionId: string): Promise<SubmissionToStart> {
  return startable(await em.findOneOrFail(Submission, submissionId, { populate: ['task'] }));
}

/**
 * Starts what the outbox holds: locks up to `limit` rows whose workflow is not known to be started (rows that another relay holds are
 * skipped), has `start` start each, and marks those that it did.
 *
 * @throws the first error of `start`, after the others have been tried and marked: one row that cannot be started holds up none.
 */
export async function relayUnstartedSubmissions(
  em: Em,
  limit: number,
  start: (submission: SubmissionToStart) => Promise<void>,
): Promise<number> {
  const batch = await em.transactional(async (tx) => {
    const rows = await tx.find(
      Submission,
      { startedAt: null, closedAt: null },
      { limit, orderBy: { createdAt: 'asc' }, lockMode: LockMode.PESSIMISTIC_PARTIAL_WRITE },
    );
    await tx.populate(rows, ['task']);
    return startEach(rows, (row) => start(startable(row)));
  });
  return countStarted(batch);
}

/** Notes that the workflow is started; safe to repeat. */
export async function markSubmissionStarted(em: Em, submissionId: string): Promise<void> {
  await em.nativeUpdate(Submission, { id: submissionId, startedAt: null }, { startedAt: new Date() });
}

export interface SubmissionForWorkflow {
  readonly id: string;
  readonly taskId: string;
  readonly studentId: string;
  readonly revisionId: string;
  readonly source: SubmissionSource;
  readonly attemptNo: number;
}

export async function selectSubmissionForWorkflow(em: Em, submissionId: string): Promise<SubmissionForWorkflow> {
  const submission = await em.findOne(Submission, submissionId);
  if (submission === null) throw submissionNotFound();
  return {
    id: submission.id,
    taskId: submission.task.id,
    studentId: submission.student.id,
    revisionId: submission.revision.id,
    source: submission.source,
    attemptNo: submission.attemptNo,
  };
}

/** Locks task and submission, in this order everywhere, and hands both to `change`, unless the submission is closed. */
async function changeOpenSubmission(
  em: Em,
  submissionId: string,
  change: (tx: Em, submission: Submission, task: Awaited<ReturnType<typeof lockTask>>) => Promise<void> | void,
): Promise<void> {
  await em.transactional(async (tx) => {
    const { taskId } = await selectSubmissionForWorkflow(tx, submissionId);
    const task = await lockTask(tx, taskId);
    const submission = await tx.findOneOrFail(Submission, submissionId, { lockMode: LockMode.PESSIMISTIC_WRITE, refresh: true });
    if (submission.closedAt === null) await change(tx, submission, task);
  });
}

/**
 * Writes the workflow's stage; `parkedReason` is for the admin and belongs to PARKED. A closed submission stays closed, and checks begin
 * only from the queue: a judge that was thought dead must not take a submission out of review.
 */
export async function enterStage(
  em: Em,
  input: { submissionId: string; stage: Exclude<SubmissionStage, 'CLOSED'>; parkedReason?: string },
): Promise<void> {
  await changeOpenSubmission(em, input.submissionId, (tx, submission) => {
    if (submission.stage === input.stage) return;
    if (input.stage === 'CHECKING' && submission.stage !== 'QUEUED') return;
    const about = { taskId: submission.task.id, submissionId: submission.id };
    if (input.stage === 'PARKED') recordActivity(tx, 'submission.parked', { ...about, data: { reason: input.parkedReason } });
    if (submission.stage === 'PARKED') recordActivity(tx, 'submission.redriven', about);
    submission.stage = input.stage;
    submission.parkedReason = input.stage === 'PARKED' ? (input.parkedReason ?? null) : null;
  });
}

/** Opens the review: stage, promised answer time, notices to student and reviewers. A repeat returns the same plan. */
export async function openReview(em: Em, submissionId: string): Promise<ReviewPlan> {
  let plan: ReviewPlan | undefined;
  await changeOpenSubmission(em, submissionId, async (tx, submission, task) => {
    await tx.populate(task, ['exercise.course']);
    const course = task.exercise.getEntity().course.getEntity();
    const openedAtMs = submission.answerDueAt === null ? Date.now() : submission.answerDueAt.getTime() - course.dueAfterMs;
    plan = planReview(course, openedAtMs);
    if (submission.stage === 'AWAITING_REVIEW') return;
    submission.stage = 'AWAITING_REVIEW';
    submission.answerDueAt = new Date(plan.dueAt);
    const cause = { causeId: submission.id, submissionId: submission.id };
    recordActivity(tx, 'review.opened', { taskId: task.id, submissionId: submission.id });
    await notify(tx, { ...cause, userId: submission.student.id, kind: 'in-review' });
    await notifyReviewers(tx, { ...cause, kind: 'review-wanted', studentId: submission.student.id });
  });
  if (plan === undefined) throw new DomainError('invalid-state', 'The submission is closed.');
  return plan;
}

/** Reminds the reviewers of a submission that waits; overdue tells the student as well. Each is told once. */
export async function remindReviewers(
  em: Em,
  input: { submissionId: string; kind: 'review-reminder' | 'review-overdue' },
): Promise<void> {
  await changeOpenSubmission(em, input.submissionId, async (tx, submission) => {
    const cause = { kind: input.kind, causeId: submission.id, submissionId: submission.id };
    await notifyReviewers(tx, { ...cause, studentId: submission.student.id });
    if (input.kind === 'review-overdue') await notify(tx, { ...cause, userId: submission.student.id });
  });
}

/** The conclusions that no review leads to. */
export type UnreviewedConclusion = Exclude<Conclusion, 'approved' | 'rejected'>;

/** The domain event of each; failed checks were recorded with their check run. */
const concludedActivity = {
  'checks-failed': null,
  'source-unavailable': 'source.unavailable',
  cancelled: 'submission.cancelled',
  'closed-by-admin': 'submission.closed',
} as const satisfies Record<UnreviewedConclusion, ActivityKind | null>;

/**
 * Ends a submission without a review: the task is open for the next attempt, the student is told. Safe to repeat.
 *
 * @param input.actorId who asked through the API; null where it was done in Temporal.
 */
export async function concludeWithoutReview(
  em: Em,
  input: { submissionId: string; conclusion: UnreviewedConclusion; actorId?: string | null },
): Promise<void> {
  await changeOpenSubmission(em, input.submissionId, async (tx, submission, task) => {
    closeSubmission(submission, input.conclusion);
    task.status = taskAfter(task.status, 'reopen');
    task.updatedAt = new Date();
    const kind = concludedActivity[input.conclusion];
    if (kind !== null) recordActivity(tx, kind, { taskId: task.id, submissionId: submission.id });
    // Who takes a submission back knows it.
    if (input.conclusion === 'cancelled') return;
    await notify(tx, {
      userId: submission.student.id,
      kind: input.conclusion,
      causeId: submission.id,
      submissionId: submission.id,
    });
    if (input.conclusion !== 'closed-by-admin') return;
    const target = { kind: 'submission', id: submission.id };
    const actorId = input.actorId ?? null;
    recordAudit(tx, { action: 'submission.closed', actorId, target, via: actorId === null ? 'temporal' : 'api' });
  });
}

/**
 * Notes who takes a submission back; the workflow decides whether that is still possible.
 *
 * @throws DomainError `not-found`, also for a submission that is not visible to the actor; `forbidden` for reviewers.
 */
export async function requestCancel(em: Em, actor: Actor, submissionId: string): Promise<{ workflowId: string }> {
  const submission = await em.findOne(Submission, submissionId);
  if (submission === null || !isSubmissionVisible(submission, actor)) throw submissionNotFound();
  if (submission.student.id !== actor.id && actor.role !== 'SUPER_ADMIN') {
    throw new DomainError('forbidden', 'Only the student and admins take a submission back.');
  }
  if (submission.closedAt === null) {
    const target = { kind: 'submission', id: submission.id };
    recordAudit(em, { action: 'submission.cancel-requested', actorId: actor.id, target, via: 'api' });
    await em.flush();
  }
  return { workflowId: submission.workflowId };
}

/**
 * Ends a submission whose workflow is gone (terminated or deleted in Temporal), so that its task is not stuck. One that is only not
 * started yet is left to the relay. Returns the conclusion; null where the submission is still to be started.
 */
export async function cancelWithoutWorkflow(em: Em, actor: Actor, submissionId: string): Promise<Conclusion | null> {
  const { startedAt, conclusion, student } = await em.findOneOrFail(Submission, submissionId);
  if (conclusion !== null || startedAt === null) return conclusion;
  const ending = actor.id === student.id ? 'cancelled' : 'closed-by-admin';
  await concludeWithoutReview(em.fork(), { submissionId, conclusion: ending, actorId: actor.id });
  return ending;
}

/** How a submission has ended; null while it is open. */
export async function selectOptionalConclusion(em: Em, submissionId: string): Promise<Conclusion | null> {
  const submission = await em.findOne(Submission, submissionId);
  if (submission === null) throw submissionNotFound();
  return submission.conclusion;
}

/** The student's own, and all for who may review. */
export const isSubmissionVisible = (submission: Submission, actor: Actor) =>
  submission.student.id === actor.id || mayReview(actor);

/** The same for a submission that is not there and one that is not visible. */
export const submissionNotFound = () => new DomainError('not-found', 'There is no such submission.');

/** Sets what a closed submission has, in the caller's transaction. */
export function closeSubmission(submission: Submission, conclusion: Conclusion): void {
  submission.stage = 'CLOSED';
  submission.conclusion = conclusion;
  submission.counted = isCounted(conclusion);
  submission.parkedReason = null;
  submission.closedAt = new Date();
}

/** Makes an id for a submission before its transaction, so that its commit can be pinned under it first. */
export const newSubmissionId = newId;
