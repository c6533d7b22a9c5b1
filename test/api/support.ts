import { parseRepoHosts } from '../../src/domain/repo-urls.ts';
import { commitOverride } from '../../src/services/overrides.ts';
import { expect } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import request from 'supertest';
import { type AccessTokens, createAccessTokens } from '../../src/api/access-token.ts';
import { createApp } from '../../src/api/app.ts';
import { Problem } from '../../src/api/contract/core.ts';
import type { Dependencies } from '../../src/api/dependencies.ts';
import { Drain } from '../../src/api/drain.ts';
import { LiveStreams, type StreamLimits } from '../../src/api/live-streams.ts';
import { newId } from '../../src/database/columns.ts';
import { Session } from '../../src/database/entities/sessions.ts';
import { listen as listenToDatabase } from '../../src/database/listen.ts';
import type { Orm } from '../../src/database/orm.ts';
import type { ReviewOutcome } from '../../src/domain/reviews.ts';
import type { Role } from '../../src/domain/users.ts';
import { git } from '../../src/git/git.ts';
import { openRepositories, type Repositories } from '../../src/git/repositories.ts';
import { insertCheckRun } from '../../src/services/check-runs.ts';
import { selectStarterFiles } from '../../src/services/exercises.ts';
import { commitDecision } from '../../src/services/reviews.ts';
import { enterStage, openReview, selectSubmissionForWorkflow } from '../../src/services/submissions.ts';
import { createTestDatabase } from '../support/database.ts';
import { createStudentWithTask, createSubmission, createUser, publishDemoCourse, roomyQueue } from '../support/factories.ts';
import { FakeOverrideWorkflows, FakeSubmissionWorkflows, FakeTrialWorkflows } from '../support/fakes.ts';
import { judgedChecks, judgedTest } from '../support/check-runs.ts';

export const secret = 'a secret for the tests of the api, long enough';
const tokenTtlMs = 3_600_000;

/** A listening api with its real parts (PostgreSQL, repositories) and workflows that a test steers. */
export interface TestApi {
  readonly server: Server;
  /** Such as `http://127.0.0.1:40000`; also what clone addresses start with. */
  readonly origin: string;
  readonly databaseUrl: string;
  readonly orm: Orm;
  readonly repositories: Repositories;
  readonly workflows: FakeSubmissionWorkflows;
  readonly overrides: FakeOverrideWorkflows;
  readonly trials: FakeTrialWorkflows;
  readonly streams: LiveStreams;
  readonly tokens: AccessTokens;
  /** A test may lower them, and puts them back. */
  readonly queueLimits: { maxQueued: number; maxOpenPerStudent: number };
  close(): Promise<void>;
}

/** An api of its own for one test file, with the demo course; `parts` replaces what the file is about. */
export async function startApi(
  parts: Partial<Pick<Dependencies, 'logger' | 'assistant'>> & {
    streamLimits?: Partial<StreamLimits>;
    /** Serves this one's database, as a second process of the same academy. */
    beside?: TestApi;
  } = {},
): Promise<TestApi> {
  const { beside } = parts;
  const database =
    beside === undefined
      ? await createTestDatabase()
      : { orm: beside.orm, url: beside.databaseUrl, close: async () => undefined };
  const folder = await mkdtemp(join(tmpdir(), 'atelier-api-'));
  const { orm } = database;
  if (beside === undefined) await publishDemoCourse(orm);
  const repositories = openRepositories(join(folder, 'repositories'));
  const workflows = new FakeSubmissionWorkflows();
  const overrides = new FakeOverrideWorkflows();
  overrides.apply = (overrideId) => commitOverride(orm.em.fork(), overrideId);
  const tokens = createAccessTokens(secret, tokenTtlMs);
  const logger = parts.logger ?? pino({ level: 'silent' });
  const trials = new FakeTrialWorkflows();
  const queueLimits = { ...roomyQueue };
  const streams = new LiveStreams({ orm, logger }, parts.streamLimits);
  const notifications = listenToDatabase(database.url, {
    channels: ['submission_events', 'trial_run_events'],
    onNotification: (id) => streams.wake(id),
    onConnected: () => streams.wakeAll(),
    onError: () => undefined,
  });
  const listening = await listen((ownOrigin) => ({
    config: {
      ATELIER_ORIGIN: ownOrigin,
      JWT_SECRET: secret,
      REPO_HOSTS: parseRepoHosts('github.com,gitlab.com/*'),
      TEMPORAL_UI_ORIGIN: undefined,
      TEMPORAL_NAMESPACE: 'default',
    },
    drain: new Drain(),
    orm,
    repositories,
    workflows,
    overrides,
    trials,
    streams,
    assistant: parts.assistant ?? null,
    tokens,
    logger,
    queueLimits,
  }));
  return {
    server: listening.server,
    origin: listening.origin,
    databaseUrl: database.url,
    orm,
    repositories,
    workflows,
    overrides,
    trials,
    streams,
    tokens,
    queueLimits,
    async close() {
      await listening.close();
      await notifications.close();
      await database.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Serves an app on a free port; its own address is part of what the app is made from. */
export async function listen(
  dependencies: (origin: string) => Dependencies,
): Promise<{ server: Server; origin: string; close(): Promise<void> }> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  // Express types its answer as void, Node's listener too.
  server.on('request', createApp(dependencies(origin)));
  return {
    server,
    origin,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

/** A session's access token for the user, without the price of a password. */
export async function signIn({ orm, tokens }: Pick<TestApi, 'orm' | 'tokens'>, user: { id: string }): Promise<string> {
  const em = orm.em.fork();
  const session = em.create(Session, {
    id: newId(),
    createdAt: new Date(),
    user: user.id,
    expiresAt: new Date(Date.now() + tokenTtlMs),
    revokedAt: null,
  });
  await em.flush();
  return tokens.sign({ sessionId: session.id, userId: user.id }).token;
}

/** Requests as one user. */
export function as(api: Pick<TestApi, 'server'>, token: string) {
  const bearer = `Bearer ${token}`;
  return {
    get: (path: string) => request(api.server).get(path).set('Authorization', bearer),
    post: (path: string, body?: object) => request(api.server).post(path).set('Authorization', bearer).send(body),
    patch: (path: string, body?: object) => request(api.server).patch(path).set('Authorization', bearer).send(body),
  };
}

export type Client = ReturnType<typeof as>;

/** A new account with the role, signed in. */
export async function newClient(api: TestApi, role?: Role): Promise<{ id: string; role: Role; client: Client }> {
  const user = await createUser(api.orm, role);
  return { ...user, client: as(api, await signIn(api, user)) };
}

/** A new student with the starter task, signed in. */
export async function newStudent(api: TestApi): Promise<{ id: string; role: Role; client: Client; taskId: string }> {
  const { student, taskId } = await createStudentWithTask(api.orm);
  return { ...student, client: as(api, await signIn(api, student)), taskId };
}

/** What a response says; the library types its body as any. */
export function answerOf(response: request.Response): { readonly status: number; readonly body: unknown } {
  return { status: response.status, body: response.body as unknown };
}

/** Checks that a response is the problem document with this status and slug, and returns it. */
export function expectProblem(response: request.Response, status: number, slug: string): Problem {
  expect({ status: response.status, type: response.headers['content-type'], body: response.text }).toEqual({
    status,
    type: 'application/problem+json; charset=utf-8',
    body: expect.stringContaining(`"type":"urn:atelier:problem:${slug}"`),
  });
  const problem = Problem.strict().parse(JSON.parse(response.text));
  expect(problem.status).toBe(status);
  expect(problem.requestId).toBe(response.headers['x-request-id']);
  return problem;
}

/** A problem without what differs from request to request. */
export function withoutAddress(problem: Problem): Partial<Problem> {
  const { instance: _instance, requestId: _requestId, ...rest } = problem;
  return rest;
}

/** Commits a file to a branch of the task's repository, as a push would; returns the commit. */
export async function commit(
  { orm, repositories }: Pick<TestApi, 'orm' | 'repositories'>,
  taskId: string,
  text: string,
  branch = 'main',
): Promise<string> {
  await repositories.ensure(taskId, () => selectStarterFiles(orm.em.fork(), taskId));
  const path = repositories.pathOf(taskId);
  const data = (content: string) => `data ${Buffer.byteLength(content)}\n${content}\n`;
  const from = await git(path, ['rev-parse', 'refs/heads/main']);
  const stream =
    `commit refs/heads/${branch}\ncommitter Student <student@example.test> 1767225600 +0000\n${data(text)}` +
    `from ${from.toString('utf8')}M 100644 inline work.txt\n${data(text)}\n`;
  await git(path, ['fast-import', '--quiet', '--force'], { input: stream });
  return (await git(path, ['rev-parse', `refs/heads/${branch}`])).toString('utf8').trim();
}

/** A student's submission that passed its checks and awaits a review. */
export async function createSubmissionInReview(
  { orm }: Pick<TestApi, 'orm'>,
  owner?: { student: { id: string; role: Role }; taskId: string },
): Promise<{ student: { id: string; role: Role }; taskId: string; submissionId: string }> {
  const { student, taskId } = owner ?? (await createStudentWithTask(orm));
  const submissionId = await createSubmission(orm, { taskId, studentId: student.id });
  const { revisionId } = await selectSubmissionForWorkflow(orm.em.fork(), submissionId);
  await insertCheckRun(orm.em.fork(), {
    submissionId,
    revisionId,
    runNo: 1,
    ...judgedChecks(),
    score: null,
    sandboxKind: 'docker',
    sandboxIdentity: 'sha256:0',
    runs: [],
    tests: [
      judgedTest({ name: 'shows the next bus' }),
      judgedTest({ suite: 'hidden', name: 'secret rule of midnight', outcome: 'failed', message: 'secret expectation' }),
    ],
    startedAt: new Date(),
  });
  await openReview(orm.em.fork(), submissionId);
  return { student, taskId, submissionId };
}

/** A submission in review, decided by a reviewer as the workflow commits it. */
export async function createReview(
  { orm }: Pick<TestApi, 'orm'>,
  input: { submissionId: string; reviewerId: string; outcome?: ReviewOutcome },
): Promise<string> {
  const { submissionId, reviewerId, outcome = 'APPROVED' } = input;
  const decision = { submissionId, requestId: newId(), actorId: reviewerId, outcome, via: 'temporal' } as const;
  const result = await commitDecision(orm.em.fork(), decision);
  if (result.status === 'refused') throw new Error(result.message);
  return result.reviewId;
}

/** A submission that is parked because of our own trouble. */
export async function createParkedSubmission({
  orm,
}: Pick<TestApi, 'orm'>): Promise<{ student: { id: string; role: Role }; taskId: string; submissionId: string }> {
  const { student, taskId } = await createStudentWithTask(orm);
  const submissionId = await createSubmission(orm, { taskId, studentId: student.id });
  const why = { parkedReason: 'the registry of /var/lib/atelier is away', parkedClass: 'transient' } as const;
  await enterStage(orm.em.fork(), { submissionId, stage: 'PARKED', ...why });
  return { student, taskId, submissionId };
}

/** One HTTP exchange written by hand, for what no client sends: the server's answer as text, when it has closed the connection. */
export async function exchange(origin: string, message: string | Buffer): Promise<string> {
  const socket = connect(Number(new URL(origin).port), '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.write(message);
  await new Promise<void>((resolve, reject) => {
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.once('close', () => resolve());
    // A server that does not want the rest resets the connection after its answer.
    socket.once('error', (error) => (chunks.length > 0 ? resolve() : reject(error)));
  });
  socket.destroy();
  return Buffer.concat(chunks).toString('utf8');
}
