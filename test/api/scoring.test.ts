import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { CheckRun } from '../../src/database/entities/check-runs.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { defaultRubric } from '../../src/domain/exercises.ts';
import { scoreOf } from '../../src/domain/score.ts';
import { insertCheckRun } from '../../src/services/check-runs.ts';
import type { UnreviewedConclusion } from '../../src/services/submissions.ts';
import { concludeWithoutReview, enterStage, selectSubmissionForWorkflow } from '../../src/services/submissions.ts';
import { judgedChecks } from '../support/check-runs.ts';
import { createSubmission } from '../support/factories.ts';
import {
  answerOf,
  type Client,
  createSubmissionInReview,
  expectProblem,
  newClient,
  newStudent,
  startApi,
  type TestApi,
} from './support.ts';

let api: TestApi;

beforeAll(async () => {
  api = await startApi();
});

afterAll(() => api.close());

const ask = (client: Client, submissionId: string) => client.post('/api/scoring', { submissionId });
const look = (client: Client, jobId: string) => client.get(`/api/scoring/${jobId}`);
const jobOf = async (client: Client, submissionId: string) =>
  ((await ask(client, submissionId)).body as { job_id: string }).job_id;

/** A student with a submission in the queue. */
async function newAttempt() {
  const student = await newStudent(api);
  const submissionId = await createSubmission(api.orm, { taskId: student.taskId, studentId: student.id });
  return { ...student, submissionId, jobId: await jobOf(student.client, submissionId) };
}

describe('the scoring job of a submission', () => {
  test('is the same one each time and for everybody who sees the submission', async () => {
    const { client, submissionId, jobId } = await newAttempt();
    const again = await ask(client, submissionId);
    expect(answerOf(again)).toEqual({ status: 202, body: { job_id: jobId } });
    const reviewer = await newClient(api, 'ACADEMY_REVIEWER');
    expect(await jobOf(reviewer.client, submissionId)).toBe(jobId);
    expect((await api.orm.em.fork().findOneOrFail(Submission, submissionId)).checkRunId).toBe(jobId);
  });

  test('of a draft there is none: a conflict', async () => {
    const { client, taskId } = await newStudent(api);
    const { id } = (await client.post('/api/submissions', { taskId })).body as { id: string };
    expectProblem(await ask(client, id), 409, 'invalid-state');
    const { checkRunId } = await api.orm.em.fork().findOneOrFail(Submission, id);
    expectProblem(await look(client, checkRunId), 404, 'not-found');
  });

  test('of somebody else is not found, as if there were none', async () => {
    const { submissionId, jobId } = await newAttempt();
    for (const role of ['CODING_STUDENT', 'INSTRUCTOR'] as const) {
      const { client } = await newClient(api, role);
      const [foreign, unknown] = [await ask(client, submissionId), await ask(client, newId())];
      expect(expectProblem(foreign, 404, 'not-found').detail).toBe(expectProblem(unknown, 404, 'not-found').detail);
      const [job, noJob] = [await look(client, jobId), await look(client, newId())];
      expect(expectProblem(job, 404, 'not-found').detail).toBe(expectProblem(noJob, 404, 'not-found').detail);
    }
  });
});

describe('where a scoring job stands', () => {
  const statusOf = async (client: Client, jobId: string) => answerOf(await look(client, jobId)).body;

  test('is QUEUED, RUNNING, and after our own trouble ERROR until it is queued again', async () => {
    const { client, submissionId, jobId } = await newAttempt();
    const unknown = { verdict: null, passedPercent: null, points: null, maxPoints: null, score: null };
    const open = { job_id: jobId, submissionId, ...unknown };
    expect(await statusOf(client, jobId)).toEqual({ ...open, status: 'QUEUED' });
    await enterStage(api.orm.em.fork(), { submissionId, stage: 'CHECKING' });
    expect(await statusOf(client, jobId)).toEqual({ ...open, status: 'RUNNING' });
    await enterStage(api.orm.em.fork(), { submissionId, stage: 'PARKED', parkedReason: 'disk of host-7 is full' });
    const parked = await look(client, jobId);
    expect(parked.body).toEqual({ ...open, status: 'ERROR' });
    // Why is told to admins only.
    expect(parked.text).not.toContain('host-7');
    expect((await client.get(`/api/submissions/${submissionId}`)).text).not.toContain('host-7');
    await enterStage(api.orm.em.fork(), { submissionId, stage: 'QUEUED' });
    expect(await statusOf(client, jobId)).toEqual({ ...open, status: 'QUEUED' });
  });

  test.each<UnreviewedConclusion>(['cancelled', 'source-unavailable', 'closed-by-admin'])(
    'is ERROR where it ended without checks: %s',
    async (conclusion) => {
      const { client, submissionId, jobId } = await newAttempt();
      await concludeWithoutReview(api.orm.em.fork(), { submissionId, conclusion });
      expect(await statusOf(client, jobId)).toMatchObject({ status: 'ERROR', verdict: null, passedPercent: null });
    },
  );

  test('is DONE with the check run’s verdict and the share of tests that passed, without names of hidden ones', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    const reviewer = await newClient(api, 'ACADEMY_REVIEWER');
    const { id } = await api.orm.em.fork().findOneOrFail(CheckRun, { submission: submissionId });
    expect(await jobOf(reviewer.client, submissionId)).toBe(id);
    const response = await look(reviewer.client, id);
    expect(answerOf(response)).toEqual({
      status: 200,
      body: {
        job_id: id,
        submissionId,
        status: 'DONE',
        verdict: 'accepted',
        passedPercent: 50,
        points: 0,
        maxPoints: 0,
        score: null,
      },
    });
    expect(response.text).not.toContain('secret');
  });

  test('has the score by the rubric, each lost point with its reason', async () => {
    const { submissionId, jobId, client } = await newAttempt();
    const { revisionId } = await selectSubmissionForWorkflow(api.orm.em.fork(), submissionId);
    const finding = { file: 'src/board.js', line: 3, rule: 'no-var', severity: 'error', message: 'No var.' } as const;
    const score = scoreOf({
      rubric: defaultRubric,
      quality: [finding],
      documentation: { things: [], hasOverview: true },
      performance: { unmeasured: 'left-out', reason: 'There is no solution.' },
    });
    const judged = {
      ...judgedChecks({ points: 7, maxPoints: 10 }),
      sandboxKind: 'docker',
      sandboxIdentity: 'sha256:0',
      runs: [],
    };
    const run = { submissionId, revisionId, runNo: 1, startedAt: new Date() };
    await insertCheckRun(api.orm.em.fork(), { ...judged, ...run, score });
    expect(await statusOf(client, jobId)).toMatchObject({
      status: 'DONE',
      points: 7,
      maxPoints: 10,
      score: {
        points: 66,
        maxPoints: 70,
        parts: { quality: { losses: [{ points: 4, file: 'src/board.js', line: 3, message: 'No var. (no-var)' }] } },
      },
    });
    const shown = (await client.get(`/api/submissions/${submissionId}`)).body as { checkRun: object };
    expect(shown.checkRun).toMatchObject({ score: { points: 66 } });
  });
});
