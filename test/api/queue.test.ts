import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Response } from 'supertest';
import { IdempotencyKey } from '../../src/database/entities/operations.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { TrialRun } from '../../src/database/entities/trial-runs.ts';
import { createSubmission, roomyQueue, selectExerciseId } from '../support/factories.ts';
import { answerOf, type Client, commit, expectProblem, newStudent, startApi, type TestApi } from './support.ts';

let api: TestApi;
let student: { id: string; client: Client; taskId: string };

beforeAll(async () => {
  api = await startApi();
});

beforeEach(async () => {
  Object.assign(api.queueLimits, roomyQueue);
  api.workflows.started.length = 0;
  api.trials.started.length = 0;
  student = await newStudent(api);
});

afterAll(() => api.close());

const em = () => api.orm.em.fork();

/** As many wait now as may. */
async function fill(): Promise<void> {
  const other = await newStudent(api);
  await createSubmission(api.orm, { taskId: other.taskId, studentId: other.id });
  api.queueLimits.maxQueued = await em().count(Submission, { stage: 'QUEUED' });
}

function expectRefused(response: Response, status: 429 | 503, slug: string): void {
  expectProblem(response, status, slug);
  expect(Number(response.headers['retry-after'])).toBeGreaterThan(0);
}

const submit = (taskId: string, key: string) => student.client.post(`/api/tasks/${taskId}/submit`).set('Idempotency-Key', key);

const idOf = (response: Response) => (response.body as { submissionId: string }).submissionId;

describe('a full queue', () => {
  test('takes no task, and the same key works when there is room', async () => {
    await commit(api, student.taskId, 'work');
    await fill();
    expectRefused(await submit(student.taskId, 'key-1'), 503, 'queue-full');
    expect(await em().count(Submission, { student: student.id })).toBe(0);
    expect(await em().count(IdempotencyKey, { userId: student.id })).toBe(0);
    expect((await student.client.get(`/api/tasks/${student.taskId}`)).body).toMatchObject({ status: 'TODO' });
    expect(api.workflows.started).toEqual([]);

    api.queueLimits.maxQueued += 1;
    const accepted = await submit(student.taskId, 'key-1');
    expect(accepted.status).toBe(202);
    expect(accepted.headers['idempotency-replayed']).toBeUndefined();
  });

  test('takes no draft, which stays as it was', async () => {
    const draft = (await student.client.post('/api/submissions', { taskId: student.taskId })).body as { id: string };
    await student.client.patch(`/api/submissions/${draft.id}`, { content: { source_code: 'export const x = 1;' } });
    await fill();
    const submitDraft = () => student.client.post(`/api/submissions/${draft.id}/submit`).set('Idempotency-Key', 'key-2');
    expectRefused(await submitDraft(), 503, 'queue-full');
    expect((await student.client.get(`/api/submissions/${draft.id}`)).body).toMatchObject({
      status: 'IN_PROGRESS',
      stage: null,
      commit: null,
      queue: null,
      draft: { content: { source_code: 'export const x = 1;' } },
    });
    api.queueLimits.maxQueued += 1;
    expect((await submitDraft()).status).toBe(202);
  });

  test('runs no code that is tried', async () => {
    await fill();
    const tryOut = () => student.client.post('/api/runs', { taskId: student.taskId }).set('Idempotency-Key', 'key-3');
    expectRefused(await tryOut(), 503, 'queue-full');
    expect(await em().count(TrialRun, { user: student.id })).toBe(0);
    expect(api.trials.started).toEqual([]);
    api.queueLimits.maxQueued += 1;
    expect((await tryOut()).status).toBe(202);
  });

  test('answers what it accepted before, and all that is read', async () => {
    await commit(api, student.taskId, 'work');
    const accepted = await submit(student.taskId, 'key-4');
    await fill();
    const again = await submit(student.taskId, 'key-4');
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect(answerOf(again)).toEqual({ ...answerOf(accepted), status: 202 });
    for (const path of ['/api/tasks', `/api/submissions/${idOf(accepted)}`, '/api/me', '/api/courses']) {
      expect((await student.client.get(path)).status).toBe(200);
    }
  });
});

describe("a student's own limit", () => {
  test('takes no more of theirs, and those of others', async () => {
    api.queueLimits.maxOpenPerStudent = 1;
    await commit(api, student.taskId, 'work');
    const first = await submit(student.taskId, 'key-5');
    expect(first.status).toBe(202);
    const exerciseId = await selectExerciseId(api.orm, 'parcel-lockers');
    const { id: second } = (await student.client.post('/api/tasks', { exerciseId })).body as { id: string };
    await commit(api, second, 'work');
    expectRefused(await submit(second, 'key-6'), 429, 'too-many-open');
    expect(await em().count(Submission, { task: second })).toBe(0);

    const other = await newStudent(api);
    await commit(api, other.taskId, 'work');
    expect((await other.client.post(`/api/tasks/${other.taskId}/submit`)).status).toBe(202);

    await em().nativeUpdate(Submission, { id: idOf(first) }, { stage: 'AWAITING_REVIEW' });
    expect((await submit(second, 'key-6')).status).toBe(202);
  });
});

test('a submission that waits shows its place', async () => {
  await commit(api, student.taskId, 'work');
  const waiting = await em().count(Submission, { stage: 'QUEUED' });
  const submissionId = idOf(await submit(student.taskId, 'key-7'));
  const look = async () => (await student.client.get(`/api/submissions/${submissionId}`)).body as object;
  // All others are of students of their own, submitted before.
  expect(await look()).toMatchObject({ stage: 'QUEUED', queue: { place: waiting + 1, expectedAt: null } });
  await em().nativeUpdate(Submission, { id: submissionId }, { stage: 'CHECKING' });
  expect(await look()).toMatchObject({ stage: 'CHECKING', queue: null });
});
