import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createTrialJudgeActivities, createTrialRunActivities } from '../../src/activities/trial-runs.ts';
import { RevisionFile } from '../../src/database/entities/exercises.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { TrialRun } from '../../src/database/entities/trial-runs.ts';
import type { Language } from '../../src/domain/check-runs.ts';
import { openSandbox } from '../../src/sandbox/choose.ts';
import { type RunResult, type Sandbox, SandboxError, type SandboxJob } from '../../src/sandbox/sandbox.ts';
import { startTask } from '../../src/services/enrolments.ts';
import { createTrialRun, removeTrialRun, selectTrialRun } from '../../src/services/trial-runs.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createStudentWithTask, publishDemoCourse, roomyQueue, selectExerciseId } from '../support/factories.ts';
import { runner } from '../support/runner.ts';
import { describeEachSandbox } from '../support/sandboxes.ts';
import { createActivityEnvironment } from '../support/temporal.ts';
import { waitFor } from '../support/wait.ts';

/** Stands in for a sandbox: it says what a test wants it to say. */
class FakeSandbox implements Sandbox {
  readonly kind = 'docker';
  readonly identity = 'fake';
  readonly languages = new Map<Language, string>([['javascript', 'v24']]);
  readonly jobs: SandboxJob[] = [];
  answer: Partial<RunResult> | Error = {};

  async run(job: SandboxJob): Promise<readonly RunResult[]> {
    this.jobs.push(job);
    if (this.answer instanceof Error) throw this.answer;
    const [run] = job.runs;
    const plain = { status: 'exited', exitCode: 0, signal: null, wallTimeMs: 10, cpuTimeMs: 10, memoryPeakBytes: 1 } as const;
    const output = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0), report: null, artifact: null, hitProcessLimit: false };
    return [{ name: run?.name ?? '', ...plain, ...output, ...this.answer }];
  }

  reap(): Promise<number> {
    return Promise.resolve(0);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

let database: TestDatabase;
let sandbox: FakeSandbox;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
});

beforeEach(() => {
  sandbox = new FakeSandbox();
});

afterAll(() => database.close());

const em = () => database.orm.em.fork();

type Draft = Parameters<typeof createTrialRun>[2]['draft'];
const nothing: Draft = { sourceCode: null, documentation: null, files: [] };

async function store(changes: Partial<Draft> = {}, stdin: string | null = null, slug = 'night-bus-board') {
  const { student, taskId: starterId } = await createStudentWithTask(database.orm);
  const exerciseId = await selectExerciseId(database.orm, slug);
  const taskId = slug === 'night-bus-board' ? starterId : (await startTask(em(), { userId: student.id, exerciseId })).taskId;
  const answer = await createTrialRun(em(), student, {
    taskId,
    draft: { ...nothing, ...changes },
    stdin,
    key: null,
    queueLimits: roomyQueue,
  });
  if (answer.status !== 'stored') throw new Error('limited');
  return { runId: answer.runId, student, taskId, look: () => selectTrialRun(em(), student, answer.runId) };
}

/** None of these exercises has dependencies. */
const noBlobs = { get: () => Promise.reject(new Error('no blobs')) };

const make = (runId: string, used: Sandbox = sandbox) =>
  createActivityEnvironment().run(createTrialJudgeActivities({ orm: database.orm, sandbox: used, blobs: noBlobs }).makeTrialRun, {
    runId,
  });

describe('makeTrialRun', () => {
  it('runs the visible tests over what is tried, on top of the starter, within its limits', async () => {
    const { runId, taskId, look } = await store({
      sourceCode: 'mine',
      files: [{ path: 'README.md/x', content: 'a folder now' }],
    });
    await make(runId);
    const [job] = sandbox.jobs;
    const contents = new Map(job?.files.map(({ path, content }) => [path, content.toString()]));
    expect(contents.get('src/board.js')).toBe('mine');
    expect([...contents.keys()].toSorted()).toEqual(
      ['.atelier/oxlintrc.json', 'README.md/x', 'package.json', 'src/board.js', 'test/board.test.js'].toSorted(),
    );
    expect(job?.runs.map(({ name, stdin, files }) => ({ name, stdin, files }))).toEqual([
      { name: 'visible-tests', stdin: undefined, files: undefined },
    ]);
    const { revision } = await em().findOneOrFail(Task, taskId, { populate: ['revision'] });
    const { limits } = revision.$.checks;
    expect(job?.runs[0]?.limits).toEqual({
      ...limits,
      wallTimeMs: Math.min(limits.wallTimeMs, 10_000),
      cpuTimeMs: Math.min(limits.cpuTimeMs, 10_000),
      outputBytes: Math.min(limits.outputBytes, 65_536),
    });
    // Neither hidden tests nor the solution are near.
    const secrets = await em().find(RevisionFile, { revision: revision.id, role: ['hidden-test', 'solution'] });
    for (const { content } of secrets) expect([...contents.values()]).not.toContain(content);
    expect(await look()).toMatchObject({ status: 'DONE', results: [{ name: 'visible-tests', tests: null }] });
  });

  it('runs the program alone on an input', async () => {
    const { runId } = await store({ sourceCode: 'mine' }, 'the input');
    await make(runId);
    expect(sandbox.jobs[0]?.runs).toMatchObject([
      { name: 'program', argv: ['node', './src/board.js'], stdin: Buffer.from('the input') },
    ]);
  });

  it('stores whatever the code says', async () => {
    const { runId, look } = await store();
    sandbox.answer = {
      status: 'output-limit',
      exitCode: null,
      stdout: Buffer.from([0x61, 0x00, 0xff, 0xf0, 0x9f]),
      stderr: Buffer.alloc(65_536, 'é'),
      artifact: null,
      hitProcessLimit: false,
      report: '<testsuites><testcase name="a\0b"><failure>no</failure></testcase></testsuites>',
    };
    await make(runId);
    const [result] = (await look()).results;
    expect(result).toMatchObject({ status: 'output-limit', stdout: 'a\uFFFD\uFFFD\uFFFD' });
    expect(result?.stderr).toHaveLength(32_768);
  });

  it('does nothing twice, and nothing for a run that was taken back', async () => {
    const { runId, look } = await store();
    await make(runId);
    await make(runId);
    expect(sandbox.jobs).toHaveLength(1);
    const { status } = await look();
    const gone = await store();
    await removeTrialRun(em(), gone.runId);
    await make(gone.runId);
    expect({ status, jobs: sandbox.jobs.length }).toEqual({ status: 'DONE', jobs: 1 });
  });

  it.each([
    [true, false],
    [false, true],
  ])("passes on the sandbox's own trouble (transient: %s), and stores nothing", async (transient, nonRetryable) => {
    const { runId, look } = await store();
    sandbox.answer = new SandboxError('no room', { transient });
    await expect(make(runId)).rejects.toMatchObject({ type: 'sandbox', nonRetryable });
    expect(await look()).toMatchObject({ status: 'RUNNING', results: [] });
    // The repeat makes it.
    sandbox.answer = {};
    await make(runId);
    expect(await look()).toMatchObject({ status: 'DONE' });
  });
});

describe('failTrialRun', () => {
  const fail = (runId: string) =>
    createActivityEnvironment().run(createTrialRunActivities({ orm: database.orm }).failTrialRun, {
      runId,
      reason: 'no-judge' as const,
    });

  it('ends a run with its reason, once; a judge that comes late does nothing', async () => {
    const { runId, look } = await store();
    await fail(runId);
    const { finishedAt } = await em().findOneOrFail(TrialRun, runId);
    await fail(runId);
    await make(runId);
    expect(await look()).toEqual({
      runId,
      status: 'ERROR',
      problem: expect.stringContaining('No judge is free'),
      results: [],
      output: [],
    });
    expect((await em().findOneOrFail(TrialRun, runId)).finishedAt).toEqual(finishedAt);
    expect(sandbox.jobs).toEqual([]);
  });
});

await describeEachSandbox('trying code', (kind) => {
  let real: Sandbox;

  beforeAll(async () => {
    const opened = await openSandbox(kind, { onMessage: () => undefined, runner });
    if (opened.sandbox === null) throw new Error(`no ${kind}`);
    real = opened.sandbox;
  }, 300_000);

  it.each([
    ['night-bus-board', 'src/board.js'],
    ['balcony-garden', 'src/garden.py'],
  ])('%s: the reference solution passes the visible tests, and it alone', async (slug, path) => {
    const solution = join(import.meta.dirname, '../../content/demo/exercises', slug, 'solution', path);
    const good = await store({ sourceCode: readFileSync(solution, 'utf8') }, null, slug);
    await make(good.runId, real);
    const [passed] = (await good.look()).results;
    expect(passed).toMatchObject({ name: 'visible-tests', status: 'exited', exitCode: 0 });
    expect(passed?.tests?.length).toBeGreaterThan(0);
    expect(passed?.tests?.filter(({ outcome }) => outcome !== 'passed')).toEqual([]);
    const bad = await store({}, null, slug);
    await make(bad.runId, real);
    const [failed] = (await bad.look()).results;
    expect(failed?.exitCode).toBe(1);
    expect(failed?.tests?.some(({ outcome, message }) => outcome === 'failed' && message !== '')).toBe(true);
  });

  it.each([
    ['night-bus-board', "process.stdin.on('data', (data) => console.log(String(data).toUpperCase()))"],
    ['balcony-garden', 'print(input().upper())'],
  ])('%s: a program gets its input', async (slug, sourceCode) => {
    const { runId, look } = await store({ sourceCode }, 'zwölf', slug);
    await make(runId, real);
    expect((await look()).results).toMatchObject([{ name: 'program', exitCode: 0, stdout: 'ZWÖLF\n', tests: null }]);
  });

  it('a program is tried on its samples, one result each, or on an input', async () => {
    const path = join(import.meta.dirname, '../../content/demo/exercises/dry-causeway/solution/main.py');
    const right = { path: 'main.py', content: readFileSync(path, 'utf8') };
    const good = await store({ files: [right] }, null, 'dry-causeway');
    await make(good.runId, real);
    const seen = { tests: null, verdict: 'accepted', message: '', diff: null };
    const names = ['samples/1', 'samples/2', 'samples/3'];
    expect((await good.look()).results).toMatchObject(names.map((name) => ({ ...seen, name, exitCode: 0 })));
    const wrong = await store({ files: [{ path: 'main.py', content: 'print(75, 74)' }] }, null, 'dry-causeway');
    await make(wrong.runId, real);
    expect((await wrong.look()).results[0]).toMatchObject({
      name: 'samples/1',
      stdout: '75 74\n',
      verdict: 'wrong-answer',
      message: 'word 2 (line 1): expected "75", found "74"',
      diff: '-75\n-75\n+75 74\n ',
    });
    const own = await store({ files: [right] }, '1 2\n0 0.5\n10 1.0\n', 'dry-causeway');
    await make(own.runId, real);
    expect((await own.look()).results).toMatchObject([{ name: 'program', stdout: '10.0\n10\n', verdict: null }]);
  });

  it('what is no program is not run, and says why', async () => {
    const starter = await store({}, null, 'dry-causeway');
    await make(starter.runId, real);
    expect((await starter.look()).results).toMatchObject([
      { name: 'compile', verdict: 'compile-error', stderr: expect.stringContaining('several programs: main.py, main.js') },
    ]);
  });

  it('what a program writes is seen while it runs', async () => {
    const code = 'import sys, time\nprint("begun", flush=True)\ntime.sleep(600)';
    const { runId, look } = await store({ files: [{ path: 'main.py', content: code }] }, '', 'dry-causeway');
    const made = make(runId, real);
    const output = [{ run: 'program', stream: 'stdout', text: 'begun\n' }];
    expect(await waitFor('output', async () => ((await look()).output.length > 0 ? look() : null))).toMatchObject({
      status: 'RUNNING',
      output,
    });
    await made;
    expect(await look()).toMatchObject({ status: 'DONE', results: [{ status: 'wall-time-limit', stdout: 'begun\n' }], output });
  });

  it('a loop and a flood end at the limits of a trial', async () => {
    const loop = await store({ sourceCode: 'setInterval(() => {}, 1000)' }, '');
    const flood = await store({ sourceCode: "for (;;) process.stdout.write('x'.repeat(10000))" }, '');
    await Promise.all([make(loop.runId, real), make(flood.runId, real)]);
    expect((await loop.look()).results).toMatchObject([{ status: 'wall-time-limit' }]);
    const [flooded] = (await flood.look()).results;
    expect({ status: flooded?.status, length: flooded?.stdout.length }).toEqual({ status: 'output-limit', length: 65_536 });
  });
});
