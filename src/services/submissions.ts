import { LockMode } from '@mikro-orm/core';
import { newId } from '../database/columns.ts';
import { Activity } from '../database/entities/operations.ts';
import { Submission } from '../database/entities/submissions.ts';
import type { Em } from '../database/orm.ts';
import type { Task } from '../database/entities/tasks.ts';
import { DomainError } from '../domain/errors.ts';
import type { ReviewPlan } from '../domain/reviews.ts';
import { planReview } from '../domain/reviews.ts';
import {
  type Conclusion,
  type Draft,
  isCounted,
  type ParkedClass,
  type SubmissionSource,
  type SubmissionToStart,
} from '../domain/submissions.ts';
import { taskAfter } from '../domain/tasks.ts';
import { type Actor, mayReview } from '../domain/users.ts';
import { type ActivityKind, recordActivity, recordAudit } from './activity.ts';
import { notify, notifyReviewers } from './notifications.ts';
import { countStarted, startEach } from './outbox.ts';
import { requestIdOf, type StoredRequest, storeRequest } from './requests.ts';
import { currentTraceId } from '../trace.ts';
import { lockTask, taskNotFound } from './tasks.ts';

/** Spells every submission's workflow id; the first workflow's has no number. */
export const workflowIdOf = (submissionId: string, workflowRunNo: number) =>
  workflowRunNo === 1 ? `submission-${submissionId}` : `submission-${submissionId}-${workflowRunNo}`;

/** The open submission of a task, a draft or a submitted one. The caller has locked the task, which guards it. */
export function selectOpenSubmission(em: Em, taskId: string): Promise<Submission | null> {
  return em.findOne(Submission, { task: taskId, closedAt: null });
}

/** A new attempt at a task, as a draft; in the caller's transaction, which has locked the task. */
export async function createDraft(em: Em, task: Task, submissionId: string): Promise<Submission> {
  return em.create(Submission, {
    id: submissionId,
    createdAt: new Date(),
    task,
    student: task.assignee,
    revision: task.revision,
    attemptNo: (await em.count(Submission, { task })) + 1,
    counted: null,
    status: 'IN_PROGRESS',
    stage: null,
    conclusion: null,
    parkedReason: null,
    parkedClass: null,
    draft: null,
    source: null,
    workflowId: workflowIdOf(submissionId, 1),
    workflowRunNo: 1,
    checkRunId: newId(),
    submittedAt: null,
    startedAt: null,
    answerDueAt: null,
    claimedBy: null,
    leaseUntil: null,
    closedAt: null,
    lastSequence: 0,
    traceId: currentTraceId(),
  });
}

/** What a source is made of: the draft where one is open, else the task's repository. */
export interface SourceInput {
  readonly submissionId: string;
  readonly revisionId: string;
  readonly draft: Draft | null;
  readonly repositoryId: string;
  readonly repoUrl: string | null;
}

/**
 * Submits a task, in the caller's transaction: locks the open draft, else makes a submission. The row is the outbox entry from which
 * the relay starts the workflow, so what is committed here cannot get lost.
 *
 * @param input.submissionId id for a new submission.
 * @param input.draftId submits this draft and nothing else.
 * @param input.makeSource called last, when nothing else can refuse: what it keeps is kept for a submission that exists.
 * @throws DomainError `not-found` unless the actor is the assignee, `invalid-state` where the task takes no submission now.
 */
export async function submitTask(
  em: Em,
  input: {
    taskId: string;
    actorId: string;
    submissionId: string;
    draftId?: string;
    makeSource: (about: SourceInput) => Promise<SubmissionSource>;
  },
): Promise<{ submissionId: string; attemptNo: number; commit: string | null }> {
  const task = await lockTask(em, input.taskId);
  if (task.assignee.id !== input.actorId) throw taskNotFound();
  const open = await selectOpenSubmission(em, task.id);
  if (open?.status === 'SUBMITTED') {
    throw new DomainError('invalid-state', 'The last submission of this task is still open: wait for its answer.');
  }
  if (input.draftId !== undefined && open?.id !== input.draftId) {
    throw new DomainError('invalid-state', 'This submission is no draft any more.');
  }
  task.status = taskAfter(task.status, 'submit');
  task.updatedAt = new Date();
  const submission = open ?? (await createDraft(em, task, input.submissionId));
  const { draft, attemptNo } = submission;
  const { repositoryId, repoUrl } = task;
  const about = { submissionId: submission.id, revisionId: submission.revision.id, draft, repositoryId, repoUrl };
  const source = await input.makeSource(about);
  submission.source = source;
  submission.status = 'SUBMITTED';
  submission.stage = 'QUEUED';
  submission.submittedAt = new Date();
  submission.traceId = currentTraceId();
  recordActivity(em, 'task.submitted', {
    actorId: input.actorId,
    taskId: task.id,
    submission,
    data: { attemptNo, source: source.kind, commit: source.commit },
  });
  return { submissionId: submission.id, attemptNo, commit: source.commit };
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
      { startedAt: null, closedAt: null, status: 'SUBMITTED' },
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
  readonly conclusion: Conclusion | null;
  /** Id for the first check run. */
  readonly checkRunId: string;
}

export async function selectSubmissionForWorkflow(em: Em, submissionId: string): Promise<SubmissionForWorkflow> {
  const submission = await em.findOne(Submission, submissionId);
  if (submission === null) throw submissionNotFound();
  if (submission.source === null) throw new DomainError('invalid-state', 'A draft has no workflow.');
  return {
    id: submission.id,
    taskId: submission.task.id,
    studentId: submission.student.id,
    revisionId: submission.revision.id,
    source: submission.source,
    conclusion: submission.conclusion,
    checkRunId: submission.checkRunId,
  };
}

/** Locks task and submission, in this order everywhere: whoever changes a submission does this first. */
export async function lockSubmission(em: Em, submissionId: string): Promise<{ submission: Submission; task: Task }> {
  const found = await em.findOne(Submission, submissionId);
  if (found === null) throw submissionNotFound();
  const task = await lockTask(em, found.task.id);
  const submission = await em.findOneOrFail(Submission, found.id, { lockMode: LockMode.PESSIMISTIC_WRITE, refresh: true });
  return { submission, task };
}

/**
 * A step of the workflow could find the submission ended meanwhile: by an override, or by another workflow of it. What PostgreSQL has
 * is what holds, and the workflow ends with that conclusion.
 */
export interface Concluded {
  readonly conclusion: Conclusion;
}

/** Locks task and submission and hands both to `change`, unless the submission is closed. */
export async function changeOpenSubmission<T>(
  em: Em,
  submissionId: string,
  change: (tx: Em, submission: Submission, task: Task) => Promise<T> | T,
): Promise<T | Concluded> {
  return em.transactional(async (tx) => {
    const { submission, task } = await lockSubmission(tx, submissionId);
    return submission.conclusion === null ? change(tx, submission, task) : { conclusion: submission.conclusion };
  });
}

/** Writes the commit that a remote source was resolved to; the first one stays. */
export async function setSourceCommit(em: Em, input: { submissionId: string; commit: string }): Promise<void> {
  await changeOpenSubmission(em, input.submissionId, (tx, submission) => {
    if (submission.source === null || submission.source.commit !== null) return;
    submission.source = { ...submission.source, commit: input.commit };
    recordActivity(tx, 'source.fetched', { submission, data: { commit: input.commit } });
  });
}

/**
 * Writes the workflow's stage; `parkedReason` is for the admin and belongs to PARKED. A closed submission stays closed, and checks begin
 * only from the queue: a judge that was thought dead must not take a submission out of review.
 */
export async function enterStage(
  em: Em,
  input: {
    submissionId: string;
    stage: 'QUEUED' | 'CHECKING' | 'PARKED';
    parkedReason?: string;
    parkedClass?: ParkedClass;
  },
): Promise<void> {
  await changeOpenSubmission(em, input.submissionId, (tx, submission, task) => {
    if (submission.stage === input.stage) return;
    if (input.stage === 'CHECKING' && submission.stage !== 'QUEUED') return;
    dropClaim(submission, task);
    if (input.stage === 'CHECKING') recordActivity(tx, 'ci.started', { submission });
    if (input.stage === 'PARKED') recordActivity(tx, 'submission.parked', { submission });
    if (submission.stage === 'PARKED') recordActivity(tx, 'submission.redriven', { submission });
    submission.stage = input.stage;
    submission.parkedReason = input.stage === 'PARKED' ? (input.parkedReason ?? null) : null;
    submission.parkedClass = input.stage === 'PARKED' ? (input.parkedClass ?? 'permanent') : null;
  });
}

/** Notes steps of the checks, in the order in which they began, for who follows live. */
export async function recordRunStarts(em: Em, input: { submissionId: string; runs: readonly string[] }): Promise<void> {
  await changeOpenSubmission(em, input.submissionId, (tx, submission) => {
    for (const run of input.runs) recordActivity(tx, 'ci.run.started', { submission, data: { run } });
  });
}

/**
 * Opens the review: stage, promised answer time, notices to student and reviewers. A repeat returns the same plan; a claim of before,
 * of a workflow that is gone, is dropped.
 */
export async function openReview(em: Em, submissionId: string): Promise<ReviewPlan | Concluded> {
  return changeOpenSubmission(em, submissionId, async (tx, submission, task) => {
    await tx.populate(task, ['exercise.course']);
    const course = task.exercise.getEntity().course.getEntity();
    const openedAtMs = submission.answerDueAt === null ? Date.now() : submission.answerDueAt.getTime() - course.dueAfterMs;
    const plan = planReview(course, openedAtMs);
    dropClaim(submission, task);
    if (submission.stage === 'AWAITING_REVIEW') return plan;
    submission.stage = 'AWAITING_REVIEW';
    submission.answerDueAt = new Date(plan.dueAt);
    const cause = { causeId: submission.id, submissionId: submission.id };
    recordActivity(tx, 'review.opened', { submission, data: { answerDueAt: submission.answerDueAt } });
    await notify(tx, { ...cause, userId: submission.student.id, kind: 'in-review' });
    await notifyReviewers(tx, { ...cause, kind: 'review-wanted', studentId: submission.student.id });
    return plan;
  });
}

/** Takes a claim off, where there is one; in the caller's transaction, which has locked both. */
export function dropClaim(submission: Submission, task: Task): void {
  if (submission.claimedBy === null) return;
  submission.claimedBy = null;
  submission.leaseUntil = null;
  if (submission.stage === 'UNDER_REVIEW') submission.stage = 'AWAITING_REVIEW';
  task.status = taskAfter(task.status, 'release');
  task.updatedAt = new Date();
}

/** Reminds the reviewers of a submission that waits; overdue tells the student as well. Safe to repeat: each is told once. */
export async function remindReviewers(
  em: Em,
  input: { submissionId: string; kind: 'review-reminder' | 'review-overdue' },
): Promise<Concluded | null> {
  return changeOpenSubmission(em, input.submissionId, async (tx, submission) => {
    const cause = { kind: input.kind, causeId: submission.id, submissionId: submission.id };
    const kind = input.kind === 'review-overdue' ? 'review.overdue' : 'review.reminded';
    if ((await tx.count(Activity, { submissionId: submission.id, kind })) > 0) return null;
    recordActivity(tx, kind, { submission });
    await notifyReviewers(tx, { ...cause, studentId: submission.student.id });
    if (input.kind === 'review-overdue') await notify(tx, { ...cause, userId: submission.student.id });
    return null;
  });
}

/** The conclusions that no review leads to. */
export type UnreviewedConclusion = Exclude<Conclusion, 'approved' | 'rejected'>;

/** The domain event of each. */
const concludedActivity = {
  'checks-failed': 'submission.checks-failed',
  'source-unavailable': 'source.unavailable',
  cancelled: 'submission.cancelled',
  'closed-by-admin': 'submission.closed',
} as const satisfies Record<UnreviewedConclusion, ActivityKind>;

/**
 * Ends a submission without a review: the task is open for the next attempt, the student is told. Safe to repeat.
 *
 * @param input.actorId who asked through the API; null where it was done in Temporal.
 */
export async function concludeWithoutReview(
  em: Em,
  input: { submissionId: string; conclusion: UnreviewedConclusion; actorId?: string | null },
): Promise<Concluded> {
  return changeOpenSubmission(em, input.submissionId, async (tx, submission, task) => {
    closeSubmission(submission, input.conclusion);
    // The task of a draft was not submitted.
    if (submission.status === 'SUBMITTED') task.status = taskAfter(task.status, 'reopen');
    task.updatedAt = new Date();
    const actorId = input.actorId ?? null;
    const kind = concludedActivity[input.conclusion];
    recordActivity(tx, kind, { actorId, submission });
    // Who takes a submission back knows it.
    if (input.conclusion === 'cancelled') return { conclusion: input.conclusion };
    await notify(tx, {
      userId: submission.student.id,
      kind: input.conclusion,
      causeId: submission.id,
      submissionId: submission.id,
    });
    if (input.conclusion === 'closed-by-admin') {
      const target = { kind: 'submission', id: submission.id };
      recordAudit(tx, { action: 'submission.closed', actorId, target, via: actorId === null ? 'temporal' : 'api' });
    }
    return { conclusion: input.conclusion };
  });
}

/**
 * Stores that somebody takes a submission back; the workflow decides whether that is still possible. A draft has no workflow: it is
 * closed at once.
 *
 * @throws DomainError `not-found`, also for a submission that is not visible to the actor; `forbidden` for reviewers.
 */
export async function requestCancel(
  em: Em,
  actor: Actor,
  input: { submissionId: string; key: string | null },
): Promise<StoredRequest | Concluded> {
  const submission = await em.findOne(Submission, input.submissionId);
  if (submission === null || !isSubmissionVisible(submission, actor)) throw submissionNotFound();
  if (submission.student.id !== actor.id && actor.role !== 'SUPER_ADMIN') {
    throw new DomainError('forbidden', 'Only the student and admins take a submission back.');
  }
  if (submission.status === 'IN_PROGRESS') {
    const conclusion = actor.id === submission.student.id ? 'cancelled' : 'closed-by-admin';
    await concludeWithoutReview(em.fork(), { submissionId: submission.id, conclusion, actorId: actor.id });
    return { conclusion };
  }
  const requestId = requestIdOf(actor, 'cancel', input.key);
  return storeRequest(em, { requestId, kind: 'cancel', actor, submission, body: {} });
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

/** The student's own, for who may review all that is submitted, and for admins the drafts too. */
export const isSubmissionVisible = (submission: Pick<Submission, 'student' | 'status'>, actor: Actor) =>
  submission.student.id === actor.id || actor.role === 'SUPER_ADMIN' || (mayReview(actor) && submission.status === 'SUBMITTED');

/** The same for a submission that is not there and one that is not visible. */
export const submissionNotFound = () => new DomainError('not-found', 'There is no such submission.');

/** Sets what a closed submission has, in the caller's transaction. One that is closed already keeps its instant. */
export function closeSubmission(submission: Submission, conclusion: Conclusion): void {
  submission.stage = 'CLOSED';
  submission.conclusion = conclusion;
  submission.counted = isCounted(conclusion);
  submission.parkedReason = null;
  submission.parkedClass = null;
  submission.claimedBy = null;
  submission.leaseUntil = null;
  submission.closedAt ??= new Date();
}

/** Makes an id for a submission before its transaction, so that its commit can be pinned under it first. */
export const newSubmissionId = newId;
