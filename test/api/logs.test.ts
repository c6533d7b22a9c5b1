import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { pino } from 'pino';
import request from 'supertest';
import { newId } from '../../src/database/columns.ts';
import { signJobToken } from '../../src/git/job-token.ts';
import { DomainError } from '../../src/domain/errors.ts';
import { createStudentWithTask, createUser } from '../support/factories.ts';
import { waitFor } from '../support/wait.ts';
import { as, commit, createSubmissionInReview, exchange, secret, signIn, startApi, type TestApi } from './support.ts';

let api: TestApi;
const lines: string[] = [];

beforeAll(async () => {
  // Without the redaction of src/logger.ts: nothing secret may get as far.
  api = await startApi({ logger: pino({ level: 'trace' }, { write: (line: string) => lines.push(line) }) });
});

afterAll(() => api.close());

const parse = (line: string) => JSON.parse(line) as Record<string, unknown> & { req?: { id: string; url: string }; msg?: string };

test('whatever is asked, no password, token or header of it is logged, and every line is one JSON object', async () => {
  const email = `${newId()}@example.test`;
  const password = 'pass-word-of-ann-0123';
  const wrong = 'wrong-word-of-eve-4567';
  const cookie = 'session=cookie-of-ann';
  await request(api.server).post('/api/auth/register').send({ email, name: 'Ann', password }).set('Cookie', cookie);
  await request(api.server).post('/api/auth/login').send({ email, password: wrong });
  const login = await request(api.server).post('/api/auth/login').send({ email, password });
  const { accessToken } = login.body as { accessToken: string };
  const ann = as(api, accessToken);
  const { token: gitToken } = (await ann.post('/api/me/access-tokens', { name: 'laptop' })).body as { token: string };
  await ann.get(`/api/notifications?access_token=${accessToken}`);
  await request(api.server).get(`/api/me?token=${accessToken}`);
  await request(api.server).post('/api/auth/login').set('Content-Type', 'application/json').send(`{"password":"${wrong}`);
  await request(api.server).post('/api/auth/login').send({ email, password: wrong, unknown: wrong });

  const { student, taskId } = await createStudentWithTask(api.orm);
  const jobToken = signJobToken(secret, taskId);
  for (const credentials of [`student:${gitToken}`, `judge:${jobToken}`, `student:${wrong}`]) {
    await request(api.server)
      .get(`/git/${taskId}.git/info/refs?service=git-upload-pack`)
      .set('Authorization', `Basic ${Buffer.from(credentials).toString('base64')}`);
  }
  // A warning, an error that nobody foresaw, and lines of an attacker.
  await commit(api, taskId, 'done');
  api.workflows.failure = new DomainError('unavailable', 'away', { cause: new Error('connection refused') });
  const studentToken = await signIn(api, student);
  expect((await as(api, studentToken).post(`/api/tasks/${taskId}/submit`, {})).status).toBe(202);
  api.workflows.failure = new TypeError('a bug');
  const { submissionId } = await createSubmissionInReview(api);
  const reviewerToken = await signIn(api, await createUser(api.orm, 'ACADEMY_REVIEWER'));
  const comment = 'comment-that-is-private';
  const failed = await as(api, reviewerToken).post('/api/reviews', { submissionId, outcome: 'APPROVED', comment });
  expect(failed.status).toBe(500);
  await exchange(
    api.origin,
    'GET /%0a%7b%22level%22:60%7d HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: {"a":1}\r\n\r\n',
  );

  const last = await request(api.server).get('/api/unknown').set('X-Request-Id', 'the-last-request');
  expect(last.status).toBe(404);
  await waitFor('the last line', async () => (lines.some((line) => line.includes('the-last-request')) ? true : null));

  const logged = lines.join('');
  for (const line of lines) {
    expect(line.indexOf('\n')).toBe(line.length - 1);
    expect(parse(line)).toMatchObject({ level: expect.any(Number), time: expect.any(Number) });
  }
  // What is looked for was there to be logged: requests, the warning and the error.
  expect(lines.map((line) => parse(line).req?.url)).toEqual(
    expect.arrayContaining(['/api/auth/login', '/api/me', `/git/${taskId}.git/info/refs`, '/%0a%7b%22level%22:60%7d']),
  );
  expect(logged).toContain('the relay will start its workflow');
  expect(logged).toContain('a bug');

  const tokens = [accessToken, studentToken, reviewerToken, jobToken, gitToken];
  const signatures = tokens.map((token) => token.split('.').at(-1) ?? token);
  const encoded = [`student:${gitToken}`, `judge:${jobToken}`].map((text) => Buffer.from(text).toString('base64'));
  for (const text of [password, wrong, cookie, secret, comment, ...tokens, ...signatures, ...encoded]) {
    expect(logged.includes(text) ? text : null).toBeNull();
  }
  expect(logged).not.toMatch(/"(?:authorization|cookie)"|\$argon2/i);
});

test('a failure is found by the request id that the client was told', async () => {
  api.workflows.failure = new TypeError('a rare bug');
  const { submissionId } = await createSubmissionInReview(api);
  const reviewer = as(api, await signIn(api, await createUser(api.orm, 'ACADEMY_REVIEWER')));
  const response = await reviewer.post('/api/reviews', { submissionId, outcome: 'APPROVED', comment: '' });
  const { requestId } = response.body as { requestId: string };
  const about = lines.map(parse).filter((line) => line.req?.id === requestId && line['err'] !== undefined);
  expect(about).toContainEqual(expect.objectContaining({ level: 50, err: expect.objectContaining({ message: 'a rare bug' }) }));
});

test('health checks are not logged: they would drown the rest', async () => {
  const before = lines.length;
  await request(api.server).get('/health/live').set('X-Request-Id', 'health-1');
  await request(api.server).get('/api/unknown').set('X-Request-Id', 'after-health-1');
  await waitFor('the line after', async () => (lines.some((line) => line.includes('after-health-1')) ? true : null));
  expect(lines.slice(before).filter((line) => line.includes('"health-1"'))).toEqual([]);
});
