import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AuditEntry } from '../../src/database/entities/operations.ts';
import { AccessToken, RefreshToken, Session } from '../../src/database/entities/sessions.ts';
import { User } from '../../src/database/entities/users.ts';
import { presentationOf, repeatGraceMs } from '../../src/domain/sessions.ts';
import {
  createAccessToken,
  login,
  logout,
  refreshSession,
  selectOptionalActor,
  selectOptionalActorByAccessToken,
} from '../../src/services/sessions.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createUser, password } from '../support/factories.ts';
import { race, unknownId } from './support.ts';

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

describe('what a refresh token that is presented means', () => {
  const now = new Date();
  const ago = (ms: number) => ({ usedAt: new Date(now.getTime() - ms) });
  const live = { usedAt: null };
  it.each([
    ['the live one', live, null, 'first'],
    ['refreshed just now', ago(0), live, 'repeat'],
    ['refreshed almost ten seconds ago', ago(repeatGraceMs - 1), live, 'repeat'],
    ['refreshed ten seconds ago', ago(repeatGraceMs), live, 'reuse'],
    ['refreshed just now to one that is used up', ago(0), ago(0), 'reuse'],
    ['gave way just now', ago(0), null, 'reuse'],
    ['gave way long ago', ago(hourMs), null, 'reuse'],
  ] as const)('%s', (_name, token, successor, presentation) => {
    expect(presentationOf(token, successor, now)).toBe(presentation);
  });
});

describe('a refresh token', () => {
  const refresh = (token: string) => refreshSession(database.orm.em.fork(), token);
  const rowOf = (token: string) => database.orm.em.fork().findOneOrFail(RefreshToken, { tokenHash: hashOf(token) });
  const hashOf = (token: string) => createHash('sha256').update(token).digest('hex');
  const age = (token: string, ms: number) =>
    database.orm.em.fork().nativeUpdate(RefreshToken, { tokenHash: hashOf(token) }, { usedAt: new Date(Date.now() - ms) });
  const liveOf = (sessionId: string) => database.orm.em.fork().find(RefreshToken, { session: sessionId, usedAt: null });
  const auditOf = (sessionId: string) => database.orm.em.fork().find(AuditEntry, { targetId: sessionId });
  const kindOf = (call: Promise<unknown>) =>
    call.then(
      () => 'refreshed',
      (error: unknown) => (error as { kind?: string }).kind,
    );

  it('is used up by its refresh, which gives the next one of the same session and moves no end', async () => {
    const user = await createUser(database.orm);
    const first = await enter(user.email);
    const second = await refresh(first.refreshToken);
    expect(second).toEqual({ ...first, refreshToken: expect.stringMatching(/^atr_[\w-]{43}$/) });
    expect(second.refreshToken).not.toBe(first.refreshToken);
    const next = await rowOf(second.refreshToken);
    expect(await rowOf(first.refreshToken)).toMatchObject({ usedAt: expect.any(Date), replacedBy: { id: next.id } });
    expect(next).toMatchObject({ usedAt: null, replacedBy: null });
    const third = await refresh(second.refreshToken);
    expect(await liveOf(first.sessionId)).toMatchObject([{ tokenHash: hashOf(third.refreshToken) }]);
    expect(await actorOf(third)).toEqual({ id: user.id, role: user.role });
  });

  it('is stored as a hash alone', async () => {
    const { email } = await createUser(database.orm);
    const { sessionId, refreshToken } = await enter(email);
    const successor = await refresh(refreshToken);
    const rows = await database.orm.em
      .fork()
      .execute<object[]>('select * from accounts.refresh_tokens where session_id = ? order by created_at, id', [sessionId]);
    expect(rows).toMatchObject([refreshToken, successor.refreshToken].map((token) => ({ token_hash: hashOf(token) })));
    for (const token of [refreshToken, successor.refreshToken]) {
      expect(JSON.stringify(rows)).not.toContain(token.slice('atr_'.length));
    }
  });

  it('that is used again ends its session, once in the audit, and no other session', async () => {
    const user = await createUser(database.orm);
    const [first, other] = [await enter(user.email), await enter(user.email)];
    const second = await refresh(first.refreshToken);
    const third = await refresh(second.refreshToken);
    expect(await kindOf(refresh(first.refreshToken))).toBe('token-reused');
    expect(await actorOf(first)).toBeNull();
    for (const { refreshToken } of [third, second, first]) expect(await kindOf(refresh(refreshToken))).toBe('unauthenticated');
    expect(await auditOf(first.sessionId)).toMatchObject([
      {
        action: 'session.reused',
        actorId: null,
        targetKind: 'session',
        via: 'api',
        data: { userId: user.id, refreshTokenId: (await rowOf(first.refreshToken)).id },
      },
    ]);
    expect(await actorOf(other)).not.toBeNull();
    expect(await kindOf(refresh(other.refreshToken))).toBe('refreshed');
  });

  it('may be repeated for ten seconds from the first time: the last answer lives, those before it do not', async () => {
    const { email } = await createUser(database.orm);
    const first = await enter(email);
    const lost = await refresh(first.refreshToken);
    const { usedAt } = await rowOf(first.refreshToken);
    const kept = await refresh(first.refreshToken);
    expect(await rowOf(first.refreshToken)).toMatchObject({ usedAt, replacedBy: { id: (await rowOf(kept.refreshToken)).id } });
    expect(await rowOf(lost.refreshToken)).toMatchObject({ usedAt: expect.any(Date), replacedBy: null });
    expect(await liveOf(first.sessionId)).toHaveLength(1);
    await age(first.refreshToken, repeatGraceMs);
    expect(await kindOf(refresh(first.refreshToken))).toBe('token-reused');
    expect(await kindOf(refresh(kept.refreshToken))).toBe('unauthenticated');
  });

  it('may not be repeated when what it brought was used', async () => {
    const { email } = await createUser(database.orm);
    const first = await enter(email);
    await refresh((await refresh(first.refreshToken)).refreshToken);
    expect(await kindOf(refresh(first.refreshToken))).toBe('token-reused');
    expect(await liveOf(first.sessionId)).toHaveLength(1);
    expect(await actorOf(first)).toBeNull();
  });

  it('that gave way to a repeat ends the session at once', async () => {
    const { email } = await createUser(database.orm);
    const first = await enter(email);
    const gaveWay = await refresh(first.refreshToken);
    const last = await refresh(first.refreshToken);
    expect(await kindOf(refresh(gaveWay.refreshToken))).toBe('token-reused');
    expect(await kindOf(refresh(last.refreshToken))).toBe('unauthenticated');
  });

  it('ten times at once is answered ten times, and one answer lives', async () => {
    const { email } = await createUser(database.orm);
    const first = await enter(email);
    const { returned, refused } = await race(10, () => refresh(first.refreshToken));
    expect(refused).toEqual([]);
    expect(new Set(returned.map(({ refreshToken }) => refreshToken)).size).toBe(10);
    const [live, ...more] = await liveOf(first.sessionId);
    expect(more).toEqual([]);
    const last = returned.find(({ refreshToken }) => hashOf(refreshToken) === live?.tokenHash);
    expect(await kindOf(refresh(last?.refreshToken ?? ''))).toBe('refreshed');
    const dead = returned.filter((answer) => answer !== last);
    expect(await kindOf(refresh(dead[0]?.refreshToken ?? ''))).toBe('token-reused');
    expect(await auditOf(first.sessionId)).toHaveLength(1);
  });

  it('reused ten times at once is in the audit once', async () => {
    const { email } = await createUser(database.orm);
    const first = await enter(email);
    await refresh(first.refreshToken);
    await age(first.refreshToken, hourMs);
    const { refused } = await race(10, () => refresh(first.refreshToken));
    expect(refused).toHaveLength(10);
    expect(refused.filter((kind) => kind !== 'unauthenticated')).toEqual(['token-reused']);
    expect(await auditOf(first.sessionId)).toHaveLength(1);
  });

  it('and its successor at once, or its session logged out meanwhile, leave no two live ones and fail with nothing else', async () => {
    const { email } = await createUser(database.orm);
    for (let round = 0; round < 5; round += 1) {
      const first = await enter(email);
      const second = await refresh(first.refreshToken);
      const { refused } = await race(10, (index) => refresh((index % 2 === 0 ? first : second).refreshToken));
      expect(refused.filter((kind) => kind !== 'token-reused' && kind !== 'unauthenticated')).toEqual([]);
      expect((await liveOf(first.sessionId)).length).toBeLessThanOrEqual(1);

      const left = await enter(email);
      const ends = await race(5, async (index) =>
        index === 2 ? logout(database.orm.em.fork(), left.sessionId) : refresh(left.refreshToken),
      );
      expect(ends.refused.filter((kind) => kind !== 'unauthenticated')).toEqual([]);
      expect(await actorOf(left)).toBeNull();
      for (const { refreshToken } of ends.returned.filter((answer) => answer !== undefined)) {
        expect(await kindOf(refresh(refreshToken))).toBe('unauthenticated');
      }
    }
  });

  it('is not used up by a refresh that was not committed', async () => {
    const { email } = await createUser(database.orm);
    const { refreshToken } = await enter(email);
    const crashed = database.orm.em.fork().transactional(async (tx) => {
      await refreshSession(tx, refreshToken);
      throw new Error('crashed');
    });
    await expect(crashed).rejects.toThrow('crashed');
    expect(await rowOf(refreshToken)).toMatchObject({ usedAt: null, replacedBy: null });
    expect(await kindOf(refresh(refreshToken))).toBe('refreshed');
  });

  it('opens nothing after a logout, the end of the session, or with an account that is blocked, and is not used up', async () => {
    const [user, disabled, erased] = [
      await createUser(database.orm),
      await createUser(database.orm),
      await createUser(database.orm),
    ];
    const [left, expired] = [await enter(user.email), await enter(user.email, -1)];
    const [ofDisabled, ofErased] = [await enter(disabled.email), await enter(erased.email)];
    await logout(database.orm.em.fork(), left.sessionId);
    await updateUser(disabled.id, { disabledAt: new Date() });
    await updateUser(erased.id, { erasedAt: new Date() });
    for (const { refreshToken } of [left, expired, ofDisabled, ofErased]) {
      expect(await kindOf(refresh(refreshToken))).toBe('unauthenticated');
      expect(await rowOf(refreshToken)).toMatchObject({ usedAt: null });
    }
  });

  it('opens nothing where it is not one of ours, to the letter', async () => {
    const user = await createUser(database.orm);
    const { refreshToken } = await enter(user.email);
    const { token } = await createAccessToken(database.orm.em.fork(), {
      userId: user.id,
      name: 'laptop',
      ttlMs: hourMs,
      seed: null,
    });
    const foreign = ['', `atr_${'A'.repeat(43)}`, `${refreshToken}=`, refreshToken.toUpperCase(), hashOf(refreshToken), token];
    for (const text of foreign) expect(await kindOf(refresh(text))).toBe('unauthenticated');
    expect(await selectOptionalActorByAccessToken(database.orm.em.fork(), refreshToken)).toBeNull();
    expect(await kindOf(refresh(refreshToken))).toBe('refreshed');
  });

  it('has no live sibling: the database itself refuses a second', async () => {
    const { email } = await createUser(database.orm);
    const { sessionId } = await enter(email);
    const em = database.orm.em.fork();
    const row = { session: sessionId, tokenHash: 'f'.repeat(64), usedAt: null, replacedBy: null };
    em.create(RefreshToken, { id: unknownId, createdAt: new Date(), ...row });
    await expect(em.flush()).rejects.toThrow('refresh_tokens_one_live');
  });
});

describe('an access token', () => {
  const create = (userId: string, ttlMs = hourMs, seed: Buffer | null = null) =>
    createAccessToken(database.orm.em.fork(), { userId, name: 'laptop', ttlMs, seed });
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

  it('is the same one for the same seed, so that a repeat is answered without its text being stored', async () => {
    const user = await createUser(database.orm);
    const seed = randomBytes(32);
    const first = await create(user.id, hourMs, seed);
    expect(await create(user.id, hourMs, seed)).toEqual(first);
    expect((await create(user.id, hourMs, randomBytes(32))).token).not.toBe(first.token);
    expect(await actorOfToken(first.token)).toMatchObject({ id: user.id });
    const renamed = createAccessToken(database.orm.em.fork(), { userId: user.id, name: 'desk', ttlMs: hourMs, seed });
    await expect(renamed).rejects.toMatchObject({ kind: 'key-reused' });
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
