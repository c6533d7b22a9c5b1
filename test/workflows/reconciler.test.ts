import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { WorkflowNotFoundError } from '@temporalio/client';
import { pino } from 'pino';
import { Override } from '../../src/database/entities/reviews.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { commitClaim } from '../../src/services/claims.ts';
import { openDraft } from '../../src/services/drafts.ts';
import { requestTaskOverride } from '../../src/services/overrides.ts';
import { selectXpTotal } from '../../src/services/progress.ts';
import { concludeWithoutReview } from '../../src/services/submissions.ts';
import { createTemporalClient } from '../../src/temporal/client.ts';
import { createWorkflowInspection, type WorkflowInspection } from '../../src/temporal/reconcile.ts';
import { reconcile } from '../../src/workers/reconciler.ts';
import { overrideWorkflowId } from '../../src/workflows/contract.ts';
import { activityOf, stateOf } from '../services/support.ts';
import { createStudentWithTask, createSubmission } from '../support/factories.ts';
import { waitFor } from '../support/wait.ts';
import { type RealParts, type Started, startRealParts } from './real-parts.ts';

let parts: RealParts;

beforeAll(async () => {
  parts = await startRealParts();
}, 60_000);

afterAll(() => parts.close());

const em = () => parts.orm.em.fork();
const handleOf = ({ submissionId }: Started, runNo = 1) =>
  parts.client.workflow.getHandle(`submission-${submissionId}${runNo === 1 ? '' : `-${runNo}`}`);

/** One turn that leaves nothing alone for having just begun. */
const reconcileNow = (inspection: WorkflowInspection = createWorkflowInspection(parts.client), graceMs = -1_000) =>
  reconcile({ orm: parts.orm, inspection, logger: pino({ level: 'silent' }) }, { lost: graceMs, idle: graceMs });

const auditOf = async (submission: Started) =>
  ((await stateOf(parts.orm, submission))['audit'] as { action: string }[]).map(({ action }) => action);

async function deleteWorkflow(submission: Started): Promise<void> {
  const handle = handleOf(submission);
  const workflowExecution = { workflowId: handle.workflowId };
  await parts.client.workflowService.deleteWorkflowExecution({ namespace: 'default', workflowExecution });
  await waitFor('the deletion', () =>
    handle.describe().then(
      () => null,
      (error: unknown) => (error instanceof WorkflowNotFoundError ? true : null),
    ),
  );
}

describe('a workflow that is gone', () => {
  it.each<[string, (submission: Started) => Promise<unknown>]>([
    ['terminated', (submission) => handleOf(submission).terminate('by mistake')],
    ['deleted with its history', deleteWorkflow],
  ])('(%s) is replaced by a second one, which ends the submission; the student has the XP once', async (_case, lose) => {
    await parts.withWorkers(async () => {
      const submission = await parts.submitForReview();
      await commitClaim(em(), { submissionId: submission.submissionId, actorId: parts.reviewer.id });
      await lose(submission);
      expect(await reconcileNow()).toEqual({ restarted: 1, ended: 0 });
      expect(await parts.relay()).toBe(1);
      const { workflowId } = await parts.waitForStage(submission.submissionId, 'AWAITING_REVIEW');
      expect(workflowId).toBe(handleOf(submission, 2).workflowId);
      await parts.approve(submission);
      await expect(handleOf(submission, 2).result()).resolves.toEqual({ conclusion: 'approved' });
      expect(await selectXpTotal(em(), submission.student.id)).toBe(50);
      expect(await auditOf(submission)).toEqual(['submission.restarted', 'submission.decided']);
      // The checks were done: the second workflow found them.
      const checks = (await activityOf(parts.orm, submission.submissionId)).filter((kind) => kind.startsWith('ci.result'));
      expect(checks).toHaveLength(1);
      expect(await reconcileNow()).toEqual({ restarted: 0, ended: 0 });
    });
  });

  it('is replaced again where the second is gone as well', async () => {
    await parts.withWorkers(async () => {
      const submission = await parts.submitForReview();
      for (const runNo of [1, 2]) {
        await handleOf(submission, runNo).terminate();
        expect(await reconcileNow()).toEqual({ restarted: 1, ended: 0 });
        await parts.relay();
        await parts.waitForStage(submission.submissionId, 'AWAITING_REVIEW');
      }
      await parts.approve(submission);
      await expect(handleOf(submission, 3).result()).resolves.toEqual({ conclusion: 'approved' });
    });
  });

  it('of an override is started again, and the override applied', async () => {
    const { taskId, student } = await createStudentWithTask(parts.orm);
    const { version } = await em().findOneOrFail(Task, taskId);
    const { overrideId } = await em().transactional((tx) =>
      requestTaskOverride(tx, parts.admin, { taskId, version, status: 'APPROVED', reason: 'so it is' }),
    );
    expect(await parts.relay()).toBe(1);
    await parts.client.workflow.getHandle(overrideWorkflowId(overrideId)).terminate();
    expect(await reconcileNow()).toEqual({ restarted: 1, ended: 0 });
    await parts.withWorkers(async () => {
      expect(await parts.relay()).toBe(1);
      await waitFor('the override', () => em().findOne(Override, { id: overrideId, appliedAt: { $ne: null } }));
    });
    expect(await selectXpTotal(em(), student.id)).toBe(50);
    expect(await reconcileNow()).toEqual({ restarted: 0, ended: 0 });
  });
});

describe('a workflow with nothing to do', () => {
  it('is ended, with an entry in the audit, and so is nothing else', async () => {
    await parts.withWorkers(async () => {
      const [ended, open] = [await parts.submitForReview(), await parts.submitForReview()];
      // By another workflow of it, or before the database was restored: this one does not know.
      await concludeWithoutReview(em(), { submissionId: ended.submissionId, conclusion: 'closed-by-admin' });
      const turn = await waitFor('Temporal’s list to have it', async () => {
        const result = await reconcileNow();
        return result.ended > 0 ? result : null;
      });
      expect(turn).toEqual({ restarted: 0, ended: 1 });
      expect((await handleOf(ended).describe()).status.name).toBe('TERMINATED');
      expect(await auditOf(ended)).toEqual(['submission.closed', 'workflow.ended']);
      expect((await handleOf(open).describe()).status.name).toBe('RUNNING');
      await parts.approve(open);
      await handleOf(open).result();
    });
  });
});

describe('in a healthy state', () => {
  it('nothing is touched: not what is queued, in review, decided, a draft, or not started yet', async () => {
    await parts.withWorkers(async () => {
      const [inReview, decided] = [await parts.submitForReview(), await parts.submitForReview()];
      await parts.approve(decided);
      await handleOf(decided).result();
      const drafting = await createStudentWithTask(parts.orm);
      const { submissionId } = await em().transactional((tx) => openDraft(tx, drafting.student, drafting.taskId));
      const waiting = await createStudentWithTask(parts.orm);
      const unstarted = await createSubmission(parts.orm, { taskId: waiting.taskId, studentId: waiting.student.id });
      const all = [inReview, decided, { ...drafting, submissionId }, { ...waiting, submissionId: unstarted }];
      const before = await Promise.all(all.map((submission) => stateOf(parts.orm, submission)));
      expect(await reconcileNow()).toEqual({ restarted: 0, ended: 0 });
      expect(await Promise.all(all.map((submission) => stateOf(parts.orm, submission)))).toEqual(before);
      await parts.relay();
      await parts.waitForStage(unstarted, 'AWAITING_REVIEW');
    });
  });

  it('what has just begun is left alone, also where it looks lost', async () => {
    await parts.withWorkers(async () => {
      const submission = await parts.submitForReview();
      await handleOf(submission).terminate();
      expect(await reconcileNow(createWorkflowInspection(parts.client), 60_000)).toEqual({ restarted: 0, ended: 0 });
      expect(await reconcileNow()).toEqual({ restarted: 1, ended: 0 });
    });
  });
});

describe('while Temporal is away', () => {
  it('nothing is concluded from its silence', async () => {
    await parts.withWorkers(async () => {
      const submission = await parts.submitForReview();
      const before = await stateOf(parts.orm, submission);
      const nowhere = createTemporalClient('127.0.0.1:1', 'default');
      await expect(reconcileNow(createWorkflowInspection(nowhere))).rejects.toMatchObject({ name: 'ServiceError' });
      await nowhere.connection.close();
      expect(await stateOf(parts.orm, submission)).toEqual(before);
    });
  });
});
