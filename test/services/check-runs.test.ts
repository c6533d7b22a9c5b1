import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CheckRun, TestCaseResult } from '../../src/database/entities/check-runs.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { type CheckRunSummary, insertCheckRun, type NewCheckRun, selectOptionalCheckRun } from '../../src/services/check-runs.ts';
import { selectSubmission } from '../../src/services/submission-views.ts';
import { concludeWithoutReview } from '../../src/services/submissions.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createUser, publishDemoCourse } from '../support/factories.ts';
import { activityOf, type Attempt, createAttempt, race, stateOf, unknownId } from './support.ts';
import { judgedChecks, judgedTest } from '../support/check-runs.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
});

afterAll(() => database.close());

const em = () => database.orm.em.fork();

/** A judging with a visible and a failed hidden test. */
async function judgingOf({ submissionId }: Attempt, changes: Partial<NewCheckRun> = {}): Promise<NewCheckRun> {
  const { revision } = await em().findOneOrFail(Submission, submissionId);
  return {
    submissionId,
    revisionId: revision.id,
    runNo: 1,
    ...judgedChecks({ verdict: 'wrong-answer' }),
    score: null,
    sandboxKind: 'docker',
    sandboxIdentity: 'sha256:image',
    runs: [
      {
        name: 'tests',
        status: 'exited',
        exitCode: 1,
        signal: null,
        wallTimeMs: 900,
        cpuTimeMs: 700,
        memoryPeakBytes: 50_000_000,
        stdoutKey: 'key-of-stdout',
        stderrKey: 'key-of-stderr',
      },
    ],
    lintFindings: [{ file: 'main.py', line: 3, rule: 'F401', severity: 'warning', message: 'unused import' }],
    tests: [
      judgedTest({ name: 'shows the next bus' }),
      judgedTest({
        suite: 'hidden',
        name: 'knows midnight',
        outcome: 'failed',
        message: 'expected 00:05, got 24:05',
        diff: '-00:05\n+24:05',
        hint: 'What comes after 23:59?',
      }),
    ],
    startedAt: new Date(),
    ...changes,
  };
}

async function store(judging: NewCheckRun): Promise<CheckRunSummary> {
  const stored = await insertCheckRun(em(), judging);
  if ('conclusion' in stored) throw new Error('the submission is closed');
  return stored;
}

describe('insertCheckRun', () => {
  it('stores the first judging of a run; a second attempt gets that one and changes nothing', async () => {
    const attempt = await createAttempt(database.orm);
    const judging = await judgingOf(attempt);
    const first = await store(judging);
    const second = await store({ ...judging, verdict: 'accepted', tests: [] });
    expect(first.verdict).toBe('wrong-answer');
    expect(second).toEqual(first);
    expect(await selectOptionalCheckRun(em(), judging)).toEqual(first);
    expect(await em().count(TestCaseResult, { checkRun: first.checkRunId })).toBe(2);
    expect(await activityOf(database.orm, attempt.submissionId)).toEqual(['task.submitted', 'ci.result.failed']);
  });

  it('tells of failed checks, and the end of the submission by another event', async () => {
    const attempt = await createAttempt(database.orm);
    await store(await judgingOf(attempt));
    await concludeWithoutReview(em(), { submissionId: attempt.submissionId, conclusion: 'checks-failed' });
    expect(await activityOf(database.orm, attempt.submissionId)).toEqual([
      'task.submitted',
      'ci.result.failed',
      'submission.checks-failed',
    ]);
  });

  it('stores one of many at the same time, with its own tests', async () => {
    const attempt = await createAttempt(database.orm);
    const judging = await judgingOf(attempt);
    const { returned, refused } = await race(10, (index) =>
      store({
        ...judging,
        verdict: index % 2 === 0 ? 'accepted' : 'wrong-answer',
        tests: judging.tests.slice(0, 1 + (index % 2)),
      }),
    );
    expect(refused).toEqual([]);
    expect(new Set(returned.map(({ checkRunId, verdict }) => `${checkRunId} ${verdict}`)).size).toBe(1);
    const [checkRun] = await em().find(CheckRun, { submission: attempt.submissionId }, { populate: ['testCaseResults'] });
    expect(checkRun?.testCaseResults).toHaveLength(checkRun?.verdict === 'accepted' ? 1 : 2);
    expect(await activityOf(database.orm, attempt.submissionId)).toHaveLength(2);
  });

  it('is refused for a submission that was ended meanwhile, which keeps its end', async () => {
    const attempt = await createAttempt(database.orm);
    const judging = await judgingOf(attempt);
    await concludeWithoutReview(em(), { submissionId: attempt.submissionId, conclusion: 'cancelled' });
    const ended = await stateOf(database.orm, attempt);
    expect(await insertCheckRun(em(), judging)).toEqual({ conclusion: 'cancelled' });
    expect(await stateOf(database.orm, attempt)).toEqual(ended);
    expect(await em().count(CheckRun, { submission: attempt.submissionId })).toBe(0);
  });

  it('has the id that was promised with the submission; a regrade has its own', async () => {
    const attempt = await createAttempt(database.orm);
    const { checkRunId } = await em().findOneOrFail(Submission, attempt.submissionId);
    const judging = await judgingOf(attempt);
    expect(await store(judging)).toMatchObject({ checkRunId });
    expect(await store({ ...judging, runNo: 2 })).not.toMatchObject({ checkRunId });
  });

  it('keeps the runs of a submission apart', async () => {
    const attempt = await createAttempt(database.orm);
    const judging = await judgingOf(attempt);
    const first = await store(judging);
    const regrade = await store({ ...judging, runNo: 2, verdict: 'accepted' });
    expect(regrade.checkRunId).not.toBe(first.checkRunId);
    expect(await selectOptionalCheckRun(em(), judging)).toEqual(first);
    expect(await selectOptionalCheckRun(em(), { ...judging, runNo: 3 })).toBeNull();
    expect(await activityOf(database.orm, attempt.submissionId)).toEqual([
      'task.submitted',
      'ci.result.failed',
      'ci.result.passed',
    ]);
  });
});

describe('selectSubmission', () => {
  const view = (actor: Parameters<typeof selectSubmission>[1], submissionId: string) =>
    selectSubmission(em(), actor, submissionId);

  it('shows the student of hidden tests only whether they passed, and the hint', async () => {
    const attempt = await createAttempt(database.orm);
    await store(await judgingOf(attempt));
    const seen = await view(attempt.student, attempt.submissionId);
    expect(seen.checkRun?.tests).toEqual([
      judgedTest({ name: 'shows the next bus' }),
      judgedTest({ suite: 'hidden', name: 'hidden test 2', outcome: 'failed', hint: 'What comes after 23:59?' }),
    ]);
    expect(JSON.stringify(seen)).not.toMatch(/midnight|24:05|key-of-std/);
  });

  it('hides them also from a student who may review the work of others', async () => {
    const attempt = await createAttempt(database.orm);
    await store(await judgingOf(attempt));
    const seen = await view({ id: attempt.student.id, role: 'ACADEMY_REVIEWER' }, attempt.submissionId);
    expect(JSON.stringify(seen)).not.toMatch(/midnight|24:05/);
  });

  it.each(['ACADEMY_REVIEWER', 'SUPER_ADMIN'] as const)('shows %s all, of the latest run', async (role) => {
    const attempt = await createAttempt(database.orm);
    const judging = await judgingOf(attempt);
    await store(judging);
    await store({ ...judging, runNo: 2, verdict: 'time-limit' });
    const seen = await view(await createUser(database.orm, role), attempt.submissionId);
    expect(seen.checkRun).toMatchObject({ runNo: 2, verdict: 'time-limit', lintFindings: judging.lintFindings });
    expect(seen.checkRun?.tests[1]).toMatchObject({ name: 'knows midnight', message: 'expected 00:05, got 24:05' });
  });

  it('tells nobody else that the submission exists', async () => {
    const { submissionId, student } = await createAttempt(database.orm);
    for (const role of ['CODING_STUDENT', 'INSTRUCTOR'] as const) {
      await expect(view(await createUser(database.orm, role), submissionId)).rejects.toMatchObject({ kind: 'not-found' });
    }
    await expect(view(student, unknownId)).rejects.toMatchObject({ kind: 'not-found' });
  });
});
