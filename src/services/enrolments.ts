import { LockMode } from '@mikro-orm/core';
import { newId } from '../database/columns.ts';
import { Course } from '../database/entities/courses.ts';
import { Cohort, Enrolment } from '../database/entities/enrolments.ts';
import { Exercise, ExerciseRevision } from '../database/entities/exercises.ts';
import { Task } from '../database/entities/tasks.ts';
import type { Em } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import { recordActivity } from './activity.ts';

/** Enrols a user in the default course where there is one, in the caller's transaction. */
export async function enrolInDefaultCourse(em: Em, userId: string): Promise<void> {
  const course = await em.findOne(Course, { isDefault: true, archivedAt: null });
  if (course !== null) await enrolInCourse(em, course, userId);
}

/**
 * Enrols a user in a course, through its default cohort, and assigns the starter task. Safe to repeat: the enrolment is unique.
 *
 * @throws DomainError `not-found` where there is no such course.
 */
export async function enrol(em: Em, input: { userId: string; courseSlug: string }): Promise<{ enrolmentId: string }> {
  return em.transactional(async (tx) => {
    const course = await tx.findOne(Course, { slug: input.courseSlug, archivedAt: null });
    if (course === null) throw new DomainError('not-found', 'There is no such course.');
    return { enrolmentId: await enrolInCourse(tx, course, input.userId) };
  });
}

async function enrolInCourse(em: Em, course: Course, userId: string): Promise<string> {
  const cohort = await em.findOneOrFail(Cohort, { course, isDefault: true });
  const known = await em.findOne(Enrolment, { cohort, user: userId });
  if (known !== null) return known.id;
  const id = newId();
  // Of two enrolments at once the first makes the row, with its task; the other waits for it and finds it.
  const enrolment = await em.upsert(
    Enrolment,
    { id, createdAt: new Date(), cohort, user: userId },
    { onConflictFields: ['cohort', 'user'], onConflictAction: 'ignore' },
  );
  if (enrolment.id !== id) return enrolment.id;
  recordActivity(em, 'enrolment.created', { actorId: userId, data: { courseSlug: course.slug } });
  const starter = await em.findOneOrFail(Exercise, { course, slug: course.starterSlug });
  await assignTask(em, { enrolment, exercise: starter, assigneeId: userId });
  return enrolment.id;
}

/** Assigns an exercise's newest revision as a task, in the caller's transaction. */
async function assignTask(em: Em, input: { enrolment: Enrolment; exercise: Exercise; assigneeId: string }): Promise<Task> {
  const revision = await em.findOneOrFail(ExerciseRevision, { exercise: input.exercise }, { orderBy: { number: 'desc' } });
  const id = newId();
  const task = em.create(Task, {
    id,
    repositoryId: id,
    repoUrl: null,
    createdAt: new Date(),
    updatedAt: new Date(),
    enrolment: input.enrolment,
    exercise: input.exercise,
    revision,
    assignee: input.assigneeId,
    status: 'TODO',
  });
  recordActivity(em, 'task.assigned', { actorId: input.assigneeId, taskId: task.id });
  return task;
}

/**
 * Starts an exercise of a course that the user is enrolled in: assigns it as a task. A second call returns the same task.
 *
 * @throws DomainError `not-found` for an unknown exercise and for a course that the user is not enrolled in.
 */
export async function startTask(
  em: Em,
  input: { userId: string; exerciseId: string },
): Promise<{ taskId: string; isNew: boolean }> {
  return em.transactional(async (tx) => {
    const exercise = await tx.findOne(Exercise, { id: input.exerciseId, archivedAt: null });
    const enrolment =
      exercise === null
        ? null
        : await tx.findOne(
            Enrolment,
            { user: input.userId, cohort: { course: exercise.course.id } },
            { orderBy: { createdAt: 'desc' } },
          );
    if (exercise === null || enrolment === null) throw new DomainError('not-found', 'There is no such exercise in your courses.');
    // Two calls at once take turns, so that the second finds the task of the first.
    await tx.lock(enrolment, LockMode.PESSIMISTIC_WRITE);
    const known = await tx.findOne(Task, { enrolment, exercise });
    if (known !== null) return { taskId: known.id, isNew: false };
    const task = await assignTask(tx, { enrolment, exercise, assigneeId: input.userId });
    return { taskId: task.id, isNew: true };
  });
}
