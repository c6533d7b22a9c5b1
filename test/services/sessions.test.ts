import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AccessToken, Session } from '../../src/database/entities/sessions.ts';
import { User } from '../../src/database/entities/users.ts';
import {
  createAccessToken,
  login,
  logout,
  selectOptionalActor,
  selectOptionalActorByAccessToken,
} from '../../src/services/sessions.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createUser, password } from '../support/factories.ts';
import { unknownId } from './support.ts';

const hourMs = 3_600_000;

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(() => database.close());

const enter = (email: string, ttlMs = hourMs) => login(database.orm.em.fork(), { email, password, ttlMs });
const actorOf = (session: { sessionId: string; userId: string }) => selectOptionalActor(database.orm.em.fork(), session);
const updateUser = (id: string, changes: { role?: 'SUPER_ADMIN' | 'CODING_STUDENT'; disabledAt?: Date; erasedAt?: Date }) =>
  database.orm.em.fork().nativeUpdate(User, id, changes);

describe('login', () => {
  it('opens a session of the length that was asked for', async () => {
    const user = await createUser(database.orm, 'ACADEMY_REVIEWER');
    const before = Date.now();
    const session = await enter(user.email.toUpperCase());
    expect(session.expiresAt.getTime()).toBeGreaterThanOrEqual(before + hourMs);
    expect(session.expiresAt.getTime()).toBeLessThanOrEqual(Date.now() + hourMs);
    expect(await actorOf(session)).toEqual({ id: user.id, role: 'ACADEMY_REVIEWER' });
  });

  it('takes the password in any form that Unicode holds for the same, and no other', async () => {
    const { email } = await createUser(database.orm);
    const attempt = (text: string) => login(database.orm.em.fork(), { email, password: text, ttlMs: hourMs });
    await expect(attempt(password.replace('a', 'ａ'))).resolves.toBeDefined();
    for (const wrong of [`${password} `, password.toUpperCase(), '']) {
      await expect(attempt(wrong)).rejects.toMatchObject({ kind: 'unauthenticated' });
    }
  });

  it('answers alike for an unknown address, a wrong password, and an account that is disabled or erased', async () => {
    const [wrong, disabled, erased] = [
      await createUser(database.orm),
      await createUser(database.orm),
      await createUser(database.orm),
    ];
    await updateUser(disabled.id, { disabledAt: new Date() });
    await updateUser(erased.id, { erasedAt: new Date() });
    const attempts = [
      login(database.orm.em.fork(), { email: 'nobody@example.test', password, ttlMs: hourMs }),
      login(database.orm.em.fork(), { email: wrong.email, password: 'guessed', ttlMs: hourMs }),
      enter(disabled.email),
      enter(erased.email),
    ];
    const failures = await Promise.all(attempts.map((attempt) => attempt.catch((error: unknown) => error)));
    expect(failures.map((failure) => (failure as { kind?: string }).kind)).toEqual(Array(4).fill('unauthenticated'));
    expect(new Set(failures.map((failure) => (failure as Error).message)).size).toBe(1);
    expect(await database.orm.em.fork().count(Session, { user: [wrong.id, disabled.id, erased.id] })).toBe(0);
  });
});

describe('a session', () => {
  it('ends with a logout, which may be repeated, and leaves the others', async () => {
    const { email } = await createUser(database.orm);
    const [left, kept] = [await enter(email), await enter(email)];
    await logout(database.orm.em.fork(), left.sessionId);
    const { revokedAt } = await database.orm.em.fork().findOneOrFail(Session, left.sessionId);
    await logout(database.orm.em.fork(), left.sessionId);
    expect(await actorOf(left)).toBeNull();
    expect(await actorOf(kept)).not.toBeNull();
    expect((await database.orm.em.fork().findOneOrFail(Session, left.sessionId)).revokedAt).toEqual(revokedAt);
  });

  it('gives the role as it is now', async () => {
    const user = await createUser(database.orm, 'SUPER_ADMIN');
    const session = await enter(user.email);
    expect(await actorOf(session)).toMatchObject({ role: 'SUPER_ADMIN' });
    await updateUser(user.id, { role: 'CODING_STUDENT' });
    expect(await actorOf(session)).toMatchObject({ role: 'CODING_STUDENT' });
  });

  it.each([['disabledAt'], ['erasedAt']] as const)('is nobody from the moment the account has %s', async (column) => {
    const user = await createUser(database.orm);
    const session = await enter(user.email);
    await updateUser(user.id, { [column]: new Date() });
    expect(await actorOf(session)).toBeNull();
  });

  it('is nobody when it has expired, and for another user', async () => {
    const [user, other] = [await createUser(database.orm), await createUser(database.orm)];
    expect(await actorOf(await enter(user.email, -1))).toBeNull();
    expect(await actorOf({ ...(await enter(user.email)), userId: other.id })).toBeNull();
    expect(await actorOf({ sessionId: unknownId, userId: user.id })).toBeNull();
  });
});

describe('an access token', () => {
  const create = (userId: string, ttlMs = hourMs) => createAccessToken(database.orm.em.fork(), { userId, name: 'laptop', ttlMs });
  const actorOfToken = (token: string) => selectOptionalActorByAccessToken(database.orm.em.fork(), token);

  it('stands for its user with the role as it is now', async () => {
    const user = await createUser(database.orm);
    const { token } = await create(user.id);
    expect(await actorOfToken(token)).toEqual({ id: user.id, role: 'CODING_STUDENT' });
    await updateUser(user.id, { role: 'SUPER_ADMIN' });
    expect(await actorOfToken(token)).toEqual({ id: user.id, role: 'SUPER_ADMIN' });
  });

  it('is stored as a hash alone', async () => {
    const user = await createUser(database.orm);
    const { id, token } = await create(user.id);
    const [row] = await database.orm.em.fork().execute<object[]>('select * from accounts.access_tokens where id = ?', [id]);
    expect(row).toHaveProperty('token_hash', createHash('sha256').update(token).digest('hex'));
    expect(JSON.stringify(row)).not.toContain(token.slice('atl_'.length));
    expect(token).toMatch(/^atl_[\w-]{43}$/);
  });

  it('stands for nobody when it is expired, revoked, unknown or of an account that is blocked', async () => {
    const [user, disabled, erased] = [
      await createUser(database.orm),
      await createUser(database.orm),
      await createUser(database.orm),
    ];
    const expired = await create(user.id, -1);
    const revoked = await create(user.id);
    await database.orm.em.fork().nativeUpdate(AccessToken, revoked.id, { revokedAt: new Date() });
    const [ofDisabled, ofErased] = [await create(disabled.id), await create(erased.id)];
    await updateUser(disabled.id, { disabledAt: new Date() });
    await updateUser(erased.id, { erasedAt: new Date() });
    for (const { token } of [expired, revoked, ofDisabled, ofErased]) expect(await actorOfToken(token)).toBeNull();
    const { token } = await create(user.id);
    expect(await actorOfToken(token.toUpperCase())).toBeNull();
    expect(await actorOfToken(createHash('sha256').update(token).digest('hex'))).toBeNull();
    expect(await actorOfToken(token)).not.toBeNull();
  });
});
