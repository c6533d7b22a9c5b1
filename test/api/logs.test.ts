import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { pino } from 'pino';
import request from 'supertest';
import { newId } from '../../src/database/columns.ts';
import { signJobToken } from '../../src/git/job-token.ts';
import { DomainError } from '../../src/domain/errors.ts';
import { traceFields } from '../../src/trace.ts';
import { createStudentWithTask, createUser } from '../support/factories.ts';
import { waitFor } from '../support/wait.ts';
import { as, commit, createSubmissionInReview, exchange, secret, signIn, startApi, type TestApi } from './support.ts';

let api: TestApi;
const lines: string[] = [];

beforeAll(async () => {
  // Without the redaction of src/logger.ts: nothing secret may get as far.
  api = await startApi({ logger: pino({ level: 'trace', mixin: traceFields }, { write: (line: string) => lines.push(line) }) });
});

afterAll(() => api.close());

interface Line extends Record<string, unknown> {
  readonly req?: { readonly id: string; readonly url: string };
  readonly msg?: string;
  readonly traceId?: string;
  readonly requestId?: string;
}

const parse = (line: string) => JSON.parse(line) as Line;

/** What was logged of one request, when all of it is there. */
async function linesOf(requestId: string): Promise<Line[]> {
  const find = () => lines.map(parse).filter((line) => line.requestId === requestId);
  await waitFor(`the end of ${requestId}`, async () => (find().some(({ msg }) => msg?.startsWith('request ')) ? true : null));
  return find();
}

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

const parent = (traceId: string) => `00-${traceId}-00f067aa0ba902b7-01`;

test('every line of a request has its request id and its trace id, a new one where none was sent', async () => {
  api.workflows.failure = new TypeError('a bug in a trace');
  const { submissionId } = await createSubmissionInReview(api);
  const reviewer = as(api, await signIn(api, await createUser(api.orm, 'ACADEMY_REVIEWER')));
  const body = { submissionId, outcome: 'APPROVED', comment: '' };
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
  await reviewer.post('/api/reviews', body).set('traceparent', parent(traceId)).set('X-Request-Id', 'traced-1');
  const traced = await linesOf('traced-1');
  expect(traced.length).toBeGreaterThanOrEqual(2);
  expect(traced.map((line) => line.traceId)).toEqual(traced.map(() => traceId));

  await reviewer.post('/api/reviews', body).set('X-Request-Id', 'traced-2');
  const [first, ...others] = (await linesOf('traced-2')).map((line) => line.traceId);
  expect(first).toMatch(/^[0-9a-f]{32}$/);
  expect(first).not.toBe(traceId);
  expect(others.filter((other) => other !== first)).toEqual([]);
  // In one place of the line: readers of JSON take the last of two.
  for (const line of lines) expect(line.split('"traceId"').length).toBeLessThanOrEqual(2);
});

test.each([
  ['words', 'hello'],
  ['another version', `ff-${'a'.repeat(32)}-00f067aa0ba902b7-01`],
  ['no trace', parent('0'.repeat(32))],
  ['no parent', `00-${'a'.repeat(32)}-${'0'.repeat(16)}-01`],
  ['capitals', parent('A'.repeat(32))],
  ['too long', `${parent('a'.repeat(32))}${'x'.repeat(5_000)}`],
  ['JSON', '{"traceId":"a"}","level":60,"x":"'],
  ['letters that are not ASCII', parent('ä'.repeat(32))],
])('a traceparent of %s is as good as none', async (what, header) => {
  const id = `garbage-${what.replaceAll(' ', '-')}`;
  const head = `GET /api/unknown HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: ${id}\r\n`;
  await exchange(api.origin, Buffer.from(`${head}traceparent: ${header}\r\n\r\n`, 'latin1'));
  const [line, ...others] = await linesOf(id);
  expect(others).toEqual([]);
  expect(line?.traceId).toMatch(/^[0-9a-f]{32}$/);
  expect(JSON.stringify(line)).not.toContain(header.slice(0, 20));
});

test('two traceparents, or one broken by a line end, put nothing into the log', async () => {
  const head = 'GET /api/unknown HTTP/1.1\r\nHost: x\r\nConnection: close\r\n';
  const twice = `traceparent: ${parent('a'.repeat(32))}\r\ntraceparent: ${parent('b'.repeat(32))}\r\n`;
  await exchange(api.origin, `${head}X-Request-Id: twice\r\n${twice}\r\n`);
  expect((await linesOf('twice'))[0]?.traceId).not.toMatch(/aaaa|bbbb/);

  const before = lines.length;
  for (const end of ['\n', '\r', '\r\n ']) {
    for (const name of ['traceparent', 'X-Request-Id']) {
      await exchange(api.origin, `${head}${name}: broken${end}{"level":60,"msg":"injected"}\r\n\r\n`);
    }
  }
  await request(api.server).get('/api/unknown').set('X-Request-Id', 'after-broken');
  await linesOf('after-broken');
  const added = lines.slice(before);
  expect(added.filter((line) => line.includes('injected') || line.indexOf('\n') !== line.length - 1)).toEqual([]);
});

test('health checks and scrapes are not logged: they would drown the rest', async () => {
  const before = lines.length;
  await request(api.server).get('/health/live').set('X-Request-Id', 'health-1');
  await request(api.server).get('/metrics').set('X-Request-Id', 'metrics-1');
  await request(api.server).get('/api/unknown').set('X-Request-Id', 'after-health-1');
  await waitFor('the line after', async () => (lines.some((line) => line.includes('after-health-1')) ? true : null));
  expect(lines.slice(before).filter((line) => /"(?:health|metrics)-1"/.test(line))).toEqual([]);
});
