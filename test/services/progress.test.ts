import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { XpEntry } from '../../src/database/entities/progress.ts';
import { User } from '../../src/database/entities/users.ts';
import type { TaskStatus } from '../../src/domain/tasks.ts';
import { selectXpTotal, settleTaskXp } from '../../src/services/progress.ts';
import { lockTask } from '../../src/services/tasks.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createStudentWithTask, createUser, publishDemoCourse } from '../support/factories.ts';
import { race } from './support.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
});

afterAll(() => database.close());

const em = () => database.orm.em.fork();

/** Brings the task into the state, as whoever holds its lock does, and settles. */
const settle = (taskId: string, change: { status?: TaskStatus; assigneeId?: string }, revisionXp = 50) =>
  em().transactional(async (tx) => {
    const task = await lockTask(tx, taskId);
    if (change.status !== undefined) task.status = change.status;
    if (change.assigneeId !== undefined) task.assignee = tx.getReference(User, change.assigneeId, { wrapped: true });
    return settleTaskXp(tx, task, revisionXp);
  });

const ledgerOf = async (taskId: string) =>
  (await em().find(XpEntry, { task: taskId }, { orderBy: { id: 'asc' } })).map(({ student, amount, sequence }) => [
    student.id,
    amount,
    sequence,
  ]);

describe('settleTaskXp', () => {
  it('adds what is missing, and nothing a second time', async () => {
    const { student, taskId } = await createStudentWithTask(database.orm);
    expect(await settle(taskId, { status: 'SUBMITTED' })).toBe(0);
    expect(await settle(taskId, { status: 'APPROVED' })).toBe(50);
    expect(await settle(taskId, {})).toBe(0);
    expect(await settle(taskId, { status: 'REJECTED' })).toBe(-50);
    expect(await settle(taskId, {})).toBe(0);
    expect(await settle(taskId, { status: 'APPROVED' })).toBe(50);
    expect(await ledgerOf(taskId)).toEqual([
      [student.id, 50, 1],
      [student.id, -50, 2],
      [student.id, 50, 3],
    ]);
    expect(await selectXpTotal(em(), student.id)).toBe(50);
  });

  it('adds once of 20 at once', async () => {
    const { student, taskId } = await createStudentWithTask(database.orm);
    const { returned, refused } = await race(20, () => settle(taskId, { status: 'APPROVED' }));
    expect(refused).toEqual([]);
    expect(returned.filter((added) => added !== 0)).toEqual([50]);
    expect(await selectXpTotal(em(), student.id)).toBe(50);
  });

  it('takes from each former assignee what they had, over several hands and back', async () => {
    const { student, taskId } = await createStudentWithTask(database.orm);
    const [second, third] = [await createUser(database.orm), await createUser(database.orm)];
    await settle(taskId, { status: 'APPROVED' });
    expect(await settle(taskId, { assigneeId: second.id })).toBe(50);
    expect(await settle(taskId, { assigneeId: third.id, status: 'TODO' })).toBe(0);
    expect(await settle(taskId, { assigneeId: student.id, status: 'APPROVED' })).toBe(50);
    expect(await Promise.all([student.id, second.id, third.id].map((id) => selectXpTotal(em(), id)))).toEqual([50, 0, 0]);
    const entries = await ledgerOf(taskId);
    expect(entries.filter(([id]) => id === student.id)).toEqual([
      [student.id, 50, 1],
      [student.id, -50, 2],
      [student.id, 50, 3],
    ]);
    expect(entries.filter(([id]) => id === third.id)).toEqual([]);
  });
});

describe('selectXpTotal', () => {
  it('is a student’s own; nothing is zero', async () => {
    const [one, other] = [await createStudentWithTask(database.orm), await createStudentWithTask(database.orm)];
    expect(await selectXpTotal(em(), one.student.id)).toBe(0);
    await settle(one.taskId, { status: 'APPROVED' });
    await settle(other.taskId, { status: 'APPROVED' }, 7);
    expect([await selectXpTotal(em(), one.student.id), await selectXpTotal(em(), other.student.id)]).toEqual([50, 7]);
  });
});
