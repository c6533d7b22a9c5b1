import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import request from 'supertest';
import { usersContract } from '../../src/api/contract/users.ts';
import { newId } from '../../src/database/columns.ts';
import { Delivery, Notification } from '../../src/database/entities/notifications.ts';
import { AuditEntry } from '../../src/database/entities/operations.ts';
import { AccessToken, RefreshToken, Session } from '../../src/database/entities/sessions.ts';
import { User } from '../../src/database/entities/users.ts';
import { logout } from '../../src/services/sessions.ts';
import { createUser, password } from '../support/factories.ts';
import { answerOf, as, expectProblem, signIn, startApi, type TestApi, withoutAddress } from './support.ts';

/** What a log in and a refresh answer. */
interface Tokens {
  readonly accessToken: string;
  readonly expiresAt: string;
  readonly refreshToken: string;
  readonly refreshExpiresAt: string;
}
const tokensOf = {
  accessToken: expect.any(String),
  tokenType: 'Bearer',
  expiresAt: expect.any(String),
  refreshToken: expect.stringMatching(/^atr_[\w-]{43}$/),
  refreshExpiresAt: expect.any(String),
};

let api: TestApi;

beforeAll(async () => {
  api = await startApi();
});

afterAll(() => api.close());

const register = (body: object) => request(api.server).post('/api/auth/register').send(body);
const login = (body: object) => request(api.server).post('/api/auth/login').send(body);
const refresh = (refreshToken: string) => request(api.server).post('/api/auth/refresh').send({ refreshToken });
const newEmail = () => `ann-${newId()}@example.test`;

describe('register', () => {
  test('makes a student with the starter task, who can log in', async () => {
    const email = newEmail();
    const response = await register({ email, name: 'Ann', password });
    expect(answerOf(response)).toEqual({ status: 202, body: { status: 'accepted' } });
    const { body } = answerOf(await login({ email, password }));
    const ann = as(api, (body as { accessToken: string }).accessToken);
    expect((await ann.get('/api/me')).body).toEqual({
      id: expect.any(String),
      email,
      name: 'Ann',
      role: 'CODING_STUDENT',
      xp: 0,
    });
    expect((await ann.get('/api/tasks')).body).toMatchObject({
      items: [{ status: 'TODO', exercise: { slug: 'night-bus-board' } }],
    });
    expect((await ann.get('/api/notifications')).body).toMatchObject({ items: [{ kind: 'welcome' }], unread: 1 });
  });

  test.each([
    ['the same address', (email: string) => email],
    ['it in capitals', (email: string) => email.toUpperCase()],
  ])('a second time with %s answers alike and changes nothing', async (_name, variant) => {
    const email = newEmail();
    const first = await register({ email, name: 'Ann', password });
    const { id, passwordHash } = await api.orm.em.fork().findOneOrFail(User, { email });
    const second = await register({ email: variant(email), name: 'Eve', password: 'another long password' });
    expect(answerOf(second)).toEqual(answerOf(first));
    expect(await api.orm.em.fork().findOneOrFail(User, { email })).toMatchObject({ id, name: 'Ann', passwordHash });
    const notification = await api.orm.em.fork().findOneOrFail(Notification, { user: id, kind: 'already-registered' });
    expect(await api.orm.em.fork().count(Delivery, { notification: notification.id })).toBe(1);
  });

  test('ten times at once makes one account, and nobody learns of the others', async () => {
    const email = newEmail();
    const responses = await Promise.all(Array.from({ length: 10 }, () => register({ email, name: 'Ann', password })));
    expect(responses.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 202));
    expect(await api.orm.em.fork().count(User, { email })).toBe(1);
  });

  test.each([
    ['without a name', { email: newEmail(), password }, 'body.name'],
    ['with a name of nothing', { email: newEmail(), name: '', password }, 'body.name'],
    ['with a name of 201 letters', { email: newEmail(), name: 'x'.repeat(201), password }, 'body.name'],
    ['with a password of 9 letters', { email: newEmail(), name: 'A', password: '123456789' }, 'body.password'],
    ['with a password of 201 letters', { email: newEmail(), name: 'A', password: 'x'.repeat(201) }, 'body.password'],
  ])('%s', async (_name, body, path) => {
    expect(expectProblem(await register(body), 422, 'validation').errors).toMatchObject([{ path }]);
  });
});

describe('log in', () => {
  test('opens a session of thirty days whose token works for an hour', async () => {
    const { email, id } = await createUser(api.orm, 'INSTRUCTOR');
    const response = await login({ email: email.toUpperCase(), password });
    expect(response.body).toEqual(tokensOf);
    const { accessToken, expiresAt, refreshExpiresAt } = response.body as Tokens;
    const ttlMs = Date.parse(expiresAt) - Date.now();
    expect(ttlMs).toBeGreaterThan(3_500_000);
    expect(ttlMs).toBeLessThanOrEqual(3_600_000);
    expect(Math.abs(Date.parse(refreshExpiresAt) - Date.now() - 30 * 86_400_000)).toBeLessThan(60_000);
    expect((await as(api, accessToken).get('/api/me')).body).toMatchObject({ id, role: 'INSTRUCTOR' });
  });

  test('an unknown address, a wrong password and a disabled account are told apart by nobody', async () => {
    const { email } = await createUser(api.orm);
    const disabled = await createUser(api.orm);
    await api.orm.em.fork().nativeUpdate(User, { id: disabled.id }, { disabledAt: new Date() });
    const responses = [
      await login({ email: newEmail(), password }),
      await login({ email, password: `${password}!` }),
      await login({ email: disabled.email, password }),
    ];
    const problems = responses.map((response) => withoutAddress(expectProblem(response, 401, 'unauthenticated')));
    expect(problems[1]).toEqual(problems[0]);
    expect(problems[2]).toEqual(problems[0]);
  });

  test.each([
    ['with a letter more than 72 bytes', `${'x'.repeat(72)}y`, `${'x'.repeat(72)}z`],
    ['with other capitals', 'a password for Ann', 'A password for Ann'],
    ['with a blank at its end', 'a password for Ann', 'a password for Ann '],
  ])('a password %s is another', async (_name, right, wrong) => {
    const email = newEmail();
    await register({ email, name: 'Ann', password: right });
    expect((await login({ email, password: right })).status).toBe(200);
    expectProblem(await login({ email, password: wrong }), 401, 'unauthenticated');
  });
});

describe('refresh', () => {
  async function enter() {
    const user = await createUser(api.orm);
    const tokens = (await login({ email: user.email, password })).body as Tokens;
    const { sessionId } = api.tokens.verify(tokens.accessToken) ?? { sessionId: '' };
    return { user, sessionId, ...tokens };
  }
  const renew = async (refreshToken: string) => {
    const response = await refresh(refreshToken);
    expect(answerOf(response)).toEqual({ status: 200, body: tokensOf });
    return response.body as Tokens;
  };
  const statusOf = async (accessToken: string) => (await as(api, accessToken).get('/api/me')).status;
  const auditOf = (sessionId: string) => api.orm.em.fork().find(AuditEntry, { targetId: sessionId });
  const age = (sessionId: string, usedMsAgo: number) =>
    api.orm.em
      .fork()
      .nativeUpdate(RefreshToken, { session: sessionId, usedAt: { $ne: null } }, { usedAt: new Date(Date.now() - usedMsAgo) });

  test('gives the next tokens of the same session, whose end it does not move', async () => {
    const first = await enter();
    const response = await refresh(first.refreshToken);
    expect(response.headers['cache-control']).toBe('no-store');
    expect(response.headers['set-cookie']).toBeUndefined();
    const second = response.body as Tokens;
    expect(second).toEqual({ ...tokensOf, refreshExpiresAt: first.refreshExpiresAt });
    expect(second.refreshToken).not.toBe(first.refreshToken);
    expect(api.tokens.verify(second.accessToken)).toEqual({ sessionId: first.sessionId, userId: first.user.id });
    const third = await renew(second.refreshToken);
    for (const { accessToken } of [first, second, third]) expect(await statusOf(accessToken)).toBe(200);
  });

  test('with a used-up token ends the session: the newest tokens are refused, and the audit says it', async () => {
    const first = await enter();
    const elsewhere = (await login({ email: first.user.email, password })).body as Tokens;
    const second = await renew(first.refreshToken);
    const third = await renew(second.refreshToken);
    const reused = await refresh(first.refreshToken);
    expectProblem(reused, 401, 'token-reused');
    expect(reused.headers['www-authenticate']).toBe('Bearer');
    for (const { accessToken } of [first, second, third]) expect(await statusOf(accessToken)).toBe(401);
    for (const { refreshToken } of [third, second, first]) expectProblem(await refresh(refreshToken), 401, 'unauthenticated');
    expect(await auditOf(first.sessionId)).toMatchObject([
      { action: 'session.reused', targetKind: 'session', via: 'api', data: { userId: first.user.id } },
    ]);
    expect(await statusOf(elsewhere.accessToken)).toBe(200);
    await renew(elsewhere.refreshToken);
  });

  test('again within ten seconds, the answer being lost, gives other tokens; the lost ones are dead', async () => {
    const first = await enter();
    const lost = await renew(first.refreshToken);
    await age(first.sessionId, 5_000);
    const kept = await renew(first.refreshToken);
    await renew(kept.refreshToken);
    expect(await auditOf(first.sessionId)).toEqual([]);
    expectProblem(await refresh(lost.refreshToken), 401, 'token-reused');
    expect(await statusOf(kept.accessToken)).toBe(401);
  });

  test('again after ten seconds is reuse', async () => {
    const first = await enter();
    const lost = await renew(first.refreshToken);
    await age(first.sessionId, 10_001);
    expectProblem(await refresh(first.refreshToken), 401, 'token-reused');
    expectProblem(await refresh(lost.refreshToken), 401, 'unauthenticated');
  });

  test('ten times at once leaves one live token', async () => {
    const { refreshToken, sessionId } = await enter();
    const responses = await Promise.all(Array.from({ length: 10 }, () => refresh(refreshToken)));
    expect(responses.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 200));
    const live = await api.orm.em.fork().find(RefreshToken, { session: sessionId, usedAt: null });
    expect(live).toHaveLength(1);
    // Whichever is tried first, no two of them work: one that gave way takes the rest along.
    const answers: number[] = [];
    for (const { body } of responses) answers.push((await refresh((body as Tokens).refreshToken)).status);
    expect(answers.filter((status) => status === 200).length).toBeLessThanOrEqual(1);
    expect(answers.filter((status) => status >= 500)).toEqual([]);
    expect(await api.orm.em.fork().findOneOrFail(Session, sessionId)).toMatchObject({ revokedAt: expect.any(Date) });
  });

  test.each<readonly [string, (session: { sessionId: string; user: { id: string }; accessToken: string }) => Promise<unknown>]>([
    ['a logout', ({ accessToken }) => as(api, accessToken).post('/api/auth/logout')],
    ['a logout by the service', ({ sessionId }) => logout(api.orm.em.fork(), sessionId)],
    ['the account is disabled', ({ user }) => api.orm.em.fork().nativeUpdate(User, user.id, { disabledAt: new Date() })],
    ['the account is erased', ({ user }) => api.orm.em.fork().nativeUpdate(User, user.id, { erasedAt: new Date() })],
    [
      'thirty days',
      ({ sessionId }) => api.orm.em.fork().nativeUpdate(Session, sessionId, { expiresAt: new Date(Date.now() - 1) }),
    ],
  ])('is refused after %s', async (_name, end) => {
    const session = await enter();
    const { refreshToken, accessToken } = await renew(session.refreshToken);
    await end({ ...session, accessToken });
    expectProblem(await refresh(refreshToken), 401, 'unauthenticated');
    expect(await statusOf(accessToken)).toBe(401);
  });

  test('near the end of the session gives an access token that ends with it', async () => {
    const { refreshToken, sessionId } = await enter();
    const expiresAt = new Date(Date.now() + 60_000);
    await api.orm.em.fork().nativeUpdate(Session, sessionId, { expiresAt });
    const tokens = await renew(refreshToken);
    expect(tokens).toMatchObject({ expiresAt: expiresAt.toISOString(), refreshExpiresAt: expiresAt.toISOString() });
  });

  test('takes the role from the account, not from the session', async () => {
    const { refreshToken, user } = await enter();
    await api.orm.em.fork().nativeUpdate(User, user.id, { role: 'ACADEMY_REVIEWER' });
    const { accessToken } = await renew(refreshToken);
    expect((await as(api, accessToken).get('/api/me')).body).toMatchObject({ role: 'ACADEMY_REVIEWER' });
  });

  test('what was never ours is refused, one answer for all', async () => {
    const { refreshToken, accessToken, user } = await enter();
    const { token: gitToken } = (await as(api, accessToken).post('/api/me/access-tokens', { name: 'x' })).body as {
      token: string;
    };
    const { tokenHash } = await api.orm.em.fork().findOneOrFail(RefreshToken, { session: { user: user.id } });
    const forged = [
      `atr_${'A'.repeat(43)}`,
      refreshToken.slice(0, -1),
      `${refreshToken} `,
      refreshToken.slice('atr_'.length),
      refreshToken.toUpperCase(),
      tokenHash,
      accessToken,
      gitToken,
      "' or '1'='1",
      'ﷺ'.repeat(1_000),
    ];
    const problems = [];
    for (const token of forged) problems.push(withoutAddress(expectProblem(await refresh(token), 401, 'unauthenticated')));
    expect(new Set(problems.map((problem) => JSON.stringify(problem))).size).toBe(1);
    await renew(refreshToken);
  });

  test.each([
    ['no token', {}, 'body.refreshToken'],
    ['null', { refreshToken: null }, 'body.refreshToken'],
    ['a number', { refreshToken: 1 }, 'body.refreshToken'],
    ['a list', { refreshToken: ['atr_'] }, 'body.refreshToken'],
    ['an operator', { refreshToken: { $ne: '' } }, 'body.refreshToken'],
    ['nothing', { refreshToken: '' }, 'body.refreshToken'],
    ['NUL', { refreshToken: 'atr_\0' }, 'body.refreshToken'],
    ['5,000 letters', { refreshToken: 'x'.repeat(5_000) }, 'body.refreshToken'],
    ['an unknown key', { refreshToken: 'atr_', sessionId: newId() }, 'body'],
  ])('%s is no body of it', async (_name, body, path) => {
    const response = await request(api.server).post('/api/auth/refresh').send(body);
    expect(expectProblem(response, 422, 'validation').errors).toMatchObject([{ path }]);
  });

  test('is in the contract as a public route that answers as the log in does', async () => {
    expect(usersContract.refresh).toMatchObject({ method: 'post', path: '/auth/refresh', access: 'public', status: 200 });
    const { body } = answerOf(await request(api.server).get('/openapi.json'));
    const { paths } = body as { paths: Record<string, { post: { responses: Record<string, unknown>; security: unknown } }> };
    expect(paths['/api/auth/refresh']?.post.security).toEqual([]);
    expect(paths['/api/auth/refresh']?.post.responses['200']).toEqual(paths['/api/auth/login']?.post.responses['200']);
  });

  test('is logged without its tokens', async () => {
    const lines: string[] = [];
    const logging = await startApi({ logger: pino({ level: 'trace' }, { write: (line: string) => lines.push(line) }) });
    try {
      const { email } = await createUser(logging.orm);
      const send = (path: string, body: object) => request(logging.server).post(`/api/auth/${path}`).send(body);
      const first = (await send('login', { email, password })).body as Tokens;
      const second = (await send('refresh', { refreshToken: first.refreshToken })).body as Tokens;
      await send('refresh', { refreshToken: second.refreshToken });
      expect((await send('refresh', { refreshToken: first.refreshToken })).status).toBe(401);
      expect(lines.join('')).toContain('/api/auth/refresh');
      for (const { refreshToken } of [first, second]) expect(lines.join('').includes(refreshToken)).toBe(false);
    } finally {
      await logging.close();
    }
  });
});

describe('access tokens', () => {
  test('is told once and kept only as a digest', async () => {
    const user = await createUser(api.orm);
    const response = await as(api, await signIn(api, user)).post('/api/me/access-tokens', { name: 'laptop', expiresInDays: 1 });
    expect(response.status).toBe(201);
    const { id, token, expiresAt } = response.body as { id: string; token: string; expiresAt: string };
    expect(token).toMatch(/^atl_[\w-]{43}$/);
    expect(Math.abs(Date.parse(expiresAt) - Date.now() - 86_400_000)).toBeLessThan(60_000);
    const row = await api.orm.em.fork().findOneOrFail(AccessToken, id);
    expect(row).toMatchObject({ name: 'laptop', tokenHash: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(JSON.stringify(row)).not.toContain(token);
  });

  test('lasts 90 days unless it is said', async () => {
    const response = await as(api, await signIn(api, await createUser(api.orm))).post('/api/me/access-tokens', { name: 'x' });
    const { expiresAt } = response.body as { expiresAt: string };
    expect(Math.abs(Date.parse(expiresAt) - Date.now() - 90 * 86_400_000)).toBeLessThan(60_000);
  });

  test('opens nothing of the api', async () => {
    const response = await as(api, await signIn(api, await createUser(api.orm))).post('/api/me/access-tokens', { name: 'x' });
    const { token } = response.body as { token: string };
    expectProblem(await as(api, token).get('/api/me'), 401, 'unauthenticated');
  });
});
