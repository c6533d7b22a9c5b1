import { readdir } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { waitFor } from '../support/wait.ts';
import { Academy } from './academy.ts';
import { describeEachSandbox } from '../support/sandboxes.ts';

/** Everything is real here: processes, PostgreSQL, Temporal, git over HTTP, the sandbox. */
const timeoutMs = 180_000;

const xpEntriesOf = (academy: Academy, taskId: string) =>
  academy.query<{ amount: number }>('select amount from progress.xp_entries where task_id = ?', [taskId]);

await describeEachSandbox('the loop', (kind) => {
  let academy: Academy;

  beforeAll(async () => {
    academy = await Academy.start(kind);
  }, timeoutMs);

  afterAll(async () => {
    await academy.stop();
  }, timeoutMs);

  it(
    'a push becomes XP: checked, reviewed, approved, told',
    async () => {
      const student = await academy.enrolStudent();
      student.solve();
      const commit = student.push();
      const submissionId = await student.submit();
      const checked = await academy.waitForStage(student.token, submissionId, 'AWAITING_REVIEW');
      expect(checked).toMatchObject({ commit, checkRun: { verdict: 'accepted', sandbox: kind } });
      expect(checked.checkRun?.tests).toHaveLength(16);
      await academy.decide(submissionId, 'APPROVED');
      expect(await student.xp()).toBe(student.task.xp);
      expect(await academy.waitForStage(student.token, submissionId, 'CLOSED')).toMatchObject({ conclusion: 'approved' });
      // Welcome, in review, approved.
      await waitFor('three mails', async () => ((await readdir(academy.mailbox())).length === 3 ? true : null));
    },
    timeoutMs,
  );

  it(
    'the starter fails its checks, and a fix passes them',
    async () => {
      const student = await academy.enrolStudent();
      student.write('README.md', 'I have read it.\n');
      student.push();
      const failed = await academy.waitForStage(student.token, await student.submit(), 'CLOSED');
      expect(failed).toMatchObject({ conclusion: 'checks-failed', checkRun: { verdict: 'wrong-answer' } });
      student.solve();
      student.push();
      const passed = await academy.waitForStage(student.token, await student.submit(), 'AWAITING_REVIEW');
      expect(passed.checkRun?.verdict).toBe('accepted');
    },
    timeoutMs,
  );

  it(
    'survives SIGKILL of every worker and of Temporal, and counts once',
    async () => {
      const student = await academy.enrolStudent();
      student.solve();
      // Loading it takes seconds, in which the judge is killed.
      student.write(
        'src/board.js',
        `await new Promise((resolve) => setTimeout(resolve, 2_000));\n${student.read('src/board.js')}`,
      );
      student.push();
      const submissionId = await student.submit();
      await academy.waitForStage(student.token, submissionId, 'CHECKING');
      await academy.kill('judging');
      academy.startProcess('judging');
      await academy.kill('submissions');
      academy.startProcess('submissions');
      await academy.waitForStage(student.token, submissionId, 'AWAITING_REVIEW');

      await academy.kill('temporal');
      const duringOutage = await academy.post(academy.reviewerToken, '/api/reviews', {
        submissionId,
        outcome: 'APPROVED',
        comment: 'while Temporal is away',
      });
      expect(duringOutage).toMatchObject({ status: 503, body: { status: 503 } });
      academy.startProcess('temporal');
      await academy.decide(submissionId, 'APPROVED');

      expect(await academy.waitForStage(student.token, submissionId, 'CLOSED')).toMatchObject({ conclusion: 'approved' });
      expect(await xpEntriesOf(academy, student.task.id)).toEqual([{ amount: student.task.xp }]);
      const reviews = await academy.query('select id from reviews.reviews where submission_id = ?', [submissionId]);
      expect(reviews).toHaveLength(1);
      const checkRuns = await academy.query('select id from submissions.check_runs where submission_id = ?', [submissionId]);
      expect(checkRuns).toHaveLength(1);
    },
    timeoutMs,
  );

  it(
    'a submission that is taken back stops being checked, and costs no attempt',
    async () => {
      const student = await academy.enrolStudent();
      student.write('src/board.js', 'await new Promise((resolve) => setTimeout(resolve, 25_000));\n');
      student.push();
      const submissionId = await student.submit();
      await academy.waitForStage(student.token, submissionId, 'CHECKING');
      expect(await academy.post(student.token, `/api/submissions/${submissionId}/cancel`, {})).toMatchObject({ status: 202 });
      const closed = await academy.waitForStage(student.token, submissionId, 'CLOSED');
      expect(closed).toMatchObject({ conclusion: 'cancelled', counted: false, checkRun: null });
      student.solve();
      student.push();
      await academy.waitForStage(student.token, await student.submit(), 'AWAITING_REVIEW');
    },
    timeoutMs,
  );

  it(
    'takes a submission while Temporal is away, and judges it when it is back',
    async () => {
      const student = await academy.enrolStudent();
      student.solve();
      student.push();
      await academy.kill('temporal');
      const submissionId = await student.submit();
      academy.startProcess('temporal');
      const checked = await academy.waitForStage(student.token, submissionId, 'AWAITING_REVIEW');
      expect(checked.checkRun?.verdict).toBe('accepted');
    },
    timeoutMs,
  );
});

describe('without a sandbox', () => {
  it(
    'a submission is taken and waits in the queue',
    async () => {
      const academy = await Academy.start('none');
      try {
        const student = await academy.enrolStudent();
        student.solve();
        student.push();
        const submissionId = await student.submit();
        await waitFor('the workflow to wait for a judge', async () =>
          academy.log('judging').includes('no sandbox') ? true : null,
        );
        expect(await academy.waitForStage(student.token, submissionId, 'QUEUED')).toMatchObject({ checkRun: null });
      } finally {
        await academy.stop();
      }
    },
    timeoutMs,
  );
});
