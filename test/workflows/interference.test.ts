import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { selectXpTotal } from '../../src/services/progress.ts';
import { checksStarted, overrideRequested, parkedResolved, reviewDecided } from '../../src/workflows/contract.ts';
import { stateOf } from '../services/support.ts';
import { waitFor } from '../support/wait.ts';
import { type RealParts, type Started, startRealParts } from './real-parts.ts';

/** What an admin may do to a workflow in Temporal's web UI and CLI. */

let parts: RealParts;

beforeAll(async () => {
  parts = await startRealParts();
}, 60_000);

afterAll(() => parts.close());

const em = () => parts.orm.em.fork();
const handleOf = ({ submissionId }: Started) => parts.client.workflow.getHandle(`submission-${submissionId}`);

/** Has the workflow begin again from its first task, as "reset" does. */
async function resetToFirstTask(submission: Started): Promise<void> {
  const { workflowId } = handleOf(submission);
  const { runId } = await handleOf(submission).describe();
  const { events } = await handleOf(submission).fetchHistory();
  const firstTask = events?.find((event) => event.workflowTaskCompletedEventAttributes != null);
  await parts.client.workflowService.resetWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId, runId },
    reason: 'the test resets it',
    requestId: randomUUID(),
    workflowTaskFinishEventId: firstTask?.eventId ?? null,
  });
  await waitFor('the new run', async () => ((await handleOf(submission).describe()).runId === runId ? null : true));
}

describe('a reset to the first task', () => {
  it('of a submission that is decided changes nothing, and ends with what was decided', async () => {
    await parts.withWorkers(async () => {
      const submission = await parts.submitForReview();
      await parts.approve(submission);
      await handleOf(submission).result();
      const decided = await stateOf(parts.orm, submission);
      await resetToFirstTask(submission);
      await expect(handleOf(submission).result()).resolves.toEqual({ conclusion: 'approved' });
      expect(await stateOf(parts.orm, submission)).toEqual(decided);
      expect(await selectXpTotal(em(), submission.student.id)).toBe(50);
    });
  });

  it('of a submission in review finds its checks done, and takes the decision then', async () => {
    await parts.withWorkers(async () => {
      const submission = await parts.submitForReview();
      const { checkRun, notifications } = await rowsOf(submission);
      const workflowId = handleOf(submission).workflowId;
      await parts.workflows.claim(workflowId, { requestId: newId(), actorId: parts.reviewer.id, mayTakeOver: false });
      await resetToFirstTask(submission);
      await parts.waitForStage(submission.submissionId, 'AWAITING_REVIEW');
      expect(await rowsOf(submission)).toEqual({ checkRun, notifications });
      // The claim of before is gone: somebody else may decide.
      await parts.approve(submission, parts.admin.id);
      await expect(handleOf(submission).result()).resolves.toEqual({ conclusion: 'approved' });
      expect(await selectXpTotal(em(), submission.student.id)).toBe(50);
    });
  });

  async function rowsOf(submission: Started) {
    const { notifications } = await stateOf(parts.orm, submission);
    const checkRun = await em().execute('select id, verdict from submissions.check_runs where submission_id = ?', [
      submission.submissionId,
    ]);
    return { checkRun, notifications };
  }
});

describe('a cancel', () => {
  it('in review closes the submission at no cost; the task takes the next one', async () => {
    await parts.withWorkers(async () => {
      const submission = await parts.submitForReview();
      await handleOf(submission).cancel();
      await expect(handleOf(submission).result()).resolves.toEqual({ conclusion: 'closed-by-admin' });
      expect(await em().findOneOrFail(Submission, submission.submissionId)).toMatchObject({
        conclusion: 'closed-by-admin',
        counted: false,
      });
      expect((await em().findOneOrFail(Task, submission.taskId)).status).toBe('IN_PROGRESS');
    });
  });
});

describe('what comes after the end', () => {
  it('changes nothing: terminate, cancel and signals', async () => {
    await parts.withWorkers(async () => {
      const submission = await parts.submitForReview();
      await parts.approve(submission);
      await handleOf(submission).result();
      const decided = await stateOf(parts.orm, submission);
      const handle = handleOf(submission);
      await Promise.allSettled([handle.terminate(), handle.cancel(), handle.signal(checksStarted)]);
      expect(await parts.approve(submission)).toEqual({ status: 'closed' });
      expect(await stateOf(parts.orm, submission)).toEqual(decided);
      expect((await handle.describe()).status.name).toBe('COMPLETED');
    });
  });
});

describe('signals by hand', () => {
  it('that are invalid change nothing, and the one that is valid decides once', async () => {
    await parts.withWorkers(async () => {
      const submission = await parts.submitForReview();
      const { student } = submission;
      const handle = handleOf(submission);
      const before = await stateOf(parts.orm, submission);
      const decision = { requestId: 'decided by hand', actorId: parts.reviewer.id, outcome: 'APPROVED' } as const;
      const strays = [null, [], 'APPROVED', {}, { ...decision, outcome: 'yes' }, { ...decision, actorId: student.id }];
      for (const stray of strays) {
        await handle.signal(reviewDecided, stray as never);
        await handle.signal(overrideRequested, stray as never);
        await handle.signal(parkedResolved, stray as never);
      }
      // Refused by the commit, after which the gate is open again.
      await handle.signal(reviewDecided, { ...decision, requestId: 'by the student’s friend', actorId: newId() });
      await handle.signal(reviewDecided, { ...decision, requestId: 'by nobody', actorId: 'ann@example.test' });
      expect(await handle.query('submissionState')).toMatchObject({ stage: 'AWAITING_REVIEW' });
      expect(await stateOf(parts.orm, submission)).toEqual(before);
      await waitFor('the decision', async () => {
        // The gate takes one at a time: while it looks at a stray one, this is ignored.
        await handle.signal(reviewDecided, decision).catch(() => undefined);
        return em().findOne(Submission, { id: submission.submissionId, stage: 'CLOSED' });
      });
      await expect(handle.result()).resolves.toEqual({ conclusion: 'approved' });
      expect(await selectXpTotal(em(), student.id)).toBe(50);
      expect((await stateOf(parts.orm, submission))['reviews']).toHaveLength(1);
    });
  });
});
