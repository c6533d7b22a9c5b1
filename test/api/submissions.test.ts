import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { AuditEntry } from '../../src/database/entities/operations.ts';
import { SubmissionRequest } from '../../src/database/entities/reviews.ts';
import { DomainError } from '../../src/domain/errors.ts';
import type { Role } from '../../src/domain/users.ts';
import { enrol } from '../../src/services/enrolments.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { insertCheckRun } from '../../src/services/check-runs.ts';
import { concludeWithoutReview, markSubmissionStarted, selectSubmissionForWorkflow } from '../../src/services/submissions.ts';
import { createStudentWithTask, createSubmission, createUser } from '../support/factories.ts';
import { as, createSubmissionInReview, expectProblem, signIn, startApi, type TestApi } from './support.ts';
import { judgedChecks } from '../support/check-runs.ts';

let api: TestApi;

beforeAll(async () => {
  api = await startApi();
});

afterAll(() => api.close());

const get = async (user: { id: string }, submissionId: string) =>
  as(api, await signIn(api, user)).get(`/api/submissions/${submissionId}`);

describe('a submission', () => {
  test('before its checks has neither checks nor review', async () => {
    const { student, taskId } = await createStudentWithTask(api.orm);
    const submissionId = await createSubmission(api.orm, { taskId, studentId: student.id });
    expect((await get(student, submissionId)).body).toEqual({
      id: submissionId,
      taskId,
      studentId: student.id,
      attemptNo: 1,
      counted: null,
      status: 'SUBMITTED',
      stage: 'QUEUED',
      queue: { place: expect.any(Number), expectedAt: null },
      conclusion: null,
      source: { kind: 'hosted', url: null },
      commit: 'c'.repeat(40),
      draft: null,
      submittedAt: expect.any(String),
      answerDueAt: null,
      claim: null,
      closedAt: null,
      checkRun: null,
      review: null,
    });
  });

  test('shows its student the visible tests, and of hidden ones only how they ended', async () => {
    const { student, submissionId } = await createSubmissionInReview(api);
    const response = await get(student, submissionId);
    expect(response.body).toMatchObject({
      checkRun: {
        verdict: 'accepted',
        tests: [
          { suite: 'visible', name: 'shows the next bus', outcome: 'passed' },
          { suite: 'hidden', name: 'hidden test 2', outcome: 'failed', message: '' },
        ],
      },
    });
    expect(response.text).not.toContain('secret');
  });

  test.each<Role>(['ACADEMY_REVIEWER', 'SUPER_ADMIN'])('shows %s all of the tests', async (role) => {
    const { submissionId } = await createSubmissionInReview(api);
    expect((await get(await createUser(api.orm, role), submissionId)).body).toMatchObject({
      checkRun: { tests: [{}, { name: 'secret rule of midnight', message: 'secret expectation' }] },
    });
  });

  test.each<Role>(['ACADEMY_REVIEWER', 'SUPER_ADMIN'])('of %s themselves is shown as to any student', async (role) => {
    const user = await createUser(api.orm, role);
    await enrol(api.orm.em.fork(), { userId: user.id, courseSlug: 'small-tools' });
    const { id: taskId } = await api.orm.em.fork().findOneOrFail(Task, { assignee: user.id });
    const { submissionId } = await createSubmissionInReview(api, { student: user, taskId });
    const response = await get(user, submissionId);
    expect(response.body).toMatchObject({ checkRun: { tests: [{}, { name: 'hidden test 2' }] } });
    expect(response.text).not.toContain('secret');
  });

  test('tells its workflow to admins only', async () => {
    const { student, submissionId } = await createSubmissionInReview(api);
    const admin = await createUser(api.orm, 'SUPER_ADMIN');
    expect((await get(admin, submissionId)).body).toMatchObject({ workflow: { id: `submission-${submissionId}`, url: null } });
    for (const user of [student, await createUser(api.orm, 'ACADEMY_REVIEWER')]) {
      expect((await get(user, submissionId)).body).not.toHaveProperty('workflow');
    }
  });

  test('shows the newest of its check runs', async () => {
    const { student, submissionId } = await createSubmissionInReview(api);
    const { revisionId } = await selectSubmissionForWorkflow(api.orm.em.fork(), submissionId);
    const run = {
      name: 'visible',
      status: 'exited',
      exitCode: 1,
      signal: null,
      wallTimeMs: 12,
      cpuTimeMs: 8,
      memoryPeakBytes: 1024,
    } as const;
    await insertCheckRun(api.orm.em.fork(), {
      submissionId,
      revisionId,
      runNo: 2,
      ...judgedChecks({ verdict: 'wrong-answer' }),
      score: null,
      sandboxKind: 'bubblewrap',
      sandboxIdentity: 'node 24',
      runs: [{ ...run, stdoutKey: 'key-of-stdout', stderrKey: 'key-of-stderr' }],
      lintFindings: [{ file: 'src/board.js', line: 3, rule: 'no-var', severity: 'warning', message: 'Use let.' }],
      tests: [],
      startedAt: new Date(),
    });
    const response = await get(student, submissionId);
    const { signal: _signal, ...shown } = run;
    expect(response.body).toMatchObject({
      checkRun: {
        runNo: 2,
        verdict: 'wrong-answer',
        sandbox: 'bubblewrap',
        runs: [shown],
        lintFindings: [{ file: 'src/board.js', line: 3, rule: 'no-var', severity: 'warning', message: 'Use let.' }],
        tests: [],
      },
    });
    // Where logs lie is nobody's business.
    expect(response.text).not.toMatch(/key-of-std/);
  });
});

describe('taking a submission back', () => {
  const cancel = async (user: { id: string }, submissionId: string) =>
    as(api, await signIn(api, user)).post(`/api/submissions/${submissionId}/cancel`, {});

  const inQueue = async () => {
    const { student, taskId } = await createStudentWithTask(api.orm);
    return { student, submissionId: await createSubmission(api.orm, { taskId, studentId: student.id }) };
  };

  test('is told to the workflow, and who asked is kept', async () => {
    const { student, submissionId } = await inQueue();
    expect((await cancel(student, submissionId)).status).toBe(202);
    const requests = await api.orm.em.fork().find(SubmissionRequest, { submission: submissionId });
    expect(requests).toMatchObject([{ kind: 'cancel', actor: { id: student.id } }]);
  });

  test('changes nothing where the submission is taken back already, and is refused where it is closed otherwise', async () => {
    api.workflows.isClosed = true;
    try {
      const waiting = await inQueue();
      expectProblem(await cancel(waiting.student, waiting.submissionId), 503, 'unavailable');
      const cancelled = await inQueue();
      await concludeWithoutReview(api.orm.em.fork(), { submissionId: cancelled.submissionId, conclusion: 'cancelled' });
      expect((await cancel(cancelled.student, cancelled.submissionId)).status).toBe(202);
      const failed = await inQueue();
      await concludeWithoutReview(api.orm.em.fork(), { submissionId: failed.submissionId, conclusion: 'checks-failed' });
      expectProblem(await cancel(failed.student, failed.submissionId), 409, 'already-decided');
    } finally {
      api.workflows.isClosed = false;
    }
  });

  test('ends a submission whose workflow was terminated, for an admin as well, who is named in the audit', async () => {
    api.workflows.isClosed = true;
    try {
      const { student, submissionId } = await inQueue();
      await markSubmissionStarted(api.orm.em.fork(), submissionId);
      const admin = await createUser(api.orm, 'SUPER_ADMIN');
      expect((await cancel(admin, submissionId)).status).toBe(202);
      expect((await get(student, submissionId)).body).toMatchObject({ conclusion: 'closed-by-admin', counted: false });
      const entry = await api.orm.em.fork().findOneOrFail(AuditEntry, { targetId: submissionId, action: 'submission.closed' });
      expect(entry).toMatchObject({ actorId: admin.id, via: 'api' });
      expect((await cancel(admin, submissionId)).status).toBe(202);
    } finally {
      api.workflows.isClosed = false;
    }
  });

  test('says that Temporal is away', async () => {
    const { student, submissionId } = await inQueue();
    api.workflows.failure = new DomainError('unavailable', 'away');
    try {
      expectProblem(await cancel(student, submissionId), 503, 'unavailable');
    } finally {
      api.workflows.failure = null;
    }
  });
});
