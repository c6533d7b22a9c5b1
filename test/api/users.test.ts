import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import request from 'supertest';
import { newId } from '../../src/database/columns.ts';
import { Delivery, Notification } from '../../src/database/entities/notifications.ts';
import { AccessToken } from '../../src/database/entities/sessions.ts';
import { User } from '../../src/database/entities/users.ts';
import { createUser, password } from '../support/factories.ts';
import { answerOf, as, expectProblem, signIn, startApi, type TestApi, withoutAddress } from './support.ts';

let api: TestApi;

beforeAll(async () => {
  api = await startApi();
});

afterAll(() => api.close());

const register = (body: object) => request(api.server).post('/api/auth/register').send(body);
const login = (body: object) => request(api.server).post('/api/auth/login').send(body);
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
  test('opens a session whose token works for an hour', async () => {
    const { email, id } = await createUser(api.orm, 'INSTRUCTOR');
    const response = await login({ email: email.toUpperCase(), password });
    expect(response.body).toEqual({ accessToken: expect.any(String), tokenType: 'Bearer', expiresAt: expect.any(String) });
    const { accessToken, expiresAt } = response.body as { accessToken: string; expiresAt: string };
    const ttlMs = Date.parse(expiresAt) - Date.now();
    expect(ttlMs).toBeGreaterThan(3_500_000);
    expect(ttlMs).toBeLessThanOrEqual(3_600_000);
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
