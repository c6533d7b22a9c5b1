import { LockMode } from '@mikro-orm/core';
import { Submission } from '../database/entities/submissions.ts';
import { Task } from '../database/entities/tasks.ts';
import type { Em } from '../database/orm.ts';
import type { Language } from '../domain/check-runs.ts';
import { DomainError } from '../domain/errors.ts';
import type { TaskStatus } from '../domain/tasks.ts';
import { taskAfter } from '../domain/tasks.ts';
import { type Actor, mayReview } from '../domain/users.ts';
import { recordActivity } from './activity.ts';

export interface TaskView {
  readonly id: string;
  readonly status: TaskStatus;
  readonly courseSlug: string;
  readonly exercise: { readonly id: string; readonly slug: string; readonly title: string; readonly language: Language };
  readonly xp: number;
  readonly assigneeId: string;
  readonly latestSubmissionId: string | null;
  /** Of our own repository for it. */
  readonly repositoryId: string;
  readonly repoUrl: string | null;
  readonly updatedAt: Date;
  /** Goes up with every change. */
  readonly version: number;
}

export interface TaskDetails extends TaskView {
  /** Markdown. */
  readonly statement: string;
}

const shown = ['exercise.course', 'revision'] as const;

function viewTask(task: Task, latestSubmissionId: string | null): TaskView {
  const exercise = task.exercise.getEntity();
  return {
    id: task.id,
    status: task.status,
    courseSlug: exercise.course.getEntity().slug,
    exercise: { id: exercise.id, slug: exercise.slug, title: exercise.title, language: exercise.language },
    xp: task.revision.getEntity().xp,
    assigneeId: task.assignee.id,
    latestSubmissionId,
    repositoryId: task.repositoryId,
    repoUrl: task.repoUrl,
    updatedAt: task.updatedAt,
    version: task.version,
  };
}

/** The tasks assigned to a user, in the order of their courses. */
export async function listTasks(em: Em, userId: string): Promise<TaskView[]> {
  const tasks = await em.find(
    Task,
    { assignee: userId },
    { populate: [...shown], orderBy: { exercise: { course: { slug: 'asc' }, position: 'asc' } } },
  );
  const submissions = await em.find(
    Submission,
    { task: tasks.map((task) => task.id), status: 'SUBMITTED' },
    { orderBy: { attemptNo: 'asc' } },
  );
  const latest = new Map(submissions.map((submission) => [submission.task.id, submission.id]));
  return tasks.map((task) => viewTask(task, latest.get(task.id) ?? null));
}

/**
 * One task, for its assignee, an admin, and reviewers once something was submitted.
 *
 * @throws DomainError `not-found`, also for a task that is not visible to the actor: its existence is not told.
 */
export async function selectTask(em: Em, actor: Actor, taskId: string): Promise<TaskDetails> {
  return selectVisibleTask(em, actor, { id: taskId });
}

/** The same by the id of its repository, as git names it. */
export async function selectTaskByRepository(em: Em, actor: Actor, repositoryId: string): Promise<TaskDetails> {
  return selectVisibleTask(em, actor, { repositoryId });
}

async function selectVisibleTask(em: Em, actor: Actor, which: { id: string } | { repositoryId: string }): Promise<TaskDetails> {
  const task = await em.findOne(Task, which, { populate: [...shown] });
  const latest =
    task === null ? null : await em.findOne(Submission, { task, status: 'SUBMITTED' }, { orderBy: { attemptNo: 'desc' } });
  const isVisible = task?.assignee.id === actor.id || actor.role === 'SUPER_ADMIN' || (mayReview(actor) && latest !== null);
  if (task === null || !isVisible) throw taskNotFound();
  return { ...viewTask(task, latest?.id ?? null), statement: task.revision.getEntity().statement };
}

export function taskNotFound(): DomainError {
  return new DomainError('not-found', 'There is no such task.');
}

/** Locks a task's row until the caller's transaction ends: whoever changes a task, its submissions or its XP does this first. */
export async function lockTask(em: Em, taskId: string): Promise<Task> {
  const task = await em.findOne(Task, taskId, { lockMode: LockMode.PESSIMISTIC_WRITE });
  if (task === null) throw taskNotFound();
  return task;
}

/**
 * Names another host's repository that is submitted in place of our own; null goes back to our own.
 *
 * @param input.repoUrl in canonical form (`repo-urls.ts`).
 * @throws DomainError `not-found` unless the actor is the assignee, `invalid-state` while the task is submitted or approved.
 */
export async function setRepoUrl(em: Em, input: { taskId: string; actorId: string; repoUrl: string | null }): Promise<void> {
  await em.transactional(async (tx) => {
    const task = await lockTask(tx, input.taskId);
    if (task.assignee.id !== input.actorId) throw taskNotFound();
    if (!['TODO', 'IN_PROGRESS', 'REJECTED'].includes(task.status)) {
      throw new DomainError('invalid-state', `The repository of a task that is ${task.status} stays as it is.`);
    }
    task.repoUrl = input.repoUrl;
    task.updatedAt = new Date();
  });
}

/** Notes that the assignee has begun (the first push). A repeat, and a task that is under way, changes nothing. */
export async function beginTask(em: Em, input: { taskId: string; actorId: string }): Promise<void> {
  await em.transactional(async (tx) => {
    const task = await lockTask(tx, input.taskId);
    if (task.status !== 'TODO') return;
    task.status = taskAfter(task.status, 'begin');
    task.updatedAt = new Date();
    recordActivity(tx, 'task.begun', { actorId: input.actorId, taskId: task.id });
  });
}
