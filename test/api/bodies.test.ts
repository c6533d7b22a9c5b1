import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import request from 'supertest';
import { contract } from '../../src/api/contract/contract.ts';
import type { Endpoint } from '../../src/api/contract/core.ts';
import { newId } from '../../src/database/columns.ts';
import { User } from '../../src/database/entities/users.ts';
import { createUser } from '../support/factories.ts';
import { as, exchange, expectProblem, signIn, startApi, type TestApi } from './support.ts';

let api: TestApi;
let reviewer: string;
let admin: string;
let student: string;
let studentId: string;

beforeAll(async () => {
  api = await startApi();
  reviewer = await signIn(api, await createUser(api.orm, 'ACADEMY_REVIEWER'));
  admin = await signIn(api, await createUser(api.orm, 'SUPER_ADMIN'));
  const user = await createUser(api.orm);
  studentId = user.id;
  student = await signIn(api, user);
});

afterAll(() => api.close());

/** A decision that is right but for what a test changes. */
const decision = (changes: object = {}) => ({ submissionId: newId(), outcome: 'APPROVED', comment: '', ...changes });

/** POST /api/reviews with these bytes and headers. */
function postBytes(bytes: string | Buffer, headers: Readonly<Record<string, string>> = {}) {
  const sent = request(api.server)
    .post('/api/reviews')
    .set({ Authorization: `Bearer ${reviewer}`, 'Content-Type': 'application/json', ...headers });
  // Bytes go out as they are: the serializer would write them as JSON.
  return sent.serialize((body: unknown) => body as string).send(bytes as string);
}

const valid = () => JSON.stringify(decision());

describe('bodies that are no JSON object', () => {
  test.each([
    ['an open brace', '{'],
    ['null', 'null'],
    ['a number', '1'],
    ['a text', '"x"'],
    ['a list', '[]'],
    ['a list of objects', '[{"outcome":"APPROVED"}]'],
    ['a trailing comma', '{"outcome":"APPROVED",}'],
    ['a byte order mark', `\uFEFF{"outcome":"APPROVED"}`],
    ['a comment', '{"outcome":"APPROVED" /* yes */}'],
    ['single quotes', "{'outcome':'APPROVED'}"],
    ['two objects', '{}{}'],
    ['blanks', '   '],
    ['NaN', '{"x":NaN}'],
    ['a raw line feed in a text', '{"comment":"a\nb"}'],
  ])('%s', async (_name, body) => {
    expectProblem(await postBytes(body), 400, 'malformed-json');
  });

  test('an empty one, where an object is needed', async () => {
    expectProblem(await as(api, reviewer).post('/api/reviews'), 400, 'malformed-json');
    expectProblem(
      await request(api.server).post('/api/auth/login').set('Content-Type', 'application/json'),
      400,
      'malformed-json',
    );
  });

  test.each([
    ['a lone byte', Buffer.from([...Buffer.from('{"comment":"'), 0xff, ...Buffer.from('"}')])],
    ['an overlong slash', Buffer.from([...Buffer.from('{"comment":"'), 0xc0, 0xaf, ...Buffer.from('"}')])],
    ['an encoded surrogate', Buffer.from([...Buffer.from('{"comment":"'), 0xed, 0xa0, 0x80, ...Buffer.from('"}')])],
    ['a cut sequence', Buffer.from([...Buffer.from('{"comment":"'), 0xe2, 0x82, ...Buffer.from('"}')])],
    ['UTF-16', Buffer.from('{"comment":""}', 'utf16le')],
  ])('not UTF-8: %s', async (_name, bytes) => {
    expectProblem(await postBytes(bytes), 400, 'malformed-json');
  });
});

describe('sizes', () => {
  test('over 100 kB', async () => {
    const response = await postBytes(JSON.stringify(decision({ comment: 'x'.repeat(100_001) })));
    expectProblem(response, 413, 'payload-too-large');
    expect(response.headers['connection']).toBe('close');
  });

  test('just under 100 kB is read, and its comment is found too long', async () => {
    const filler = 100_000 - JSON.stringify(decision()).length;
    expectProblem(await postBytes(JSON.stringify(decision({ comment: 'x'.repeat(filler) }))), 422, 'validation');
  });

  const spaces = Buffer.alloc(50_000_000, ' ');

  test.each([
    ['gzip', gzipSync(spaces)],
    ['deflate', deflateSync(spaces)],
    ['br', brotliCompressSync(spaces, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })],
    ['zstd', zstdCompressSync(spaces)],
  ])('a bomb of 50 MB in %s is not unpacked', async (encoding, bomb) => {
    const before = process.memoryUsage.rss();
    expectProblem(await postBytes(bomb, { 'Content-Encoding': encoding }), 413, 'payload-too-large');
    expect(process.memoryUsage.rss() - before).toBeLessThan(50_000_000);
  });

  test('a small body in gzip is read', async () => {
    expectProblem(await postBytes(gzipSync(valid()), { 'Content-Encoding': 'gzip' }), 404, 'not-found');
  });

  test('gzip that is no gzip', async () => {
    expectProblem(await postBytes('not packed', { 'Content-Encoding': 'gzip' }), 400, 'malformed-json');
  });

  test('chunks without an end', async () => {
    const head =
      'POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n';
    const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`;
    expect(await exchange(api.origin, head + chunk.repeat(100))).toMatch(/^HTTP\/1\.1 413 /);
  });

  test.each([
    ['lists', `{"comment":${'['.repeat(10_000)}${']'.repeat(10_000)}}`],
    ['objects', `{"comment":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}}`],
    ['unclosed lists', `{"comment":${'['.repeat(90_000)}`],
    ['a list of many elements', `{"comment":[${'1,'.repeat(40_000)}1]}`],
    ['many keys', `{${Array.from({ length: 8_000 }, (_, index) => `"k${index}":1`).join(',')}}`],
  ])('deep and wide: %s', async (_name, body) => {
    const startedAt = performance.now();
    const { status } = await postBytes(body);
    expect([400, 422]).toContain(status);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });
});

describe('media types', () => {
  test.each([
    ['text', 'text/plain'],
    ['a form', 'application/x-www-form-urlencoded'],
    ['multipart', 'multipart/form-data; boundary=x'],
    ['XML', 'application/xml'],
    ['a relative of JSON', 'application/vnd.api+json'],
    ['two types', 'application/json, text/plain'],
    ['UTF-16', 'application/json; charset=utf-16'],
    ['Latin 1', 'application/json; charset=latin1'],
    ['UTF-7', 'application/json; charset=utf-7'],
    ['two charsets', 'application/json; charset=utf-8; charset=utf-7'],
    ['no type at all', ''],
  ])('%s', async (_name, type) => {
    expectProblem(await postBytes(valid(), { 'Content-Type': type }), 415, 'unsupported-media-type');
  });

  test('no Content-Type header', async () => {
    const body = valid();
    const answer = await exchange(
      api.origin,
      `POST /api/reviews HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 415 /);
    expect(answer).toContain('urn:atelier:problem:unsupported-media-type');
  });

  test.each(['application/json', 'application/json;charset=utf-8', 'Application/JSON; charset="UTF-8"'])(
    '%s is read',
    async (type) => {
      expectProblem(await postBytes(valid(), { 'Content-Type': type }), 404, 'not-found');
    },
  );

  test.each(['compress', 'gzip, gzip', 'identity, gzip', 'x'])('content encoding %s', async (encoding) => {
    expectProblem(await postBytes(valid(), { 'Content-Encoding': encoding }), 415, 'unsupported-media-type');
  });
});

describe('text that PostgreSQL or UTF-8 cannot hold', () => {
  test.each([
    ['NUL', String.raw`a\u0000b`],
    ['a lone high surrogate', String.raw`\ud800`],
    ['a lone low surrogate', String.raw`x\udc00y`],
    ['surrogates in the wrong order', String.raw`\udc00\ud800`],
  ])('%s, in every field that takes text', async (_name, escaped) => {
    const bodies = [
      ['/api/reviews', reviewer, `{"submissionId":"${newId()}","outcome":"APPROVED","comment":"${escaped}"}`],
      ['/api/me/access-tokens', student, `{"name":"${escaped}"}`],
      ['/api/auth/register', '', `{"email":"a@example.test","name":"${escaped}","password":"long enough to be one"}`],
      ['/api/auth/register', '', `{"email":"a@example.test","name":"A","password":"long enough ${escaped}"}`],
      ['/api/auth/register', '', `{"email":"${escaped}@example.test","name":"A","password":"long enough to be one"}`],
      ['/api/auth/login', '', `{"email":"a@example.test","password":"${escaped}"}`],
      ['/api/tasks', student, `{"exerciseId":"${escaped}"}`],
      [`PATCH /api/tasks/${newId()}`, student, `{"repoUrl":"https://github.com/a/${escaped}"}`],
      [`PATCH /api/submissions/${newId()}`, student, `{"content":{"source_code":"${escaped}"}}`],
      [`PATCH /api/submissions/${newId()}`, student, `{"content":{"documentation":"${escaped}"}}`],
      [`PATCH /api/submissions/${newId()}`, student, `{"files":[{"path":"${escaped}","content":""}]}`],
      [`PATCH /api/submissions/${newId()}`, student, `{"files":[{"path":"a","content":"${escaped}"}]}`],
      ['/api/runs', student, `{"taskId":"${newId()}","stdin":"${escaped}"}`],
      ['/api/runs', student, `{"taskId":"${newId()}","content":{"source_code":"${escaped}"}}`],
      ['/api/runs', student, `{"taskId":"${newId()}","files":[{"path":"${escaped}","content":""}]}`],
      [`PATCH /api/admin/tasks/${newId()}`, admin, `{"status":"TODO","reason":"${escaped}"}`],
      [`PATCH /api/admin/reviews/${newId()}`, admin, `{"outcome":"APPROVED","reason":"${escaped}"}`],
    ] as const;
    for (const [address, token, body] of bodies) {
      const path = address.replace('PATCH ', '');
      const sent = request(api.server)[path === address ? 'post' : 'patch'](path).set('Content-Type', 'application/json');
      if (token !== '') sent.set('Authorization', `Bearer ${token}`);
      expectProblem(await sent.send(body), 422, path.startsWith('/api/tasks/') ? 'repo-url-not-allowed' : 'validation');
    }
  });

  test.each([
    ['right to left and zero width', 'a\u202Eb\u200Bc\uFEFF'],
    ['emoji and combined letters', '👩‍👩‍👧 e\u0301 Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A'],
    ['SQL', "'; drop table accounts.users; --"],
    ['HTML', '<img src=x onerror=alert(1)>'],
    ['line ends', 'a\r\nSet-Cookie: x=1\r\n\r\nb'],
    ['a template', '${7*7} {{7*7}} %s %n'],
  ])('%s is kept as it is', async (_name, name) => {
    const email = `${newId()}@example.test`;
    const response = await request(api.server)
      .post('/api/auth/register')
      .send({ email, name, password: 'long enough to be one' });
    expect(response.status).toBe(202);
    const { id } = await api.orm.em.fork().findOneOrFail(User, { email });
    const me = await as(api, await signIn(api, { id })).get('/api/me');
    expect(me.body).toMatchObject({ name, role: 'CODING_STUDENT' });
    expect(me.headers['x-content-type-options']).toBe('nosniff');
  });
});

describe('keys that no schema has', () => {
  test.each([
    ['__proto__', '{"name":"x","__proto__":{"isAdmin":true}}'],
    ['constructor', '{"name":"x","constructor":{"prototype":{"isAdmin":true}}}'],
    ['a __proto__ in __proto__', '{"name":"x","__proto__":{"__proto__":{"isAdmin":true}}}'],
  ])('%s is refused, and no object gains anything', async (name, body) => {
    const response = await request(api.server)
      .post('/api/me/access-tokens')
      .set({ Authorization: `Bearer ${student}`, 'Content-Type': 'application/json' })
      .send(body);
    const { detail } = expectProblem(response, 422, 'validation');
    expect(detail).toContain(name.split(' ').at(-1));
    expect(({} as { isAdmin?: unknown }).isAdmin).toBeUndefined();
  });

  /** What an override of a task sets is known there. */
  const overridable = { status: true, assigneeId: true };
  const unknownKeys = [
    'role',
    'xp',
    'status',
    'id',
    'assigneeId',
    'reviewerId',
    'studentId',
    'createdAt',
    'isAdmin',
    'workflowId',
  ];
  const id = newId();
  const bodies: readonly (readonly ['post' | 'patch', string, object])[] = [
    ['post', '/api/auth/register', { email: 'mass@example.test', name: 'A', password: 'long enough to be one' }],
    ['post', '/api/auth/login', { email: 'mass@example.test', password: 'long enough to be one' }],
    ['post', '/api/auth/refresh', { refreshToken: 'atr_' }],
    ['post', '/api/me/access-tokens', { name: 'x' }],
    ['post', '/api/tasks', { exerciseId: id }],
    ['patch', `/api/tasks/${id}`, { repoUrl: null }],
    ['post', `/api/tasks/${id}/submit`, {}],
    ['post', '/api/submissions', { taskId: id }],
    ['patch', `/api/submissions/${id}`, {}],
    ['post', `/api/submissions/${id}/claim`, {}],
    ['post', '/api/reviews', decision()],
    ['post', '/api/scoring', { submissionId: id }],
    ['post', '/api/notifications/read', {}],
    ['post', '/api/runs', { taskId: id }],
    ['patch', `/api/admin/tasks/${id}`, { status: 'REJECTED', reason: 'Copied.' }],
    ['patch', `/api/admin/reviews/${id}`, { outcome: 'REJECTED', reason: 'Copied.' }],
  ];

  test('every endpoint with a body is asked', () => {
    const asked = bodies.map(([method, path]) => `${method} ${path.replace(id, '{id}')}`);
    const expected = Object.values(contract as Record<string, Endpoint>)
      .filter(({ body }) => body !== undefined)
      .map(({ method, path }) => `${method} /api${path}`);
    expect(asked.toSorted()).toEqual(expected.toSorted());
  });

  test.each(bodies)('%s %s refuses them by name', async (method, path, body) => {
    // Admins may call all of them; a role that may not would be told no more than that.
    const client = as(api, admin);
    for (const key of unknownKeys.filter((name) => !(path.startsWith('/api/admin/tasks') && name in overridable))) {
      const { errors } = expectProblem(await client[method](path, { ...body, [key]: 'SUPER_ADMIN' }), 422, 'validation');
      expect(errors?.map(({ message }) => message).join()).toContain(`"${key}"`);
    }
    expect(await api.orm.em.fork().count(User, { email: 'mass@example.test' })).toBe(0);
  });

  test('the content of a draft refuses them too', async () => {
    for (const body of [{ content: { role: 'x' } }, { files: [{ path: 'a', content: '', mode: '120000' }] }]) {
      expectProblem(await as(api, student).patch(`/api/submissions/${id}`, body), 422, 'validation');
    }
  });

  test('of two equal keys the last counts, and neither gives a role', async () => {
    const email = `${newId()}@example.test`;
    const body = `{"email":"nobody@example.test","email":"${email}","name":"A","password":"long enough to be one"}`;
    const sent = request(api.server).post('/api/auth/register').set('Content-Type', 'application/json');
    expect((await sent.send(body)).status).toBe(202);
    expect(await api.orm.em.fork().findOneOrFail(User, { email })).toMatchObject({ role: 'CODING_STUDENT' });
    expect(await api.orm.em.fork().count(User, { email: 'nobody@example.test' })).toBe(0);
  });
});

describe('values outside of what a field takes', () => {
  test.each([
    ['approved'],
    ['APPROVED '],
    ['APPROVED\u0000'],
    ['MAYBE'],
    [''],
    [1],
    [true],
    [null],
    [['APPROVED']],
    [{ $ne: '' }],
    [undefined],
  ])('outcome %j', async (outcome) => {
    const { errors } = expectProblem(await as(api, reviewer).post('/api/reviews', decision({ outcome })), 422, 'validation');
    expect(errors?.map(({ path }) => path)).toEqual(['body.outcome']);
  });

  test.each([[0], [-1], [0.5], [366], ['10'], [2_147_483_648], [null]])('expiresInDays %j', async (expiresInDays) => {
    const response = await as(api, student).post('/api/me/access-tokens', { name: 'x', expiresInDays });
    expect(expectProblem(response, 422, 'validation').errors).toMatchObject([{ path: 'body.expiresInDays' }]);
  });

  test('a number that no double holds', async () => {
    const sent = request(api.server).post('/api/me/access-tokens');
    sent.set({ Authorization: `Bearer ${student}`, 'Content-Type': 'application/json' });
    expectProblem(await sent.send('{"name":"x","expiresInDays":1e400}'), 422, 'validation');
  });

  test.each(['no-mail', 'a@', '@example.test', 'a@b@example.test', 'a b@example.test', `${'a'.repeat(250)}@example.test`])(
    'e-mail address %s',
    async (email) => {
      const body = { email, name: 'A', password: 'long enough to be one' };
      expectProblem(await request(api.server).post('/api/auth/register').send(body), 422, 'validation');
    },
  );

  test.each([
    ['limit=-1'],
    ['limit=0'],
    ['limit=101'],
    ['limit=1e9'],
    ['limit=abc'],
    ['limit='],
    ['limit=1.5'],
    ['limit=NaN'],
    ['limit=1&limit=2'],
    ['limit[]=1'],
    ['limit[$ne]=1'],
    ['sort=password_hash'],
    ['__proto__=1'],
  ])('query %s', async (query) => {
    for (const path of ['/api/notifications', '/api/reviews/queue', '/api/admin/parked', '/api/admin/audit']) {
      const { errors } = expectProblem(await as(api, admin).get(`${path}?${query}`), 422, 'validation');
      expect(errors?.every(({ path: field }) => field.startsWith('query'))).toBe(true);
    }
  });

  test.each([['before=x'], ['before='], [`before=${newId()}&before=${newId()}`], ['before=%00']])('cursor %s', async (query) => {
    for (const path of ['/api/notifications', '/api/admin/audit']) {
      expectProblem(await as(api, admin).get(`${path}?${query}`), 422, 'validation');
    }
  });

  test('a refusal does not repeat what was sent', async () => {
    const response = await request(api.server)
      .post('/api/auth/register')
      .send({ email: 'no-mail', name: 'A', password: 'hunter2' });
    expectProblem(response, 422, 'validation');
    expect(response.text).not.toContain('hunter2');
  });
});

describe('addresses', () => {
  test.each([
    ['/api/tasks/%E0%A4%A', 400],
    ['/api/tasks/%', 400],
    ['/api/courses/%ff/enrolments', 400],
    ['/api/tasks/..%2f..%2f..%2fetc%2fpasswd', 404],
    ['/api/tasks/%2e%2e%2f', 404],
    ['/api/tasks/%00', 404],
    ['/api/tasks/1;x', 404],
    ['/api/tasks/1', 404],
    ['/api//tasks', 404],
    ['//api/tasks', 404],
    ['/api/Tasks', 404],
    ['/api/unknown', 404],
    ['/api', 404],
    ['/docs/..%2f..%2fpackage.json', 404],
    ['/unknown', 404],
    ['/.git/config', 404],
    ['/%2e%2e/%2e%2e/etc/passwd', 404],
  ])('GET %s: %d', async (path, status) => {
    const response = await exchange(
      api.origin,
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${student}\r\n\r\n`,
    );
    expect(response).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(response).toContain('Content-Type: application/problem+json');
    expect(response).not.toContain('root:');
  });

  test.each(['%00', 'a%00b', '%F0%9F%9A%8C', '..%2f', "'%20or%201=1"])('a course named %s is not found', async (slug) => {
    expectProblem(await as(api, student).post(`/api/courses/${slug}/enrolments`), 404, 'not-found');
  });

  test('an id in capitals names the same task', async () => {
    const [task] = ((await as(api, student).get('/api/tasks')).body as { items: { id: string }[] }).items;
    const response = await as(api, student).get(`/api/tasks/${task?.id.toUpperCase()}`);
    expect(response.body).toMatchObject({ id: task?.id, assigneeId: studentId });
  });
});

describe('methods', () => {
  const paths = [...new Set(Object.values(contract as Record<string, Endpoint>).map(({ path }) => path))];

  test.each(paths)('%s tells which it takes', async (path) => {
    const taken = Object.values(contract as Record<string, Endpoint>)
      .filter((endpoint) => endpoint.path === path)
      .map(({ method }) => method.toUpperCase());
    const address = `/api${path.replace(/\{\w+\}/, newId())}`;
    for (const method of ['get', 'post', 'put', 'patch', 'delete', 'options'] as const) {
      if (taken.includes(method.toUpperCase())) continue;
      const response = await request(api.server)[method](address);
      expectProblem(response, 405, 'method-not-allowed');
      expect(
        response.headers['allow']
          ?.split(', ')
          .filter((name) => name !== 'HEAD')
          .toSorted(),
      ).toEqual(taken.toSorted());
    }
  });

  test('TRACE is not answered with what was sent', async () => {
    const answer = await exchange(
      api.origin,
      'TRACE /api/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer secret-of-mine\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 405 /);
    expect(answer).toContain('Allow: GET, HEAD');
    expect(answer).not.toContain('secret-of-mine');
  });

  test('a method in a header is ignored', async () => {
    const response = await request(api.server)
      .post('/api/me/access-tokens')
      .set({ Authorization: `Bearer ${student}`, 'X-HTTP-Method-Override': 'DELETE' })
      .send({ name: 'laptop' });
    expect(response.status).toBe(201);
  });

  test('HEAD has the head of GET and nothing more', async () => {
    const response = await request(api.server).head('/api/me').set('Authorization', `Bearer ${student}`);
    expect(response.status).toBe(200);
    expect(response.text).toBeUndefined();
  });
});

describe('every answer', () => {
  test.each(['text/html', 'image/png', '*/*;q=0'])('a problem is a problem document for Accept: %s', async (accept) => {
    expectProblem(await request(api.server).get('/api/me').set('Accept', accept), 401, 'unauthenticated');
  });

  test.each(['a', 'A-0', 'x'.repeat(64)])('keeps the request id %s', async (id) => {
    const response = await request(api.server).get('/api/me').set('X-Request-Id', id);
    expect(expectProblem(response, 401, 'unauthenticated').requestId).toBe(id);
  });

  test.each(['', 'x'.repeat(65), 'a b', 'a_b', 'a,b', '<script>', '{"$ne":1}', '../a'])(
    'replaces the request id %j',
    async (id) => {
      const response = await request(api.server).get('/api/me').set('X-Request-Id', id);
      expect(expectProblem(response, 401, 'unauthenticated').requestId).toMatch(/^[0-9a-f-]{36}$/);
    },
  );

  test('is not for other origins and names no program', async () => {
    const response = await request(api.server)
      .get('/api/me')
      .set({ Authorization: `Bearer ${student}`, Origin: 'https://evil.example' });
    expect(response.headers['access-control-allow-origin']).toBeUndefined();
    expect(response.headers['x-powered-by']).toBeUndefined();
    expect(response.headers['x-content-type-options']).toBe('nosniff');
    expect(response.headers['referrer-policy']).toBe('no-referrer');
    expect(response.headers['cache-control']).toBe('no-store');
  });
});
