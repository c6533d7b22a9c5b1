import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import pg from 'pg';
import { pino } from 'pino';
import request from 'supertest';
import { Drain } from '../../src/api/drain.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { type Orm, openOrm } from '../../src/database/orm.ts';
import { DomainError } from '../../src/domain/errors.ts';
import { createAccessToken } from '../../src/services/sessions.ts';
import { createStudentWithTask, password, roomyQueue, selectExerciseId } from '../support/factories.ts';
import { waitFor } from '../support/wait.ts';
import { answerOf, as, commit, expectProblem, listen, secret, signIn, startApi, type TestApi } from './support.ts';

/** A way to PostgreSQL that can be cut: connections are refused and broken as when the server is down. */
class Line {
  readonly #target: URL;
  readonly #sockets = new Set<Socket>();
  #server: Server | null = null;
  #port = 0;

  constructor(target: string) {
    this.#target = new URL(target);
  }

  get url(): string {
    const url = new URL(this.#target);
    url.hostname = '127.0.0.1';
    url.port = String(this.#port);
    return url.href;
  }

  async open(): Promise<void> {
    if (this.#server !== null) return;
    const server = createServer((near) => {
      const far = connect(Number(this.#target.port), this.#target.hostname);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(from);
        from.pipe(to);
        from.on('error', () => to.destroy());
        from.on('close', () => {
          this.#sockets.delete(from);
          to.destroy();
        });
      }
    });
    this.#server = server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#port = (server.address() as AddressInfo).port;
  }

  async cut(): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    const closed = once(server, 'close');
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

let api: TestApi;
let line: Line;
/** Of the app under test, over the line; `api.orm` is for preparing and looking. */
let orm: Orm;
let app: Awaited<ReturnType<typeof listen>>;
let student: { id: string; email: string };
let taskId: string;
let token: string;
let gitToken: string;
let exerciseId: string;

beforeAll(async () => {
  api = await startApi();
  line = new Line(api.databaseUrl);
  await line.open();
  orm = await openOrm(line.url, { logger: () => undefined });
  app = await listen((origin) => ({
    config: {
      ATELIER_ORIGIN: origin,
      JWT_SECRET: secret,
      REPO_HOSTS: [],
      TEMPORAL_UI_ORIGIN: undefined,
      TEMPORAL_NAMESPACE: 'default',
    },
    drain: new Drain(),
    orm,
    repositories: api.repositories,
    workflows: api.workflows,
    overrides: api.overrides,
    trials: api.trials,
    streams: api.streams,
    assistant: null,
    tokens: api.tokens,
    logger: pino({ level: 'silent' }),
    queueLimits: roomyQueue,
  }));
  ({ student, taskId } = await createStudentWithTask(api.orm));
  await commit(api, taskId, 'done');
  token = await signIn(api, student);
  gitToken = (await createAccessToken(api.orm.em.fork(), { userId: student.id, name: 'laptop', ttlMs: 60_000, seed: null }))
    .token;
  exerciseId = await selectExerciseId(api.orm, 'kitchen-plan');
});

afterAll(async () => {
  await app.close();
  await orm.close();
  await line.cut();
  await api.close();
});

const basic = () => `Basic ${Buffer.from(`student:${gitToken}`).toString('base64')}`;
const requests: readonly (readonly [string, number, () => request.Test])[] = [
  [
    'register',
    202,
    () => request(app.server).post('/api/auth/register').send({ email: 'late@example.test', name: 'L', password }),
  ],
  ['log in', 200, () => request(app.server).post('/api/auth/login').send({ email: student.email, password })],
  ['me', 200, () => as(app, token).get('/api/me')],
  ['start a task', 201, () => as(app, token).post('/api/tasks', { exerciseId })],
  ['submit', 202, () => as(app, token).post(`/api/tasks/${taskId}/submit`, {})],
  ['submit with a key', 409, () => as(app, token).post(`/api/tasks/${taskId}/submit`, {}).set('Idempotency-Key', 'k')],
  [
    'git',
    200,
    () => request(app.server).get(`/git/${taskId}.git/info/refs?service=git-upload-pack`).set('Authorization', basic()),
  ],
];

const expectUnavailable = (response: request.Response) => {
  expectProblem(response, 503, 'unavailable');
  expect(Number(response.headers['retry-after'])).toBeGreaterThan(0);
  expect(response.text).not.toMatch(/select|insert|ECONN|postgres|127\.0\.0\.1|password_hash|\.ts/i);
};

describe('with PostgreSQL away', () => {
  test.each(requests)('%s is a 503 that says when to come again', async (_name, _status, send) => {
    await line.cut();
    expectUnavailable(await send());
    // The second finds no broken connection in the pool but none to be had.
    expectUnavailable(await send());
  });

  test('the process is alive and not ready', async () => {
    await line.cut();
    for (const path of ['/health', '/health/live']) {
      const { status, body } = answerOf(await request(app.server).get(path));
      expect({ status, body }).toEqual({ status: 200, body: { status: 'ok', timestamp: expect.any(String) } });
    }
    const ready = await request(app.server).get('/health/ready');
    expect(answerOf(ready)).toEqual({
      status: 503,
      body: { status: 'unavailable', timestamp: expect.any(String), parts: { postgresql: false, temporal: true, sandbox: true } },
    });
  });

  test('what needs no database is answered', async () => {
    await line.cut();
    expect((await request(app.server).get('/openapi.json')).status).toBe(200);
    expectProblem(await as(app, 'no-token').get('/api/me'), 401, 'unauthenticated');
  });
});

describe('when PostgreSQL is back', () => {
  test('the same app answers everything again, and nothing was half done meanwhile', async () => {
    await line.cut();
    expectUnavailable(await as(app, token).get('/api/me'));
    await line.open();
    expect((await request(app.server).get('/health/ready')).body).toMatchObject({ status: 'ok' });
    expect((await api.orm.em.fork().findOneOrFail(Task, taskId)).status).toBe('TODO');
    for (const [name, status, send] of requests) expect([name, (await send()).status]).toEqual([name, status]);
  });
});

describe('when PostgreSQL goes away in the middle of transactions', () => {
  test('as many as the pool holds, all are a 503 and no place in the pool is lost', async () => {
    await line.open();
    const client = new pg.Client(api.databaseUrl);
    await client.connect();
    try {
      await client.query('begin');
      await client.query('select 1 from learning.enrolments where user_id = $1 for update', [student.id]);
      const asked = Array.from({ length: 10 }, async () => as(app, token).post('/api/tasks', { exerciseId }));
      await waitFor('ten transactions that wait for the lock', async () => {
        // Not by `client`: within its transaction the view stands still.
        const waiting = await api.orm.em
          .fork()
          .execute("select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'");
        return waiting.length === 10 ? true : null;
      });
      await line.cut();
      for (const response of await Promise.all(asked)) expectUnavailable(response);
    } finally {
      await client.end();
    }
    await line.open();
    expect((await as(app, token).post('/api/tasks', { exerciseId }).timeout(5_000)).status).toBe(201);
  });
});

describe('while PostgreSQL ends connections', () => {
  test('requests get their answer or a 503, never a 500, and the app recovers', async () => {
    await line.open();
    const client = new pg.Client(api.databaseUrl);
    await client.connect();
    const statuses = new Map<number, number>();
    try {
      const ask = async () => {
        const response = await as(app, token).post('/api/tasks', { exerciseId });
        statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
        if (response.status !== 201) expectUnavailable(response);
      };
      // Until some were hit, and for a while more.
      for (let round = 0; round < 300 && (round < 30 || !statuses.has(503)); round += 1) {
        const asked = Array.from({ length: 5 }, ask);
        await client.query(
          'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
        );
        await Promise.all(asked);
      }
    } finally {
      await client.end();
    }
    expect([...statuses.keys()].toSorted((a, b) => a - b)).toEqual([201, 503]);
    await waitFor('an answer', async () => ((await as(app, token).get('/api/me')).status === 200 ? true : null));
  });
});

describe('health', () => {
  test('without Temporal or a judge is degraded, but ready: submissions are still taken', async () => {
    api.workflows.failure = new DomainError('unavailable', 'away');
    try {
      const { status, body } = answerOf(await request(api.server).get('/health/ready'));
      expect({ status, body }).toEqual({
        status: 200,
        body: { status: 'degraded', timestamp: expect.any(String), parts: { postgresql: true, temporal: false, sandbox: false } },
      });
    } finally {
      api.workflows.failure = null;
    }
  });

  test('with everything there is ok, without asking who one is', async () => {
    const { status, body } = answerOf(await request(api.server).get('/health/ready'));
    expect({ status, body }).toEqual({
      status: 200,
      body: { status: 'ok', timestamp: expect.any(String), parts: { postgresql: true, temporal: true, sandbox: true } },
    });
    expect(Math.abs(Date.parse((body as { timestamp: string }).timestamp) - Date.now())).toBeLessThan(10_000);
  });

  test('has no other page', async () => {
    expectProblem(await request(api.server).get('/health/else'), 404, 'not-found');
    expectProblem(await request(api.server).post('/health'), 404, 'not-found');
  });
});
