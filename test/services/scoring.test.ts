import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Submission } from '../../src/database/entities/submissions.ts';
import type { Actor } from '../../src/domain/users.ts';
import { insertCheckRun } from '../../src/services/check-runs.ts';
import { openDraft } from '../../src/services/drafts.ts';
import { selectScoringJob, selectScoringJobId } from '../../src/services/scoring.ts';
import { concludeWithoutReview, enterStage } from '../../src/services/submissions.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createStudentWithTask, createUser, publishDemoCourse } from '../support/factories.ts';
import { type Attempt, createAttempt, unknownId } from './support.ts';
import { judgedChecks, judgedTest } from '../support/check-runs.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
});

afterAll(() => database.close());

const em = () => database.orm.em.fork();

const jobOf = async ({ student, submissionId }: Attempt, actor: Actor = student) =>
  selectScoringJob(em(), actor, await selectScoringJobId(em(), student, submissionId));

async function judge({ submissionId }: Attempt, outcomes: readonly ('passed' | 'failed')[], runNo = 1): Promise<void> {
  const { revision } = await em().findOneOrFail(Submission, submissionId);
  await insertCheckRun(em(), {
    submissionId,
    revisionId: revision.id,
    runNo,
    ...judgedChecks({
      verdict: outcomes.includes('failed') ? 'wrong-answer' : 'accepted',
      tests: outcomes.map((outcome) => judgedTest({ outcome })),
    }),
    score: null,
    sandboxKind: 'docker',
    sandboxIdentity: 'sha256:0',
    runs: [],
    startedAt: new Date(),
  });
}

describe('a scoring job', () => {
  it('is the same one each time, from the submission on, and ends with the share of the tests that passed', async () => {
    const attempt = await createAttempt(database.orm);
    const { submissionId } = attempt;
    const jobId = await selectScoringJobId(em(), attempt.student, submissionId);
    const unknown = { verdict: null, passedPercent: null, points: null, maxPoints: null, score: null };
    const waiting = { jobId, submissionId, ...unknown };
    expect(await jobOf(attempt)).toEqual({ ...waiting, status: 'QUEUED' });
    await enterStage(em(), { submissionId, stage: 'CHECKING' });
    expect(await jobOf(attempt)).toEqual({ ...waiting, status: 'RUNNING' });
    await judge(attempt, ['passed', 'passed', 'failed']);
    const points = { points: 0, maxPoints: 0, score: null };
    const done = { jobId, submissionId, status: 'DONE', verdict: 'wrong-answer', passedPercent: 66, ...points };
    expect(await jobOf(attempt)).toEqual(done);
    // A regrade is another check run, and no part of this job.
    await judge(attempt, ['passed'], 2);
    await concludeWithoutReview(em(), { submissionId, conclusion: 'checks-failed' });
    expect(await jobOf(attempt)).toEqual(done);
  });

  it('of a check run without tests has no share', async () => {
    const attempt = await createAttempt(database.orm);
    await judge(attempt, []);
    expect(await jobOf(attempt)).toMatchObject({ status: 'DONE', passedPercent: null });
  });

  it('is in error while it waits for an admin, and where it ended without a check run', async () => {
    const [parked, ended] = [await createAttempt(database.orm), await createAttempt(database.orm)];
    await enterStage(em(), { submissionId: parked.submissionId, stage: 'PARKED', parkedReason: 'no disk' });
    expect(await jobOf(parked)).toMatchObject({ status: 'ERROR', verdict: null });
    await concludeWithoutReview(em(), { submissionId: ended.submissionId, conclusion: 'source-unavailable' });
    expect(await jobOf(ended)).toMatchObject({ status: 'ERROR', verdict: null });
  });

  it('is for who sees the submission; a draft has none', async () => {
    const attempt = await createAttempt(database.orm);
    const { jobId } = await jobOf(attempt, await createUser(database.orm, 'ACADEMY_REVIEWER'));
    const other = await createUser(database.orm);
    await expect(selectScoringJobId(em(), other, attempt.submissionId)).rejects.toMatchObject({ kind: 'not-found' });
    await expect(selectScoringJob(em(), other, jobId)).rejects.toMatchObject({ kind: 'not-found' });
    await expect(selectScoringJob(em(), other, unknownId)).rejects.toMatchObject({ kind: 'not-found' });

    const { student, taskId } = await createStudentWithTask(database.orm);
    const { submissionId } = await em().transactional((tx) => openDraft(tx, student, taskId));
    await expect(selectScoringJobId(em(), student, submissionId)).rejects.toMatchObject({ kind: 'invalid-state' });
    const { checkRunId } = await em().findOneOrFail(Submission, submissionId);
    await expect(selectScoringJob(em(), student, checkRunId)).rejects.toMatchObject({ kind: 'not-found' });
  });
});
