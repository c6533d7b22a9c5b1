import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { Language } from '../../src/domain/check-runs.ts';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createJudgingActivities } from '../../src/activities/judging.ts';
import { createSubmissionActivities } from '../../src/activities/submissions.ts';
import { CheckRun } from '../../src/database/entities/check-runs.ts';
import { Activity } from '../../src/database/entities/operations.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { toCommitFiles } from '../../src/git/fetch-commit.ts';
import { isJobToken } from '../../src/git/job-token.ts';
import { readCommit, SourceProblem } from '../../src/git/read-commit.ts';
import { openRepositories, type Repositories } from '../../src/git/repositories.ts';
import { type RunOptions, type RunResult, type Sandbox, SandboxError, type SandboxJob } from '../../src/sandbox/sandbox.ts';
import { selectStarterFiles } from '../../src/services/exercises.ts';
import { concludeWithoutReview, setSourceCommit } from '../../src/services/submissions.ts';
import { createBlobStore } from '../../src/storage/blobs.ts';
import { createActivityEnvironment } from '../support/temporal.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { waitFor } from '../support/wait.ts';
import { createStudentWithTask, createSubmission, publishDemoCourse } from '../support/factories.ts';

const secret = 'a secret for these tests, 32 bytes long or more';

/** Stands in for a sandbox: it says what a test wants it to say. The real ones are in test/sandbox and test/end-to-end. */
class FakeSandbox implements Sandbox {
  readonly kind = 'docker';
  readonly identity = 'fake';
  readonly languages = new Map<Language, string>([['javascript', 'v24']]);
  readonly jobs: SandboxJob[] = [];
  answer: (name: string) => Partial<RunResult> = () => ({});

  /** Waited for at the start of a job. */
  before: Promise<void> = Promise.resolve();
  /** Runs that are told to have begun. */
  started: readonly string[] = [];

  async run(job: SandboxJob, { onRunStart }: RunOptions): Promise<readonly RunResult[]> {
    this.jobs.push(job);
    await this.before;
    for (const name of this.started) onRunStart?.(name);
    const report = (count: number) => `<testsuites>${'<testcase name="works" time="0.001"/>'.repeat(count)}</testsuites>`;
    const reports: Readonly<Record<string, string>> = {
      lint: '[]\n[]\n',
      'visible-tests': report(6),
      'hidden-tests': report(10),
    };
    return job.runs.map(({ name }) => ({
      name,
      status: 'exited',
      exitCode: 0,
      signal: null,
      wallTimeMs: 10,
      cpuTimeMs: 10,
      memoryPeakBytes: 1_000_000,
      stdout: Buffer.from(`output of ${name}`),
      stderr: Buffer.alloc(0),
      artifact: null,
      hitProcessLimit: false,
      report: reports[name] ?? null,
      ...this.answer(name),
    }));
  }

  reap(): Promise<number> {
    return Promise.resolve(0);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

let database: TestDatabase;
let folder: string;
let repositories: Repositories;
let server: Server;
let gitOrigin: string;
let sandbox: FakeSandbox;
let announced: string[];

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
  folder = await mkdtemp(join(tmpdir(), 'atelier-judging-'));
  repositories = openRepositories(join(folder, 'repositories'));
  server = createServer((request, response) => {
    const [, repositoryId = '', commit = ''] = /^\/git\/([0-9a-f-]+)\.git\/commits\/([0-9a-f]+)$/.exec(request.url ?? '') ?? [];
    const password = Buffer.from(request.headers.authorization?.slice('Basic '.length) ?? '', 'base64')
      .toString()
      .split(':')[1];
    if (!isJobToken(secret, password ?? '', repositoryId)) {
      response.writeHead(401).end();
      return;
    }
    readCommit(repositories.pathOf(repositoryId), commit, new AbortController().signal).then(
      (files) => response.end(JSON.stringify(toCommitFiles(files))),
      (error: Error) =>
        response.writeHead(error instanceof SourceProblem ? 422 : 500).end(JSON.stringify({ detail: error.message })),
    );
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  gitOrigin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(async () => {
  server.close();
  server.closeAllConnections();
  await database.close();
  await rm(folder, { recursive: true });
});

beforeEach(() => {
  sandbox = new FakeSandbox();
  announced = [];
});

function activities() {
  return createJudgingActivities({
    orm: database.orm,
    sandbox,
    blobs: createBlobStore(join(folder, 'blobs')),
    concurrency: 2,
    gitOrigin,
    secret,
    announceChecksStarted: async (workflowId) => void announced.push(workflowId),
  });
}

const submissionOf = (submissionId: string) => database.orm.em.fork().findOneOrFail(Submission, submissionId);

const judge = (submissionId: string) => createActivityEnvironment().run(activities().judgeSubmission, { submissionId, runNo: 1 });

/** A submission of the starter commit, which is as good as any here. */
async function submitStarter(commit?: string): Promise<{ submissionId: string; taskId: string }> {
  const { student, taskId } = await createStudentWithTask(database.orm);
  await repositories.ensure(taskId, () => selectStarterFiles(database.orm.em.fork(), taskId));
  const resolved = await repositories.resolve(taskId, 'main');
  if (resolved.status === 'missing') throw new Error('no starter');
  return {
    taskId,
    submissionId: await createSubmission(database.orm, { taskId, studentId: student.id, commit: commit ?? resolved.commit }),
  };
}

describe('judgeSubmission', () => {
  it('judges once: a repeat returns the stored verdict without a run', async () => {
    const { submissionId } = await submitStarter();
    const first = await judge(submissionId);
    expect(first).toMatchObject({ status: 'judged', verdict: 'accepted' });
    const jobs = sandbox.jobs.length;
    expect(await judge(submissionId)).toEqual(first);
    expect(sandbox.jobs).toHaveLength(jobs);
    const em = database.orm.em.fork();
    const [checkRun, ...others] = await em.find(CheckRun, { submission: submissionId }, { populate: ['testCaseResults'] });
    expect(others).toEqual([]);
    expect(checkRun?.testCaseResults).toHaveLength(16);
    expect((await em.findOneOrFail(Submission, submissionId)).stage).toBe('CHECKING');
    // It was over at once: no event for the workflow.
    expect(announced).toEqual([]);
  });

  it('tells the workflow of a judging that takes a while', async () => {
    const { submissionId } = await submitStarter();
    const heard = Promise.withResolvers<void>();
    sandbox.before = heard.promise;
    const judging = judge(submissionId);
    await waitFor('the announcement', async () => announced[0] ?? null);
    heard.resolve();
    expect(await judging).toMatchObject({ status: 'judged' });
    expect(announced).toHaveLength(1);
  });

  it('writes which runs have begun, in their order and before the verdict', async () => {
    const { submissionId } = await submitStarter();
    sandbox.started = ['lint', 'visible-tests', 'hidden-tests'];
    await judge(submissionId);
    const events = await database.orm.em.fork().find(Activity, { submissionId }, { orderBy: { sequence: 'asc' } });
    expect(events.map(({ kind, data }) => (data as { run?: string }).run ?? kind)).toEqual([
      'task.submitted',
      'ci.started',
      'lint',
      'visible-tests',
      'hidden-tests',
      'ci.result.passed',
    ]);
  });

  it('hands the exercise’s own tests and configuration to the sandbox, and the logs to the store', async () => {
    const { submissionId } = await submitStarter();
    await judge(submissionId);
    expect(sandbox.jobs).toHaveLength(1);
    const paths = sandbox.jobs[0]?.files.map((file) => file.path) ?? [];
    expect(paths).toEqual(expect.arrayContaining(['src/board.js', 'test/board.test.js', '.atelier/oxlintrc.json']));
    // Hidden tests come with their own run and no earlier.
    expect(paths).not.toContain('test/board-rules.test.js');
    expect(sandbox.jobs[0]?.runs.map(({ name, files }) => [name, files?.map((file) => file.path) ?? []])).toEqual([
      ['lint', []],
      ['visible-tests', []],
      ['hidden-tests', ['test/board-rules.test.js']],
    ]);
    const { runs } = await database.orm.em.fork().findOneOrFail(CheckRun, { submission: submissionId });
    const log = await createBlobStore(join(folder, 'blobs')).get(runs[0]?.stdoutKey ?? '');
    expect(log.toString()).toBe('output of lint');
  });

  it('stores a verdict whatever the student’s code and reports hold', async () => {
    const { submissionId } = await submitStarter();
    const finding = { file: 'a\0.js', line: 1, rule: 'syntax', severity: 'error', message: '\0 \uD83D!' };
    const testcase = `<testcase name="${'n'.repeat(499)}😀" time="1e300"><failure>${'m'.repeat(3999)}😀</failure></testcase>`;
    sandbox.answer = (name) => ({
      artifact: null,
      hitProcessLimit: false,
      report: name === 'lint' ? `${JSON.stringify([finding])}\n` : `<testsuites>${testcase}</testsuites>`,
    });
    expect(await judge(submissionId)).toMatchObject({ status: 'judged', verdict: 'wrong-answer' });
    const em = database.orm.em.fork();
    const [checkRun] = await em.find(CheckRun, { submission: submissionId }, { populate: ['testCaseResults'] });
    expect(checkRun?.lintFindings).toEqual([{ ...finding, file: 'a\uFFFD.js', message: '\uFFFD \uFFFD!' }]);
    expect(checkRun?.testCaseResults.getItems()).toMatchObject([
      { name: 'n'.repeat(499), message: 'm'.repeat(3999), timeMs: 2_147_483_647 },
      { suite: 'hidden' },
    ]);
  });

  it('says that the source is unavailable where the commit is not there', async () => {
    const { submissionId } = await submitStarter('d'.repeat(40));
    expect(await judge(submissionId)).toEqual({ status: 'source-unavailable' });
    expect(sandbox.jobs).toEqual([]);
  });

  it.each([
    [true, false],
    [false, true],
  ])("passes on the sandbox's own trouble (transient: %s) as no verdict", async (transient, nonRetryable) => {
    const { submissionId } = await submitStarter();
    sandbox.answer = () => {
      throw new SandboxError('no room', { transient });
    };
    await expect(judge(submissionId)).rejects.toMatchObject({ type: 'sandbox', nonRetryable });
    expect(await database.orm.em.fork().count(CheckRun, { submission: submissionId })).toBe(0);
  });

  it.each([
    { before: 0, nonRetryable: false, nextRetryDelay: 2_000 },
    { before: 1, nonRetryable: false, nextRetryDelay: 4_000 },
    { before: 2, nonRetryable: false, nextRetryDelay: 8_000 },
    { before: 3, nonRetryable: true, nextRetryDelay: undefined },
  ])("counts the sandbox's passing trouble by itself: after $before of them", async ({ before, ...failure }) => {
    const { submissionId } = await submitStarter();
    sandbox.answer = () => {
      throw new SandboxError('no room', { transient: true });
    };
    // All the other attempts failed because PostgreSQL was away.
    const env = createActivityEnvironment({ attempt: 20, heartbeatDetails: { sandboxTroubles: before, run: 'lint' } });
    const beats: unknown[] = [];
    env.on('heartbeat', (beat) => beats.push(beat));
    await expect(env.run(activities().judgeSubmission, { submissionId, runNo: 1 })).rejects.toMatchObject({
      type: 'sandbox',
      details: [{ parkedClass: 'transient' }],
      ...failure,
    });
    expect(beats.at(-1)).toMatchObject({ sandboxTroubles: before + 1 });
  });

  it('parks nothing on the student: a linter without a report is our trouble', async () => {
    const { submissionId } = await submitStarter();
    sandbox.answer = () => ({ report: null });
    await expect(judge(submissionId)).rejects.toMatchObject({ type: 'sandbox', nonRetryable: true });
  });

  it('keeps what it throws short: failures are stored in the history', async () => {
    const { submissionId } = await submitStarter();
    sandbox.answer = () => {
      throw new Error('x'.repeat(5_000_000));
    };
    const failure: unknown = await judge(submissionId).catch((error: unknown) => error);
    expect((failure as Error).message).toHaveLength(1_000);
  });
});

describe('the store of logs', () => {
  it('writes what it has not, and nothing twice', async () => {
    const blobs = createBlobStore(join(folder, 'once'));
    const key = await blobs.put(Buffer.from('a log'));
    const path = join(folder, 'once', key.slice(0, 2), `${key}.gz`);
    const first = await stat(path);
    expect(await blobs.put(Buffer.from('a log'))).toBe(key);
    // A file moved into its place would be another one.
    expect((await stat(path)).ino).toBe(first.ino);
    expect(await readdir(join(folder, 'once', key.slice(0, 2)))).toHaveLength(1);
    expect((await blobs.get(key)).toString()).toBe('a log');
  });
});

describe('fetchSource', () => {
  it('says that a source of another host is still to be fetched, until it is', async () => {
    const { submissionId } = await submitStarter();
    const { repositoryId, commit } = (await submissionOf(submissionId)).source ?? {};
    const remote = { kind: 'remote', repositoryId, commit: null, url: 'https://github.com/ann/night-bus.git', ref: null };
    await database.orm.em.fork().nativeUpdate(Submission, submissionId, { source: remote as never });
    const { fetchSource } = createSubmissionActivities({ orm: database.orm, repositories, repoHosts: [], scratchFolder: folder });
    const run = () => createActivityEnvironment().run(fetchSource, { submissionId });
    expect(await run()).toEqual({ status: 'remote' });
    await setSourceCommit(database.orm.em.fork(), { submissionId, commit: commit ?? '' });
    // The first one stays: the verdict is for what was submitted.
    await setSourceCommit(database.orm.em.fork(), { submissionId, commit: 'f'.repeat(40) });
    expect((await submissionOf(submissionId)).source?.commit).toBe(commit);
    expect(await run()).toEqual({ status: 'ready' });
  });

  it('and the judge find a submission that has ended meanwhile, and do nothing', async () => {
    const { submissionId } = await submitStarter();
    await concludeWithoutReview(database.orm.em.fork(), { submissionId, conclusion: 'closed-by-admin' });
    const { fetchSource, fetchRemoteSource } = createSubmissionActivities({
      orm: database.orm,
      repositories,
      repoHosts: [],
      scratchFolder: folder,
    });
    const ended = { status: 'concluded', conclusion: 'closed-by-admin' };
    expect(await createActivityEnvironment().run(fetchSource, { submissionId })).toEqual(ended);
    expect(await createActivityEnvironment().run(fetchRemoteSource, { submissionId })).toEqual(ended);
    expect(await judge(submissionId)).toEqual(ended);
    expect(sandbox.jobs).toEqual([]);
  });
});
