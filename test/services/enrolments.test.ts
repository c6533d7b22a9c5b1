import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Course } from '../../src/database/entities/courses.ts';
import { Enrolment } from '../../src/database/entities/enrolments.ts';
import { Exercise } from '../../src/database/entities/exercises.ts';
import { Activity } from '../../src/database/entities/operations.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { enrol, startTask } from '../../src/services/enrolments.ts';
import { beginTask, listTasks, selectTask } from '../../src/services/tasks.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createStudentWithTask, createUser, publishDemoCourse, selectExerciseId } from '../support/factories.ts';
import { race, unknownId } from './support.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
});

afterAll(() => database.close());

const courseSlug = 'small-tools';
const enrolIn = (userId: string, slug = courseSlug) => enrol(database.orm.em.fork(), { userId, courseSlug: slug });
const start = (userId: string, exerciseId: string) => startTask(database.orm.em.fork(), { userId, exerciseId });

describe('enrol', () => {
  it('makes one enrolment with the starter task, however often and by how many at once it is asked', async () => {
    // Instructors are not enrolled by themselves; anybody may be.
    const { id: userId } = await createUser(database.orm, 'INSTRUCTOR');
    const { returned, refused } = await race(10, () => enrolIn(userId));
    returned.push(await enrolIn(userId));
    expect(refused).toEqual([]);
    expect(new Set(returned.map(({ enrolmentId }) => enrolmentId)).size).toBe(1);
    const em = database.orm.em.fork();
    expect(await em.count(Enrolment, { user: userId })).toBe(1);
    expect((await listTasks(em, userId)).map(({ exercise, status }) => [exercise.slug, status])).toEqual([
      ['night-bus-board', 'TODO'],
    ]);
    expect(await em.count(Activity, { actorId: userId, kind: 'enrolment.created' })).toBe(1);
  });

  it('knows no other courses, and no archived ones', async () => {
    const { id: userId } = await createUser(database.orm, 'INSTRUCTOR');
    await expect(enrolIn(userId, 'unknown')).rejects.toMatchObject({ kind: 'not-found' });
    await database.orm.em.fork().nativeUpdate(Course, { slug: courseSlug }, { archivedAt: new Date() });
    await expect(enrolIn(userId)).rejects.toMatchObject({ kind: 'not-found' });
    await database.orm.em.fork().nativeUpdate(Course, { slug: courseSlug }, { archivedAt: null });
    expect(await database.orm.em.fork().count(Enrolment, { user: userId })).toBe(0);
  });
});

describe('startTask', () => {
  it('assigns the exercise once, however often and by how many at once it is asked', async () => {
    const { id: userId } = await createUser(database.orm);
    const exerciseId = await selectExerciseId(database.orm, 'balcony-garden');
    const { returned, refused } = await race(10, () => start(userId, exerciseId));
    const again = await start(userId, exerciseId);
    expect(refused).toEqual([]);
    expect(returned.filter(({ isNew }) => isNew)).toHaveLength(1);
    expect(again.isNew).toBe(false);
    expect(new Set([...returned, again].map(({ taskId }) => taskId)).size).toBe(1);
    expect(await database.orm.em.fork().count(Task, { assignee: userId, exercise: exerciseId })).toBe(1);
    expect(await database.orm.em.fork().count(Activity, { taskId: again.taskId, kind: 'task.assigned' })).toBe(1);
  });

  it('finds the task that the enrolment has assigned', async () => {
    const { student, taskId } = await createStudentWithTask(database.orm);
    const exerciseId = await selectExerciseId(database.orm, 'night-bus-board');
    expect(await start(student.id, exerciseId)).toEqual({ taskId, isNew: false });
  });

  it('is for exercises of courses that the user is enrolled in', async () => {
    const { id: stranger } = await createUser(database.orm, 'INSTRUCTOR');
    const { id: student } = await createUser(database.orm);
    const exerciseId = await selectExerciseId(database.orm, 'kitchen-plan');
    await expect(start(stranger, exerciseId)).rejects.toMatchObject({ kind: 'not-found' });
    await expect(start(student, unknownId)).rejects.toMatchObject({ kind: 'not-found' });
    await database.orm.em.fork().nativeUpdate(Exercise, exerciseId, { archivedAt: new Date() });
    await expect(start(student, exerciseId)).rejects.toMatchObject({ kind: 'not-found' });
    await database.orm.em.fork().nativeUpdate(Exercise, exerciseId, { archivedAt: null });
  });
});

describe('selectTask', () => {
  it('shows a task to its assignee and to admins, and tells nobody else that it exists', async () => {
    const { student, taskId } = await createStudentWithTask(database.orm);
    const view = (actor: { id: string; role: typeof student.role }) => selectTask(database.orm.em.fork(), actor, taskId);
    expect(await view(student)).toMatchObject({ id: taskId, assigneeId: student.id, status: 'TODO', latestSubmissionId: null });
    expect(await view(await createUser(database.orm, 'SUPER_ADMIN'))).toMatchObject({ id: taskId });
    for (const role of ['CODING_STUDENT', 'ACADEMY_REVIEWER', 'INSTRUCTOR'] as const) {
      await expect(view(await createUser(database.orm, role))).rejects.toMatchObject({ kind: 'not-found' });
    }
  });
});

describe('beginTask', () => {
  it('notes the first push, once', async () => {
    const { student, taskId } = await createStudentWithTask(database.orm);
    await race(5, () => beginTask(database.orm.em.fork(), { taskId, actorId: student.id }));
    expect(await database.orm.em.fork().findOneOrFail(Task, taskId)).toMatchObject({ status: 'IN_PROGRESS' });
    expect(await database.orm.em.fork().count(Activity, { taskId, kind: 'task.begun' })).toBe(1);
  });
});
