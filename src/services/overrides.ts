import { LockMode } from '@mikro-orm/core';
import { createHash } from 'node:crypto';
import { newId } from '../database/columns.ts';
import { Override, Review } from '../database/entities/reviews.ts';
import { Submission } from '../database/entities/submissions.ts';
import type { Task } from '../database/entities/tasks.ts';
import { User } from '../database/entities/users.ts';
import type { Em } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import { uuidV7 } from '../domain/ids.ts';
import { isOverrideSignal, type OverrideSignal, type ReviewOutcome } from '../domain/reviews.ts';
import type { Conclusion } from '../domain/submissions.ts';
import type { OverridableStatus } from '../domain/tasks.ts';
import type { Actor } from '../domain/users.ts';
import { recordActivity, recordAudit } from './activity.ts';
import { notify } from './notifications.ts';
import { countStarted, startEach } from './outbox.ts';
import { settleTaskXp } from './progress.ts';
import { isStorable, reviewNotFound } from './reviews.ts';
import { closeSubmission, selectOpenSubmission } from './submissions.ts';
import { currentTraceId } from '../trace.ts';
import { lockTask } from './tasks.ts';

/** An override as it was asked for. */
interface NewOverride {
  readonly actorId: string;
  readonly status: OverridableStatus;
  readonly assigneeId: string | null;
  /** The attempt that is decided otherwise; null is the newest one, where there is one. */
  readonly submissionId: string | null;
  readonly reason: string;
  readonly via: 'api' | 'temporal';
}

/**
 * Stores an admin's override of a task, in the caller's transaction: the row is the outbox entry from which its workflow is started.
 * A task that is given to somebody else begins anew there, unless a status is named.
 *
 * @param input.version what If-Match named.
 * @throws DomainError `not-found`, `changed-meanwhile`, `self-review` for the admin's own task, `validation` for an unknown assignee,
 *   `invalid-state` while another override of the task is not applied yet.
 */
export async function requestTaskOverride(
  em: Em,
  actor: Actor,
  input: {
    taskId: string;
    version: number;
    status?: OverridableStatus | undefined;
    assigneeId?: string | undefined;
    reason: string;
  },
): Promise<{ overrideId: string }> {
  const task = await lockTask(em, input.taskId);
  if (task.version !== input.version) throw changedMeanwhile('task');
  const { assigneeId = null, reason } = input;
  if (assigneeId !== null && (await em.count(User, { id: assigneeId, disabledAt: null, erasedAt: null })) === 0) {
    throw new DomainError('validation', 'assigneeId is not the id of an account that is in use.');
  }
  if (assigneeId === task.assignee.id && input.status === undefined) {
    throw new DomainError('validation', 'assigneeId is the assignee already: name a status to override the task.');
  }
  const status = input.status ?? 'TODO';
  return createOverride(em, task, { actorId: actor.id, status, assigneeId, submissionId: null, reason, via: 'api' }, newId());
}

/**
 * Stores an admin's override of a review's outcome, in the caller's transaction.
 *
 * @param input.ifMatch the review's id: its entity tag while it is current.
 * @throws DomainError as `requestTaskOverride`, and `invalid-state` where a later attempt is decided (its review is the one to override)
 *   and where the task is somebody else's by now, who must not be given what the first one's work was worth.
 */
export async function requestReviewOverride(
  em: Em,
  actor: Actor,
  input: { reviewId: string; ifMatch: string; outcome: ReviewOutcome; reason: string },
): Promise<{ overrideId: string }> {
  const review = await em.findOne(Review, input.reviewId, { populate: ['submission'] });
  if (review === null) throw reviewNotFound();
  const submission = review.submission.$;
  const task = await lockTask(em, submission.task.id);
  await em.refresh(review);
  if (review.supersededBy !== null || input.ifMatch !== review.id) throw changedMeanwhile('review');
  if (submission.student.id === actor.id) throw ownWork();
  if (submission.student.id !== task.assignee.id) {
    throw new DomainError('invalid-state', 'This task was given to somebody else: override the task.');
  }
  const later = { task: task.id, attemptNo: { $gt: submission.attemptNo }, conclusion: ['approved', 'rejected'] as Conclusion[] };
  if ((await em.count(Submission, later)) > 0) {
    throw new DomainError('invalid-state', 'A later attempt at this task is decided: override its review, or the task.');
  }
  const { outcome: status, reason } = input;
  const about = { actorId: actor.id, status, assigneeId: null, submissionId: submission.id, reason, via: 'api' } as const;
  return createOverride(em, task, about, newId());
}

const ownWork = () => new DomainError('self-review', 'Nobody overrides their own work.');

const changedMeanwhile = (what: 'task' | 'review') =>
  new DomainError('changed-meanwhile', `The ${what} is not what If-Match names: get it again and look before you override.`);

/** A pending override holds the task: two that are stored at once would each not know of the other. */
async function createOverride(em: Em, task: Task, about: NewOverride, id: string): Promise<{ overrideId: string }> {
  if (about.actorId === task.assignee.id || about.actorId === about.assigneeId) {
    throw ownWork();
  }
  if ((await em.count(Override, { task, appliedAt: null })) > 0) {
    throw new DomainError('invalid-state', 'Another override of this task is under way: try again in a moment.');
  }
  const override = em.create(Override, {
    id,
    createdAt: new Date(),
    task,
    actor: about.actorId,
    status: about.status,
    assignee: about.assigneeId,
    submission: about.submissionId,
    reason: about.reason,
    via: about.via,
    startedAt: null,
    appliedAt: null,
    traceId: currentTraceId(),
  });
  await em.flush();
  return { overrideId: override.id };
}

/**
 * Stores an override that came as a signal; the relay starts its workflow. Everything is checked here, and nothing thrown: a signal has
 * nobody to answer. Safe to repeat.
 */
export async function recordOverrideSignal(
  em: Em,
  input: OverrideSignal & { submissionId: string },
): Promise<{ readonly status: 'recorded' } | { readonly status: 'ignored'; readonly message: string }> {
  const ignored = (message: string) => ({ status: 'ignored', message }) as const;
  const { outcome, reason } = input;
  const isUsable =
    isOverrideSignal(input) && isStorable(input) && reason.trim() !== '' && reason.length <= 2_000 && !reason.includes('\0');
  if (!isUsable) return ignored('overrideRequested takes requestId, actorId, outcome APPROVED or REJECTED, and a reason.');
  const digest = createHash('sha256').update(`override:${input.submissionId}:${input.requestId}`).digest();
  const id = uuidV7(digest.readUIntBE(0, 6), digest.subarray(6));
  try {
    return await em.transactional(async (tx) => {
      const admin = await tx.count(User, { id: input.actorId, role: 'SUPER_ADMIN', disabledAt: null, erasedAt: null });
      if (admin === 0) return ignored('actorId is not the id of an administrator.');
      const submission = await tx.findOneOrFail(Submission, input.submissionId);
      const task = await lockTask(tx, submission.task.id);
      if ((await tx.count(Override, { id })) > 0) return { status: 'recorded' };
      const { actorId, submissionId } = input;
      await createOverride(tx, task, { actorId, status: outcome, assigneeId: null, submissionId, reason, via: 'temporal' }, id);
      return { status: 'recorded' };
    });
  } catch (error) {
    if (error instanceof DomainError) return ignored(error.message);
    throw error;
  }
}

/** Starts what the outbox of overrides holds, as `relayUnstartedSubmissions` does for submissions. */
export async function relayUnstartedOverrides(
  em: Em,
  limit: number,
  start: (overrideId: string) => Promise<void>,
): Promise<number> {
  const batch = await em.transactional(async (tx) => {
    const rows = await tx.find(
      Override,
      { startedAt: null },
      { limit, orderBy: { createdAt: 'asc' }, lockMode: LockMode.PESSIMISTIC_PARTIAL_WRITE },
    );
    return startEach(rows, (row) => start(row.id));
  });
  return countStarted(batch);
}

/** The workflow that has the task's open submission now; null where none is open, or it is not started. */
export async function selectOverriddenWorkflow(em: Em, overrideId: string): Promise<string | null> {
  const override = await em.findOneOrFail(Override, overrideId);
  if (override.appliedAt !== null) return null;
  const open = await selectOpenSubmission(em, override.task.id);
  return open === null || open.startedAt === null ? null : open.workflowId;
}

/**
 * Applies an override: task, superseding review, open submission, XP difference, notices, activity and audit in one transaction. The
 * overriding workflow and that of the open submission may both call it: the second finds it applied.
 *
 * @throws DomainError `not-found`.
 */
export async function commitOverride(em: Em, overrideId: string): Promise<void> {
  await em.transactional(async (tx) => {
    const found = await tx.findOne(Override, overrideId);
    if (found === null) throw new DomainError('not-found', 'There is no such override.');
    const task = await lockTask(tx, found.task.id);
    const override = await tx.findOneOrFail(Override, overrideId, { lockMode: LockMode.PESSIMISTIC_WRITE, refresh: true });
    const open = await tx.findOne(Submission, { task, closedAt: null }, { lockMode: LockMode.PESSIMISTIC_WRITE, refresh: true });
    if (override.appliedAt !== null) return;
    const from = { status: task.status, assigneeId: task.assignee.id };
    const overruled = await selectOverruled(tx, override, task);
    if (open !== null && open.id !== overruled?.id) closeSubmission(open, 'closed-by-admin');
    if (overruled !== null) await overrule(tx, override, overruled);

    task.status = override.status;
    task.updatedAt = new Date();
    if (override.assignee !== null && override.assignee.id !== task.assignee.id) reassign(tx, task, override.assignee.id);
    await tx.populate(task, ['revision']);
    const xpAdded = await settleTaskXp(tx, task, task.revision.getEntity().xp);
    override.appliedAt = new Date();

    const about = { causeId: override.id, taskId: task.id };
    const submissionOf = overruled ?? open;
    await notify(tx, { ...about, userId: from.assigneeId, kind: 'overridden', submissionId: submissionOf?.id });
    if (task.assignee.id !== from.assigneeId) await notify(tx, { ...about, userId: task.assignee.id, kind: 'task-assigned' });
    const to = { status: task.status, assigneeId: task.assignee.id };
    recordActivity(tx, 'task.overridden', {
      actorId: override.actor.id,
      taskId: task.id,
      ...(submissionOf !== null && { submission: submissionOf }),
      data: { status: to.status, xpAdded },
    });
    recordAudit(tx, {
      action: 'task.overridden',
      actorId: override.actor.id,
      target: { kind: 'task', id: task.id },
      via: override.via,
      data: { overrideId, from, to, submissionId: submissionOf?.id ?? null, reason: override.reason, xpAdded },
    });
  });
}

/**
 * The attempt whose outcome the override changes: the one that it names, else the newest of the task's own assignee. One whose code was
 * never there has no outcome.
 */
async function selectOverruled(em: Em, override: Override, task: Task): Promise<Submission | null> {
  const isOutcome = override.status === 'APPROVED' || override.status === 'REJECTED';
  if (!isOutcome || override.assignee !== null) return null;
  const which = override.submission === null ? {} : { id: override.submission.id };
  const newest = await em.findOne(
    Submission,
    { ...which, task, student: task.assignee.id, status: 'SUBMITTED' },
    { orderBy: { attemptNo: 'desc' }, lockMode: LockMode.PESSIMISTIC_WRITE, refresh: true },
  );
  return newest?.source?.commit == null ? null : newest;
}

/** Puts the admin's review in the place of the current one, and ends the submission with it. */
async function overrule(em: Em, override: Override, submission: Submission): Promise<void> {
  const outcome = override.status === 'APPROVED' ? 'APPROVED' : 'REJECTED';
  const id = newId();
  await em.nativeUpdate(Review, { submission, supersededBy: null }, { supersededBy: id });
  em.create(Review, {
    id,
    createdAt: new Date(),
    submission,
    reviewer: override.actor,
    outcome,
    comment: override.reason,
    commit: submission.source?.commit ?? '',
    requestId: override.id,
    via: override.via,
    supersededBy: null,
  });
  closeSubmission(submission, outcome === 'APPROVED' ? 'approved' : 'rejected');
}

/** The new assignee begins with a repository of their own: the old one holds the work of another. */
function reassign(em: Em, task: Task, assigneeId: string): void {
  task.assignee = em.getReference(User, assigneeId, { wrapped: true });
  task.repositoryId = newId();
  task.repoUrl = null;
}

/** Whether an override has been applied. */
export async function isOverrideApplied(em: Em, overrideId: string): Promise<boolean> {
  return (await em.count(Override, { id: overrideId, appliedAt: { $ne: null } })) > 0;
}

/** Notes that the override's workflow is started; safe to repeat. */
export async function markOverrideStarted(em: Em, overrideId: string): Promise<void> {
  await em.nativeUpdate(Override, { id: overrideId, startedAt: null }, { startedAt: new Date() });
}
