import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { Enrolment } from '../../src/database/entities/enrolments.ts';
import { Delivery, Notification } from '../../src/database/entities/notifications.ts';
import { Activity, AuditEntry } from '../../src/database/entities/operations.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { User } from '../../src/database/entities/users.ts';
import { login } from '../../src/services/sessions.ts';
import { ensureUser, registerStudent } from '../../src/services/users.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { publishDemoCourse } from '../support/factories.ts';
import { race } from './support.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
});

afterAll(() => database.close());

const newEmail = () => `ann-${newId()}@example.test`;
const register = (email: string, name = 'Ann', password = 'correct horse battery') =>
  registerStudent(database.orm.em.fork(), { email, name, password });

/** All that an account consists of. */
async function accountOf(email: string) {
  const em = database.orm.em.fork();
  const user = await em.findOneOrFail(User, { email });
  const notifications = await em.find(Notification, { user }, { orderBy: { id: 'asc' } });
  return {
    user: { id: user.id, name: user.name, role: user.role, passwordHash: user.passwordHash },
    enrolments: await em.count(Enrolment, { user }),
    tasks: await em.find(Task, { assignee: user }, { populate: ['exercise'] }),
    kinds: notifications.map(({ kind }) => kind),
    deliveries: await em.count(Delivery, { notification: notifications }),
    registrations: await em.count(Activity, { kind: 'user.registered', actorId: user.id }),
  };
}

describe('registerStudent', () => {
  it('enrols in the default course with the starter task, and welcomes by notification and mail', async () => {
    const email = newEmail();
    await register(email);
    const account = await accountOf(email);
    expect(account).toMatchObject({ enrolments: 1, kinds: ['welcome'], deliveries: 1, registrations: 1 });
    expect(account.user).toMatchObject({ name: 'Ann', role: 'CODING_STUDENT' });
    expect(account.tasks.map(({ status, exercise }) => [status, exercise.getEntity().slug])).toEqual([
      ['TODO', 'night-bus-board'],
    ]);
    expect(account.user.passwordHash).toMatch(/^\$argon2id\$/);
  });

  it.each([
    ['another case', (email: string) => email.toUpperCase()],
    ['spaces around it', (email: string) => ` ${email}\t`],
    ['full-width letters', (email: string) => email.replace('ann', 'ａＮｎ')],
  ])('changes nothing for an address that is used, given in %s, and tells its owner by mail', async (_case, write) => {
    const email = newEmail();
    await register(email);
    const before = await accountOf(email);
    await register(write(email), 'Eve', 'the password of eve');
    const after = await accountOf(email);
    expect(after).toMatchObject({ user: before.user, enrolments: 1, registrations: 1 });
    expect(after.kinds).toEqual(['welcome', 'already-registered']);
    expect(after.deliveries).toBe(2);
    const enter = (password: string) => login(database.orm.em.fork(), { email, password, ttlMs: 1_000 });
    await expect(enter('the password of eve')).rejects.toMatchObject({ kind: 'unauthenticated' });
    expect(await enter('correct horse battery')).toMatchObject({ userId: before.user.id });
  });

  it('makes one account of many registrations at once, and is an error for none', async () => {
    const email = newEmail();
    const { refused } = await race(20, (index) => register(index % 2 === 0 ? email : email.toUpperCase(), `Ann ${index}`));
    expect(refused).toEqual([]);
    const account = await accountOf(email);
    expect(account).toMatchObject({ enrolments: 1, registrations: 1 });
    expect(account.tasks).toHaveLength(1);
    expect(account.kinds.filter((kind) => kind === 'welcome')).toHaveLength(1);
  });

  it('needs no course', async () => {
    const bare = await createTestDatabase();
    await registerStudent(bare.orm.em.fork(), { email: 'ann@example.test', name: 'Ann', password: 'correct horse battery' });
    expect(await bare.orm.em.fork().count(User)).toBe(1);
    expect(await bare.orm.em.fork().count(Enrolment)).toBe(0);
    await bare.close();
  });
});

describe('ensureUser', () => {
  it('keeps the account that has the address, its role included', async () => {
    const email = newEmail();
    const input = { email, name: 'Ada', password: 'correct horse battery', role: 'SUPER_ADMIN' as const };
    const first = await ensureUser(database.orm.em.fork(), input);
    const again = await ensureUser(database.orm.em.fork(), { ...input, email: email.toUpperCase(), role: 'CODING_STUDENT' });
    expect(first.isNew).toBe(true);
    expect(again).toEqual({ userId: first.userId, isNew: false });
    expect(await database.orm.em.fork().findOneOrFail(User, first.userId)).toMatchObject({ role: 'SUPER_ADMIN' });
    expect(await database.orm.em.fork().count(AuditEntry, { targetId: first.userId })).toBe(1);
  });
});
