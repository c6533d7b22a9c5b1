import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { RevisionFile } from '../../src/database/entities/exercises.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { TrialRun } from '../../src/database/entities/trial-runs.ts';
import { DomainError } from '../../src/domain/errors.ts';
import type { TrialResult } from '../../src/domain/trial-runs.ts';
import { startTask } from '../../src/services/enrolments.ts';
import { appendTrialOutput, beginTrialRun, finishTrialRun, removeOldTrialRuns } from '../../src/services/trial-runs.ts';
import { createStudentWithTask, createUser, selectExerciseId } from '../support/factories.ts';
import { EventReader } from './event-reader.ts';
import { as, expectProblem, signIn, startApi, type TestApi, withoutAddress } from './support.ts';

let api: TestApi;
let student: { id: string };
let token: string;
/** Solved in one file. */
let taskId: string;

beforeAll(async () => {
  api = await startApi({ streamLimits: { heartbeatMs: 3_600_000 } });
});

beforeEach(async () => {
  api.trials.failure = null;
  ({ student, taskId } = await createStudentWithTask(api.orm));
  token = await signIn(api, student);
});

afterAll(() => api.close());

const tryOut = (body: object = {}, key?: string) => {
  const sent = as(api, token).post('/api/runs', { taskId, ...body });
  return key === undefined ? sent : sent.set('Idempotency-Key', key);
};

async function start(body: object = {}): Promise<string> {
  const response = await tryOut(body);
  expect({ status: response.status, text: response.text }).toMatchObject({ status: 202 });
  return (response.body as { runId: string }).runId;
}

const result: TrialResult = {
  name: 'visible-tests',
  status: 'exited',
  exitCode: 1,
  wallTimeMs: 120,
  memoryPeakBytes: 1_000_000,
  stdout: 'said',
  stderr: '',
  tests: [{ name: 'shows the next bus', outcome: 'failed', message: 'no bus' }],
  verdict: null,
  message: '',
  diff: null,
};

const finish = (runId: string, end: { results: TrialResult[] } | { problem: string } = { results: [result] }) =>
  finishTrialRun(api.orm.em.fork(), { runId, ...end });

/** Makes a run look older than it is. */
const age = (runId: string, byMs: number) =>
  api.orm.em.fork().nativeUpdate(TrialRun, { id: runId }, { createdAt: new Date(Date.now() - byMs) });

describe('trying code', () => {
  test('starts a run and no submission; it can be looked at until it is done', async () => {
    const runId = await start({ content: { source_code: 'export const board = 1;' } });
    expect(api.trials.started).toContain(runId);
    const look = async () => (await as(api, token).get(`/api/runs/${runId}`)).body as object;
    expect(await look()).toEqual({ runId, status: 'QUEUED', problem: null, results: [], output: [] });
    expect(await beginTrialRun(api.orm.em.fork(), runId)).toEqual({
      revisionId: expect.any(String),
      request: { files: [{ path: 'src/board.js', content: 'export const board = 1;' }], program: null },
    });
    expect(await look()).toMatchObject({ status: 'RUNNING' });
    await finish(runId);
    expect(await look()).toEqual({ runId, status: 'DONE', problem: null, results: [result], output: [] });
    const em = api.orm.em.fork();
    expect(await em.count(Submission, { student: student.id })).toBe(0);
    expect((await em.findOneOrFail(Task, taskId)).status).toBe('TODO');
  });

  test('of a program with an input leaves it to the judge which file that is', async () => {
    const { taskId: program } = await startTask(api.orm.em.fork(), {
      userId: student.id,
      exerciseId: await selectExerciseId(api.orm, 'dry-causeway'),
    });
    const response = await tryOut({ taskId: program, stdin: '1 0', files: [{ path: 'main.c', content: '' }] });
    const { runId } = response.body as { runId: string };
    const { request } = (await beginTrialRun(api.orm.em.fork(), runId)) ?? {};
    expect(request).toEqual({ files: [{ path: 'main.c', content: '' }], program: { entry: null, stdin: '1 0' } });
  });

  test('with an input runs the program alone, also with an empty one', async () => {
    for (const stdin of ['17:05\nnorth', '']) {
      const runId = await start({ stdin, files: [{ path: 'src/more.js', content: '' }] });
      const { request } = (await beginTrialRun(api.orm.em.fork(), runId)) ?? {};
      expect(request).toEqual({ files: [{ path: 'src/more.js', content: '' }], program: { entry: 'src/board.js', stdin } });
      await finish(runId);
    }
  });

  test('an exercise in several files has no program to give an input to, but tests', async () => {
    const exerciseId = await selectExerciseId(api.orm, 'parcel-lockers');
    const { taskId: manyFiles } = await startTask(api.orm.em.fork(), { userId: student.id, exerciseId });
    expectProblem(await tryOut({ taskId: manyFiles, stdin: 'x' }), 422, 'validation');
    expectProblem(await tryOut({ taskId: manyFiles, content: { source_code: 'x' } }), 422, 'validation');
    await start({ taskId: manyFiles });
  });

  test.each([
    ['a path outside', { files: [{ path: '../x', content: '' }] }],
    ['an absolute path', { files: [{ path: '/x', content: '' }] }],
    ["git's own", { files: [{ path: '.git/config', content: '' }] }],
    ['one path twice', { content: { source_code: 'a' }, files: [{ path: 'src/board.js', content: 'b' }] }],
    ['a NUL', { stdin: 'a\0b' }],
    ['a lone surrogate', { content: { source_code: '\uD83D' } }],
    ['an input that is none', { stdin: 5 }],
    ['too much input', { stdin: 'x'.repeat(100_001) }],
    ['a ref', { ref: 'main' }],
  ])('%s is refused', async (_name, body) => {
    expectProblem(await tryOut(body), 422, 'validation');
    expect(await api.orm.em.fork().count(TrialRun, { user: student.id })).toBe(0);
  });

  test("is for the task's assignee alone; nobody else sees the run", async () => {
    const runId = await start();
    const reviewer = await createUser(api.orm, 'ACADEMY_REVIEWER');
    for (const user of [await createUser(api.orm), reviewer, await createUser(api.orm, 'SUPER_ADMIN')]) {
      const other = as(api, await signIn(api, user));
      expectProblem(await other.post('/api/runs', { taskId }), 404, 'not-found');
      for (const path of ['', '/events']) {
        const foreign = expectProblem(await other.get(`/api/runs/${runId}${path}`), 404, 'not-found');
        const missing = expectProblem(await other.get(`/api/runs/${crypto.randomUUID()}${path}`), 404, 'not-found');
        expect(withoutAddress(foreign)).toEqual(withoutAddress(missing));
      }
    }
  });

  test('shows nothing of hidden tests', async () => {
    const runId = await start();
    const { revisionId, request } = (await beginTrialRun(api.orm.em.fork(), runId)) ?? { revisionId: '' };
    const hidden = await api.orm.em.fork().find(RevisionFile, { revision: revisionId, role: ['hidden-test', 'solution'] });
    expect(hidden.length).toBeGreaterThan(0);
    for (const { content } of hidden) expect(JSON.stringify(request)).not.toContain(content);
  });
});

describe('one key', () => {
  test('gives one run, however often and at once it is sent', async () => {
    const answers = await Promise.all(Array.from({ length: 5 }, () => tryOut({ stdin: 'x' }, 'key-1')));
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 202, 202]);
    expect(new Set(answers.map(({ body }) => (body as { runId: string }).runId)).size).toBe(1);
    expect(answers.filter(({ headers }) => headers['idempotency-replayed'] === 'true')).toHaveLength(4);
    expect(await api.orm.em.fork().count(TrialRun, { user: student.id })).toBe(1);
  });

  test('with other code is refused', async () => {
    expect((await tryOut({ stdin: 'x' }, 'key-2')).status).toBe(202);
    expectProblem(await tryOut({ stdin: 'y' }, 'key-2'), 422, 'key-reused');
    expectProblem(await tryOut({}, 'key-2'), 422, 'key-reused');
  });
});

describe('without Temporal', () => {
  test('is refused at once and leaves nothing, so that the same key works later', async () => {
    api.trials.failure = new DomainError('unavailable', 'away');
    const refused = await tryOut({}, 'key-3');
    expectProblem(refused, 503, 'unavailable');
    expect(refused.headers['retry-after']).toBeDefined();
    expect(await api.orm.em.fork().count(TrialRun, { user: student.id })).toBe(0);
    api.trials.failure = null;
    expect((await tryOut({}, 'key-3')).status).toBe(202);
  });

  test('a repeat takes back no run that is under way', async () => {
    const { runId } = (await tryOut({}, 'key-4')).body as { runId: string };
    await beginTrialRun(api.orm.em.fork(), runId);
    api.trials.failure = new DomainError('unavailable', 'away');
    expectProblem(await tryOut({}, 'key-4'), 503, 'unavailable');
    expect((await as(api, token).get(`/api/runs/${runId}`)).body).toMatchObject({ status: 'RUNNING' });
  });
});

describe('the allowance', () => {
  test('two at once: of ten sent together two run, and the end of one makes room', async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => tryOut()));
    const accepted = answers.filter(({ status }) => status === 202);
    expect(accepted).toHaveLength(2);
    for (const refused of answers.filter(({ status }) => status !== 202)) {
      expectProblem(refused, 429, 'rate-limited');
      expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    }
    const { runId } = accepted.map(({ body }) => body as { runId: string })[0] ?? { runId: '' };
    await finish(runId, { problem: 'No judge is free now.' });
    await start();
  });

  test('thirty in ten minutes', async () => {
    const runs: string[] = [];
    for (let count = 0; count < 30; count += 1) {
      const runId = await start();
      await finish(runId);
      runs.push(runId);
    }
    const refused = await tryOut();
    expectProblem(refused, 429, 'rate-limited');
    // When the first of them is ten minutes old.
    const waitSeconds = Number(refused.headers['retry-after']);
    expect(waitSeconds).toBeGreaterThan(0);
    expect(waitSeconds).toBeLessThanOrEqual(600);
    await age(runs[0] ?? '', 10 * 60_000 + 1);
    await start();
  });

  test('one that lost its workflow holds no place, and says so', async () => {
    const lost = [await start(), await start()];
    expectProblem(await tryOut(), 429, 'rate-limited');
    for (const runId of lost) await age(runId, 3 * 60_000 + 1000);
    await start();
    expect((await as(api, token).get(`/api/runs/${lost[0]}`)).body).toMatchObject({
      status: 'ERROR',
      problem: expect.stringContaining('not run in time'),
    });
  });
});

describe('following a run', () => {
  const follow = (runId: string, after = 0) =>
    EventReader.open(`${api.origin}/api/runs/${runId}/events`, {
      authorization: `Bearer ${token}`,
      ...(after > 0 && { 'last-event-id': String(after) }),
    });

  test('tells the results and then the end', async () => {
    const runId = await start();
    const reader = await follow(runId);
    await beginTrialRun(api.orm.em.fork(), runId);
    await finish(runId);
    expect(await reader.untilEnd()).toBe('in order');
    expect(reader.events).toEqual([
      { id: 1, kind: 'result', data: result },
      { id: 2, kind: 'end', data: { status: 'DONE', problem: null } },
    ]);
  });

  test('tells output while it is written, also once it is run again, and none after the end', async () => {
    const runId = await start();
    const reader = await follow(runId);
    const append = (text: string) =>
      appendTrialOutput(api.orm.em.fork(), { runId, output: [{ run: 'program', stream: 'stdout', text }] });
    await beginTrialRun(api.orm.em.fork(), runId);
    await append('one');
    await reader.untilCount(1);
    // Another judge takes it over.
    await beginTrialRun(api.orm.em.fork(), runId);
    await append('two');
    await finish(runId);
    await append('too late');
    expect(await reader.untilEnd()).toBe('in order');
    expect(reader.events).toEqual([
      { id: 1, kind: 'output', data: { run: 'program', stream: 'stdout', text: 'one' } },
      { id: 2, kind: 'output', data: { run: '', stream: 'stderr', text: 'It is run again from the start.\n' } },
      { id: 3, kind: 'output', data: { run: 'program', stream: 'stdout', text: 'two' } },
      { id: 4, kind: 'result', data: result },
      { id: 5, kind: 'end', data: { status: 'DONE', problem: null } },
    ]);
    expect((await as(api, token).get(`/api/runs/${runId}`)).body).toMatchObject({
      output: [{ text: 'one' }, {}, { text: 'two' }],
    });
  });

  test('can be taken up anywhere', async () => {
    const runId = await start();
    await finish(runId);
    for (const [after, ids] of [
      [0, [1, 2]],
      [1, [2]],
    ] as const) {
      const reader = await follow(runId, after);
      await reader.untilEnd();
      expect(reader.ids).toEqual(ids);
    }
    expect((await follow(runId, 2)).status).toBe(204);
  });

  test('tells what kept it from being run', async () => {
    const runId = await start();
    const reader = await follow(runId);
    await finish(runId, { problem: 'No judge is free now.' });
    await reader.untilEnd();
    expect(reader.events).toEqual([{ id: 1, kind: 'end', data: { status: 'ERROR', problem: 'No judge is free now.' } }]);
  });
});

test('a run is removed after an hour, and not before', async () => {
  const [old, young] = [await start(), await start()];
  await age(old, 60 * 60_000 + 1000);
  await age(young, 59 * 60_000);
  await removeOldTrialRuns(api.orm.em.fork());
  const statusOf = async (runId: string) => (await as(api, token).get(`/api/runs/${runId}`)).status;
  expect([await statusOf(old), await statusOf(young)]).toEqual([404, 200]);
});

test('the first end of a run stays', async () => {
  const runId = await start();
  await finish(runId);
  await finish(runId, { problem: 'too late' });
  expect(await beginTrialRun(api.orm.em.fork(), runId)).toBeNull();
  expect((await as(api, token).get(`/api/runs/${runId}`)).body).toMatchObject({ status: 'DONE', problem: null });
});
