import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import express from 'express';
import pg from 'pg';
import { pino } from 'pino';
import request from 'supertest';
import { LiveStreams } from '../../src/api/live-streams.ts';
import { StreamTicket } from '../../src/database/entities/operations.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { User } from '../../src/database/entities/users.ts';
import type { Role } from '../../src/domain/users.ts';
import { recordActivity } from '../../src/services/activity.ts';
import { insertCheckRun } from '../../src/services/check-runs.ts';
import { commitClaim } from '../../src/services/claims.ts';
import { openDraft } from '../../src/services/drafts.ts';
import { commitDecision } from '../../src/services/reviews.ts';
import { logout } from '../../src/services/sessions.ts';
import {
  concludeWithoutReview,
  enterStage,
  lockSubmission,
  openReview,
  recordRunStarts,
  selectSubmissionForWorkflow,
} from '../../src/services/submissions.ts';
import { createStudentWithTask, createSubmission, createUser } from '../support/factories.ts';
import { waitFor } from '../support/wait.ts';
import { EventReader } from './event-reader.ts';
import { as, expectProblem, signIn, startApi, type TestApi, withoutAddress } from './support.ts';
import { judgedChecks, judgedTest } from '../support/check-runs.ts';

/** So that a test ends within it, and no other way than by what it is about. */
const never = 3_600_000;

let api: TestApi;
/** Another process of the same academy. */
let second: TestApi;
/** One whose streams look around every 50 ms. */
let restless: TestApi;
const readers: EventReader[] = [];

beforeAll(async () => {
  api = await startApi({ streamLimits: { heartbeatMs: never, perUser: 3 } });
  second = await startApi({ streamLimits: { heartbeatMs: never }, beside: api });
  restless = await startApi({ streamLimits: { heartbeatMs: 50 }, beside: api });
});

afterEach(() => {
  for (const reader of readers.splice(0)) reader.leave();
});

afterAll(async () => {
  await restless.close();
  await second.close();
  await api.close();
});

interface Student {
  readonly id: string;
  readonly token: string;
}

async function submit(): Promise<{ student: Student; taskId: string; submissionId: string }> {
  const { student, taskId } = await createStudentWithTask(api.orm);
  const submissionId = await createSubmission(api.orm, { taskId, studentId: student.id });
  return { student: { id: student.id, token: await signIn(api, student) }, taskId, submissionId };
}

const addressOf = ({ origin }: TestApi, submissionId: string, query = '') =>
  `${origin}/api/submissions/${submissionId}/events${query}`;

async function follow(
  token: string,
  submissionId: string,
  { from = api, lastEventId, query }: { from?: TestApi; lastEventId?: number; query?: string } = {},
): Promise<EventReader> {
  const reader = await EventReader.open(addressOf(from, submissionId, query), {
    authorization: `Bearer ${token}`,
    ...(lastEventId !== undefined && { 'last-event-id': String(lastEventId) }),
  });
  readers.push(reader);
  return reader;
}

/** The steps of a submission's life, as its workflow makes them. */
function steps(submissionId: string, reviewer: { id: string }): (() => Promise<unknown>)[] {
  const em = () => api.orm.em.fork();
  return [
    () => enterStage(em(), { submissionId, stage: 'CHECKING' }),
    () => recordRunStarts(em(), { submissionId, runs: ['lint'] }),
    () => recordRunStarts(em(), { submissionId, runs: ['visible-tests'] }),
    async () => {
      const { revisionId } = await selectSubmissionForWorkflow(em(), submissionId);
      const sandbox = { sandboxKind: 'docker', sandboxIdentity: 'sha256:0' };
      const tests = [judgedTest({ suite: 'hidden', name: 'secret rule', message: 'secret' })];
      const checked = { ...judgedChecks({ tests }), score: null, runs: [], startedAt: new Date() };
      await insertCheckRun(em(), { submissionId, revisionId, runNo: 1, ...sandbox, ...checked });
    },
    () => openReview(em(), submissionId),
    () => commitClaim(em(), { submissionId, actorId: reviewer.id }),
    () => {
      const decision = { requestId: submissionId, actorId: reviewer.id, outcome: 'APPROVED', via: 'api' } as const;
      return commitDecision(em(), { submissionId, ...decision });
    },
  ];
}

const storyKinds = [
  'task.submitted',
  'ci.started',
  'ci.run.started',
  'ci.run.started',
  'ci.result.passed',
  'review.opened',
  'review.claimed',
  'review.created',
];
const storyIds = [1, 2, 3, 4, 5, 6, 7, 8];

describe('a submission from submit to review', () => {
  test('comes live, event by event, and the stream ends with it', async () => {
    const { student, submissionId } = await submit();
    const reviewer = await createUser(api.orm, 'ACADEMY_REVIEWER');
    const reader = await follow(student.token, submissionId);
    expect(reader.status).toBe(200);
    expect(reader.headers).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    await reader.untilCount(1);
    for (const [index, step] of steps(submissionId, reviewer).entries()) {
      await step();
      await reader.untilCount(index + 2);
    }
    expect(await reader.untilEnd()).toBe('in order');
    expect(reader.kinds).toEqual(storyKinds);
    expect(reader.ids).toEqual(storyIds);
    expect(reader.events.map(({ data }) => data)).toEqual(
      [
        { attemptNo: 1, source: 'hosted', commit: 'c'.repeat(40) },
        {},
        { run: 'lint' },
        { run: 'visible-tests' },
        { verdict: 'accepted', runNo: 1 },
        { answerDueAt: expect.any(String) },
        // As the submission itself names who has claimed it.
        { reviewerId: reviewer.id },
        { outcome: 'APPROVED', xpAdded: expect.any(Number) },
      ].map((data, index) => ({ kind: storyKinds[index], at: expect.any(String), data })),
    );
    expect(reader.text).not.toContain('secret');
  });

  test('can be taken up after every event, live, by the other process, without gap or repeat', async () => {
    const { student, submissionId } = await submit();
    const reviewer = await createUser(api.orm, 'ACADEMY_REVIEWER');
    const seen: number[] = [];
    const life = (async () => {
      for (const step of steps(submissionId, reviewer)) await step();
    })();
    for (let turn = 0; seen.length < storyIds.length; turn += 1) {
      const from = turn % 2 === 0 ? api : second;
      const lastEventId = seen.at(-1);
      const reader = await follow(student.token, submissionId, { from, ...(lastEventId !== undefined && { lastEventId }) });
      await reader.untilCount(1);
      reader.leave();
      // Several may have come at once; a reader who is cut off in between has the first of them.
      seen.push(reader.ids[0] ?? 0);
    }
    await life;
    expect(seen).toEqual(storyIds);
  });

  test('can be read again from every position; after its last event there is nothing to come back for', async () => {
    const { student, submissionId } = await submit();
    for (const step of steps(submissionId, await createUser(api.orm, 'ACADEMY_REVIEWER'))) await step();
    for (let position = 0; position < storyIds.length; position += 1) {
      for (const resume of [
        { lastEventId: position },
        { query: `?after=${position}` },
        { query: '?after=7', lastEventId: position },
      ]) {
        const reader = await follow(student.token, submissionId, resume);
        expect(await reader.untilEnd()).toBe('in order');
        expect({ position, ids: reader.ids }).toEqual({ position, ids: storyIds.slice(position) });
      }
    }
    for (const resume of [{ lastEventId: 8 }, { query: '?after=8' }, { lastEventId: 2_147_483_647 }]) {
      const reader = await follow(student.token, submissionId, resume);
      expect({ status: reader.status, end: await reader.untilEnd(), text: reader.text }).toEqual({
        status: 204,
        end: 'in order',
        text: '',
      });
    }
  });

  test('more events than are read at a time come all, in order', async () => {
    const { student, submissionId } = await submit();
    await api.orm.em.fork().transactional(async (tx) => {
      const { submission } = await lockSubmission(tx, submissionId);
      for (let run = 0; run < 250; run += 1) recordActivity(tx, 'ci.run.started', { submission, data: { run: `run ${run}` } });
    });
    await concludeWithoutReview(api.orm.em.fork(), { submissionId, conclusion: 'cancelled' });
    const reader = await follow(student.token, submissionId);
    expect(await reader.untilEnd()).toBe('in order');
    expect(reader.ids).toEqual(Array.from({ length: 252 }, (_, index) => index + 1));
  });

  test('shows nothing that is not meant to be shown', async () => {
    const { student, submissionId } = await submit();
    await enterStage(api.orm.em.fork(), {
      submissionId,
      stage: 'PARKED',
      parkedReason: 'secret trouble of ours',
      parkedClass: 'permanent',
    });
    await api.orm.em.fork().transactional(async (tx) => {
      const { submission } = await lockSubmission(tx, submissionId);
      recordActivity(tx, 'ci.result.failed', { submission, data: { verdict: 'wrong-answer', expected: 'secret answer' } });
      recordActivity(tx, 'review.claimed', { submission, data: { takenOverFrom: 'secret reviewer' } });
    });
    const reader = await follow(student.token, submissionId);
    await reader.untilCount(4);
    expect(reader.text).not.toContain('secret');
    expect(reader.events.map(({ data }) => data)).toMatchObject([
      {},
      { kind: 'submission.parked', data: {} },
      { kind: 'ci.result.failed', data: { verdict: 'wrong-answer' } },
      { kind: 'review.claimed', data: { reviewerId: null } },
    ]);
  });

  test('HEAD tells the headers and does not stay', async () => {
    const { student, submissionId } = await submit();
    const response = await request(api.server)
      .head(`/api/submissions/${submissionId}/events`)
      .set('Authorization', `Bearer ${student.token}`);
    expect([response.status, response.headers['content-type']]).toEqual([200, 'text/event-stream; charset=utf-8']);
  });

  test.each(['-1', '1.5', 'x', '2147483648', ' ', '1,2'])('an event that cannot be is refused: %j', async (id) => {
    const { student, submissionId } = await submit();
    const sent = () => as(api, student.token).get(`/api/submissions/${submissionId}/events`);
    // Node leaves the blanks of a header out.
    if (id !== ' ') expectProblem(await sent().set('Last-Event-ID', id), 422, 'validation');
    expectProblem(await sent().query({ after: id }), 422, 'validation');
  });
});

describe('who may follow', () => {
  test('nobody but who sees the submission; whether it is there is not told', async () => {
    const { submissionId } = await submit();
    const other = as(api, await signIn(api, await createUser(api.orm)));
    const foreign = expectProblem(await other.get(`/api/submissions/${submissionId}/events`), 404, 'not-found');
    const missing = expectProblem(await other.get(`/api/submissions/${crypto.randomUUID()}/events`), 404, 'not-found');
    expect(withoutAddress(foreign)).toEqual(withoutAddress(missing));
    expectProblem(await other.post(`/api/submissions/${submissionId}/events/ticket`), 404, 'not-found');
    expectProblem(await request(api.server).get(`/api/submissions/${submissionId}/events`), 401, 'unauthenticated');
  });

  test.each<Role>(['ACADEMY_REVIEWER', 'SUPER_ADMIN'])('%s follows too', async (role) => {
    const { submissionId } = await submit();
    const reader = await follow(await signIn(api, await createUser(api.orm, role)), submissionId.toUpperCase());
    await reader.untilCount(1);
    await enterStage(api.orm.em.fork(), { submissionId, stage: 'CHECKING' });
    expect(await reader.until('ci.started')).toMatchObject({ id: 2 });
  });

  test('a draft is followed by its student and by no reviewer', async () => {
    const { student, taskId } = await createStudentWithTask(api.orm);
    const { submissionId } = await api.orm.em.fork().transactional((tx) => openDraft(tx, student, taskId));
    const reviewer = as(api, await signIn(api, await createUser(api.orm, 'ACADEMY_REVIEWER')));
    expectProblem(await reviewer.get(`/api/submissions/${submissionId}/events`), 404, 'not-found');
    const reader = await follow(await signIn(api, student), submissionId);
    await createSubmission(api.orm, { taskId, studentId: student.id });
    await reader.until('task.submitted');
    expect(reader.kinds).toEqual(['submission.drafted', 'task.submitted']);
  });

  test.each<[string, (user: { id: string; token: string }) => Promise<unknown>]>([
    ['a logout', ({ token }) => logout(api.orm.em.fork(), api.tokens.verify(token)?.sessionId ?? '')],
    ['a block', ({ id }) => api.orm.em.fork().nativeUpdate(User, { id }, { disabledAt: new Date() })],
    ['a demotion', ({ id }) => api.orm.em.fork().nativeUpdate(User, { id }, { role: 'CODING_STUDENT' })],
  ])('%s ends the stream, without another event', async (_name, lose) => {
    const { submissionId } = await submit();
    const user = await createUser(api.orm, 'ACADEMY_REVIEWER');
    const token = await signIn(api, user);
    const [watched, silent] = [
      await follow(token, submissionId, { from: restless }),
      await follow(token, submissionId, { from: api }),
    ];
    await watched.untilCount(1);
    await silent.untilCount(1);
    await lose({ id: user.id, token });
    // With the next heartbeat where there is one; at the latest with the next event, which is not told.
    expect(await watched.untilEnd()).toBe('in order');
    await enterStage(api.orm.em.fork(), { submissionId, stage: 'CHECKING' });
    expect(await silent.untilEnd()).toBe('in order');
    expect([watched.kinds, silent.kinds]).toEqual([['task.submitted'], ['task.submitted']]);
  });
});

describe('a ticket', () => {
  async function createTicket(token: string, submissionId: string): Promise<string> {
    const response = await as(api, token).post(`/api/submissions/${submissionId}/events/ticket`);
    expect(response.status).toBe(201);
    const { ticket, expiresAt } = response.body as { ticket: string; expiresAt: string };
    expect(ticket).toMatch(/^ats_[\w-]{43}$/);
    expect(Date.parse(expiresAt)).toBeGreaterThan(Date.now());
    return ticket;
  }

  const byTicket = (submissionId: string, ticket: string, from = api) =>
    request(from.server).get(`/api/submissions/${submissionId}/events`).query({ ticket });

  test('opens its stream once, in whichever process', async () => {
    const { student, submissionId } = await submit();
    const ticket = await createTicket(student.token, submissionId);
    const reader = await EventReader.open(addressOf(second, submissionId, `?ticket=${ticket}`));
    readers.push(reader);
    await reader.until('task.submitted');
    expectProblem(await byTicket(submissionId, ticket), 401, 'unauthenticated');
    await enterStage(api.orm.em.fork(), { submissionId, stage: 'CHECKING' });
    await reader.until('ci.started');
  });

  test('used ten times at once opens one stream', async () => {
    const { student, submissionId } = await submit();
    await concludeWithoutReview(api.orm.em.fork(), { submissionId, conclusion: 'cancelled' });
    const ticket = await createTicket(student.token, submissionId);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => byTicket(submissionId, ticket, index % 2 ? api : second)),
    );
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, ...Array<number>(9).fill(401)]);
  });

  test('is refused where it is forged, expired, of another submission, or comes beside an access token', async () => {
    const { student, submissionId } = await submit();
    const other = await submit();
    const ticket = await createTicket(student.token, submissionId);
    expectProblem(
      await byTicket(submissionId, `${ticket.slice(0, -1)}${ticket.endsWith('A') ? 'B' : 'A'}`),
      401,
      'unauthenticated',
    );
    expectProblem(await byTicket(submissionId, ''), 401, 'unauthenticated');
    expectProblem(await byTicket(other.submissionId, ticket), 401, 'unauthenticated');
    expectProblem(await byTicket('no-uuid', ticket), 401, 'unauthenticated');
    expectProblem(
      await request(api.server).get(`/api/submissions/${submissionId}/events?ticket=${ticket}&ticket=${ticket}`),
      401,
      'unauthenticated',
    );
    expectProblem(
      await byTicket(submissionId, ticket).set('Authorization', `Bearer ${other.student.token}`),
      401,
      'unauthenticated',
    );
    // None of these has used it up.
    await api.orm.em.fork().nativeUpdate(StreamTicket, { submissionId }, { expiresAt: new Date(Date.now() - 1) });
    expectProblem(await byTicket(submissionId, ticket), 401, 'unauthenticated');
    await api.orm.em.fork().nativeUpdate(StreamTicket, { submissionId }, { expiresAt: new Date(Date.now() + 60_000) });
    const reader = await EventReader.open(addressOf(api, submissionId, `?ticket=${ticket}`));
    readers.push(reader);
    expect(reader.status).toBe(200);
  });

  test('ends with the session that made it, and opens nothing but a stream', async () => {
    const { student, submissionId } = await submit();
    const ticket = await createTicket(student.token, submissionId);
    expectProblem(await request(api.server).get(`/api/submissions/${submissionId}`).query({ ticket }), 401, 'unauthenticated');
    await logout(api.orm.em.fork(), api.tokens.verify(student.token)?.sessionId ?? '');
    expectProblem(await byTicket(submissionId, ticket), 401, 'unauthenticated');
  });

  test('is stored as a hash, and removed by the next one when its time is over', async () => {
    const { student, submissionId } = await submit();
    const ticket = await createTicket(student.token, submissionId);
    const em = api.orm.em.fork();
    const stored = await em.find(StreamTicket, { userId: student.id });
    expect(JSON.stringify(stored)).not.toContain(ticket.slice(4));
    await em.nativeUpdate(StreamTicket, { userId: student.id }, { expiresAt: new Date(Date.now() - 1) });
    await createTicket(student.token, submissionId);
    expect(await em.fork().count(StreamTicket, { userId: student.id })).toBe(1);
  });
});

describe('when a part is away', () => {
  /** Ends connections of this academy to PostgreSQL, as an administrator or a restart does; says how many. */
  async function terminate(which: 'listening' | 'all'): Promise<number> {
    const client = new pg.Client(api.databaseUrl);
    await client.connect();
    const { rows } = await client.query<{ count: number }>(
      `select count(pg_terminate_backend(pid))::int as count from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid() and ($1 = 'all' or query ilike 'listen %')`,
      [which],
    );
    await client.end();
    return rows[0]?.count ?? 0;
  }

  test.each(['listening', 'all'] as const)('PostgreSQL ends %s connections: no event is missed', async (which) => {
    const { student, submissionId } = await submit();
    const here = await follow(student.token, submissionId);
    const there = await follow(student.token, submissionId, { from: second });
    for (const reader of [here, there]) await reader.untilCount(1);
    expect(await terminate(which)).toBeGreaterThanOrEqual(which === 'all' ? 4 : 3);
    // While nobody listens; the streams have no heartbeat that could find it.
    await waitFor('the database', () =>
      enterStage(api.orm.em.fork(), { submissionId, stage: 'CHECKING' }).then(
        () => true,
        () => null,
      ),
    );
    for (const reader of [here, there]) await reader.until('ci.started');
    await concludeWithoutReview(api.orm.em.fork(), { submissionId, conclusion: 'checks-failed' });
    for (const reader of [here, there]) {
      expect(await reader.untilEnd()).toBe('in order');
      expect(reader.ids).toEqual([1, 2, 3]);
    }
  });

  test('a notification that never came is made up for by the next heartbeat', async () => {
    const { student, submissionId } = await submit();
    const reader = await follow(student.token, submissionId, { from: restless });
    await reader.untilCount(1);
    const em = api.orm.em.fork();
    await em.transactional(async (tx) => {
      // As if nobody had been told.
      await tx.execute('alter table operations.activity disable trigger activity_tell');
      const { submission } = await lockSubmission(tx, submissionId);
      recordActivity(tx, 'ci.started', { submission });
      await tx.flush();
      await tx.execute('alter table operations.activity enable trigger activity_tell');
    });
    await reader.until('ci.started');
    expect(reader.beats).toBeGreaterThan(0);
  });
});

describe('limits', () => {
  test('of one user: 429 until one is closed, also by who just left', async () => {
    const { student, submissionId } = await submit();
    const open = [
      await follow(student.token, submissionId),
      await follow(student.token, submissionId),
      await follow(student.token, submissionId),
    ];
    const refused = await as(api, student.token).get(`/api/submissions/${submissionId}/events`);
    expectProblem(refused, 429, 'rate-limited');
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    open[0]?.leave();
    const next = await waitFor('a free place', async () => {
      const reader = await follow(student.token, submissionId);
      return reader.status === 200 ? reader : null;
    });
    await next.untilCount(1);
    // Refusals and what could not be seen have taken no place.
    const other = await submit();
    for (let attempt = 0; attempt < 5; attempt += 1) {
      expectProblem(await as(api, other.student.token).get(`/api/submissions/${submissionId}/events`), 404, 'not-found');
    }
    expect((await follow(other.student.token, other.submissionId)).status).toBe(200);
  });

  test('of one process, and its end: streams end in order, and others are sent elsewhere', async () => {
    const small = await startApi({ streamLimits: { heartbeatMs: never, perProcess: 1 }, beside: api });
    try {
      const { student, submissionId } = await submit();
      const other = await submit();
      const reader = await follow(student.token, submissionId, { from: small });
      await reader.untilCount(1);
      const ask = () => as(small, other.student.token).get(`/api/submissions/${other.submissionId}/events`);
      expectProblem(await ask(), 503, 'unavailable');
      small.streams.closeAll();
      expect(await reader.untilEnd()).toBe('in order');
      const refused = await ask();
      expectProblem(refused, 503, 'unavailable');
      expect(refused.headers['retry-after']).toBeDefined();
      expect((await follow(student.token, submissionId, { lastEventId: 1 })).status).toBe(200);
    } finally {
      await small.close();
    }
  });

  test('a stream does not outlive the token that opened it for long', async () => {
    const brief = await startApi({ streamLimits: { heartbeatMs: 20, maxAgeMs: 100 }, beside: api });
    try {
      const { student, submissionId } = await submit();
      const reader = await follow(student.token, submissionId, { from: brief });
      expect(await reader.untilEnd()).toBe('in order');
      expect(reader.kinds).toEqual(['task.submitted']);
    } finally {
      await brief.close();
    }
  });

  describe('a reader who does not read', () => {
    const eventBytes = 1024 * 1024;
    let server: Server;
    let looks: number;
    let isServed: Promise<void>;

    /** A source without end, behind streams with short patience. */
    beforeAll(async () => {
      const streams = new LiveStreams(
        { orm: api.orm, logger: pino({ level: 'silent' }) },
        { heartbeatMs: 100, slowReaderMs: 2_000 },
      );
      const user = await createUser(api.orm);
      const caller = {
        actor: user,
        sessionId: api.tokens.verify(await signIn(api, user))?.sessionId ?? '',
      };
      const look = async (_actor: unknown, after: number) => {
        looks += 1;
        return {
          events: [{ id: after + 1, kind: 'large', data: { text: 'x'.repeat(eventBytes) } }],
          hasMore: true,
          isOver: false,
        };
      };
      const app = express();
      app.get('/', (_request, response) => {
        isServed = streams.serve(response, { caller, source: { topic: 'large', look }, after: 0 });
        return isServed;
      });
      server = createServer(app).listen(0, '127.0.0.1');
      await once(server, 'listening');
    });

    afterAll(() => {
      server.closeAllConnections();
      server.close();
    });

    test('is cut off, and is held no more for than fits on the way', async () => {
      looks = 0;
      const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
      socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      socket.pause();
      const closed = once(socket, 'close');
      await waitFor('the request', async () => (looks > 0 ? true : null));
      await isServed;
      // What the kernel takes for both ends of a connection is some megabytes; the rest was never read from the source.
      expect(looks).toBeLessThan(50);
      socket.on('error', () => undefined).resume();
      await closed;
    });

    test('is not taken for one who reads slowly', async () => {
      looks = 0;
      const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
      socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      let bytes = 0;
      socket.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        socket.pause();
        setTimeout(() => socket.resume(), 5);
      });
      // Longer in all than a reader may leave things unread.
      await waitFor('thirty events', async () => (bytes > 30 * eventBytes ? true : null));
      expect(socket.closed).toBe(false);
      socket.destroy();
      await isServed;
    });
  });
});

test('an open submission that is ended by nobody is followed on', async () => {
  const { student, submissionId } = await submit();
  const reader = await follow(student.token, submissionId, { from: restless });
  await waitFor('three signs of life', async () => (reader.beats >= 3 ? true : null));
  expect({ end: reader.end, kinds: reader.kinds }).toEqual({ end: null, kinds: ['task.submitted'] });
  expect((await api.orm.em.fork().findOneOrFail(Submission, submissionId)).lastSequence).toBe(1);
});
