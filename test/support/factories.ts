import { join } from 'node:path';
import { Exercise } from '../../src/database/entities/exercises.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import type { Orm } from '../../src/database/orm.ts';
import { newId } from '../../src/database/columns.ts';
import type { Role } from '../../src/domain/users.ts';
import { readCourseContent } from '../../src/services/content.ts';
import { publishCourse } from '../../src/services/publish.ts';
import { submitTask } from '../../src/services/submissions.ts';
import { ensureUser } from '../../src/services/users.ts';

export const password = 'a password for tests';

/** The demo academy's content, published as the default course. */
export async function publishDemoCourse(orm: Orm): Promise<void> {
  const content = await readCourseContent(join(import.meta.dirname, '../../content/demo'));
  await publishCourse(orm.em.fork(), content, { isDefault: true });
}

/** Limits of the queue that no test comes near by accident. */
export const roomyQueue = { maxQueued: 1_000, maxOpenPerStudent: 100 };

let userCount = 0;

/** An account with the role; students are enrolled in the default course where one is published. */
export async function createUser(orm: Orm, role: Role = 'CODING_STUDENT'): Promise<{ id: string; role: Role; email: string }> {
  userCount += 1;
  const email = `${role.toLowerCase()}-${userCount}-${newId().slice(-6)}@example.test`;
  const { userId } = await ensureUser(orm.em.fork(), { email, name: `User ${userCount}`, password, role });
  return { id: userId, role, email };
}

/** A student with the starter task. */
export async function createStudentWithTask(
  orm: Orm,
): Promise<{ student: { id: string; role: Role; email: string }; taskId: string }> {
  const student = await createUser(orm);
  const task = await orm.em.fork().findOneOrFail(Task, { assignee: student.id });
  return { student, taskId: task.id };
}

/** A submission of the task, locked and queued, as the API makes it. */
export async function createSubmission(orm: Orm, input: { taskId: string; studentId: string; commit?: string }): Promise<string> {
  const submissionId = newId();
  await orm.em.fork().transactional((tx) =>
    submitTask(tx, {
      taskId: input.taskId,
      actorId: input.studentId,
      submissionId,
      makeSource: async ({ repositoryId }) => ({ kind: 'hosted', repositoryId, commit: input.commit ?? 'c'.repeat(40) }),
    }),
  );
  return submissionId;
}

/** Id of a demo exercise. */
export async function selectExerciseId(orm: Orm, slug: string): Promise<string> {
  return (await orm.em.fork().findOneOrFail(Exercise, { slug })).id;
}
