import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { CheckRun } from '../../src/database/entities/check-runs.ts';
import { Exercise } from '../../src/database/entities/exercises.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { insertCheckRun } from '../../src/services/check-runs.ts';
import { startTask } from '../../src/services/enrolments.ts';
import { admitSubmission, selectQueuePlace } from '../../src/services/queue.ts';
import { enterStage } from '../../src/services/submissions.ts';
import { judgedChecks } from '../support/check-runs.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createStudentWithTask, createSubmission, publishDemoCourse } from '../support/factories.ts';
import { createAttempt, race } from './support.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
});

// Each test has the queue to itself.
beforeEach(() => em().nativeUpdate(Submission, { stage: { $in: ['QUEUED', 'CHECKING'] } }, { stage: 'PARKED' }));

afterAll(() => database.close());

const em = () => database.orm.em.fork();

/** Queues a submission of each of the student's first `count` tasks, in the order of the course. */
async function flood(count: number): Promise<{ studentId: string; submissionIds: string[] }> {
  const { student } = await createStudentWithTask(database.orm);
  const exercises = await em().findAll(Exercise, { orderBy: { position: 'asc' }, limit: count });
  const submissionIds: string[] = [];
  for (const { id: exerciseId } of exercises) {
    const { taskId } = await startTask(em(), { userId: student.id, exerciseId });
    submissionIds.push(await createSubmission(database.orm, { taskId, studentId: student.id }));
  }
  expect(submissionIds).toHaveLength(count);
  return { studentId: student.id, submissionIds };
}

const placesOf = (submissionIds: readonly string[]) =>
  Promise.all(submissionIds.map(async (id) => (await selectQueuePlace(em(), id))?.place ?? null));

describe('selectQueuePlace', () => {
  it('counts one of each student in turn, in the order of submitting', async () => {
    const { submissionIds: many } = await flood(4);
    const { submissionIds: few } = await flood(2);
    const { submissionId: one } = await createAttempt(database.orm);
    expect(await placesOf([...many, ...few, one])).toEqual([1, 4, 6, 7, 2, 5, 3]);
  });

  it('moves on as submissions leave the queue, and ends with it', async () => {
    const { submissionIds } = await flood(3);
    const [first = ''] = submissionIds;
    await enterStage(em(), { submissionId: first, stage: 'CHECKING' });
    expect(await placesOf(submissionIds)).toEqual([null, 1, 2]);
  });

  it('expects the verdict by the median of the last 20 check runs and by how many are being made', async () => {
    await em().nativeDelete(CheckRun, {});
    const { submissionId } = await createAttempt(database.orm);
    expect(await selectQueuePlace(em(), submissionId)).toEqual({ place: 1, expectedAt: null });

    // Twenty of 1, 2, … 20 minutes; older ones of a day do not count.
    const judged = await createAttempt(database.orm);
    const { revision } = await em().findOneOrFail(Submission, judged.submissionId);
    const store = async (runNo: number, durationMs: number, ageMs: number) => {
      const key = { submissionId: judged.submissionId, revisionId: revision.id, runNo };
      const about = { sandboxKind: 'docker', sandboxIdentity: 'sha256:0', runs: [], score: null, startedAt: new Date() };
      await insertCheckRun(em(), { ...key, ...judgedChecks(), ...about });
      const finishedAt = new Date(Date.now() - ageMs);
      const startedAt = new Date(finishedAt.getTime() - durationMs);
      await em().nativeUpdate(CheckRun, { submission: judged.submissionId, runNo }, { startedAt, finishedAt });
    };
    for (let runNo = 1; runNo <= 20; runNo += 1) await store(runNo, runNo * 60_000, runNo * 1000);
    for (let runNo = 21; runNo <= 30; runNo += 1) await store(runNo, 86_400_000, 3_600_000);
    // Two judges are at work.
    await enterStage(em(), { submissionId: judged.submissionId, stage: 'CHECKING' });
    await enterStage(em(), { submissionId: (await createAttempt(database.orm)).submissionId, stage: 'CHECKING' });

    const before = Date.now();
    const found = await selectQueuePlace(em(), submissionId);
    const medianMs = 10.5 * 60_000;
    const inMs = (found?.expectedAt?.getTime() ?? 0) - 1.5 * medianMs;
    expect(inMs).toBeGreaterThanOrEqual(before);
    expect(inMs).toBeLessThanOrEqual(Date.now());
  });
});

describe('admitSubmission', () => {
  const roomy = { maxQueued: 1_000, maxOpenPerStudent: 1_000 };

  it('counts what waits and what is checked of the student, and nothing else', async () => {
    const { studentId, submissionIds } = await flood(3);
    const admit = (maxOpenPerStudent: number) =>
      em().transactional((tx) => admitSubmission(tx, studentId, { ...roomy, maxOpenPerStudent }));
    const [first = '', second = ''] = submissionIds;
    await enterStage(em(), { submissionId: first, stage: 'CHECKING' });
    await expect(admit(3)).rejects.toMatchObject({ kind: 'too-many-open' });
    await expect(admit(4)).resolves.toBeUndefined();
    await em().nativeUpdate(Submission, { id: first }, { stage: 'AWAITING_REVIEW' });
    await em().nativeUpdate(Submission, { id: second }, { stage: 'PARKED' });
    await expect(admit(2)).resolves.toBeUndefined();
    await expect(admit(1)).rejects.toMatchObject({ kind: 'too-many-open' });
  });

  it('counts all that wait, of whomever', async () => {
    await flood(2);
    const { student, submissionId } = await createAttempt(database.orm);
    const admit = (maxQueued: number) => em().transactional((tx) => admitSubmission(tx, student.id, { ...roomy, maxQueued }));
    await expect(admit(3)).rejects.toMatchObject({ kind: 'queue-full' });
    await expect(admit(4)).resolves.toBeUndefined();
    await enterStage(em(), { submissionId, stage: 'CHECKING' });
    await expect(admit(3)).resolves.toBeUndefined();
  });

  it('lets a student no further where many come at once', async () => {
    const { student } = await createStudentWithTask(database.orm);
    const exercises = await em().findAll(Exercise, { limit: 4 });
    const tasks: string[] = [];
    for (const { id: exerciseId } of exercises) {
      tasks.push((await startTask(em(), { userId: student.id, exerciseId })).taskId);
    }
    const { returned, refused } = await race(4, (index) =>
      em().transactional(async (tx) => {
        await admitSubmission(tx, student.id, { ...roomy, maxOpenPerStudent: 2 });
        return createSubmission(database.orm, { taskId: tasks[index] ?? '', studentId: student.id });
      }),
    );
    expect({ count: returned.length, refused }).toEqual({ count: 2, refused: ['too-many-open', 'too-many-open'] });
  });
});
