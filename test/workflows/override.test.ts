import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { Override, Review } from '../../src/database/entities/reviews.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import type { OverridableStatus } from '../../src/domain/tasks.ts';
import { requestTaskOverride } from '../../src/services/overrides.ts';
import { selectXpTotal } from '../../src/services/progress.ts';
import { createOverrideWorkflows } from '../../src/temporal/overrides.ts';
import { overrideRequested, overrideWorkflowId, taskQueues } from '../../src/workflows/contract.ts';
import { overrideWorkflow } from '../../src/workflows/override.ts';
import { stateOf } from '../services/support.ts';
import { createStudentWithTask } from '../support/factories.ts';
import { bundleWorkflows } from '../support/temporal.ts';
import { waitFor } from '../support/wait.ts';
import { type RealParts, type Started, startRealParts } from './real-parts.ts';
import { createFakeActivities, permanentFailure, withWorkers } from './support.ts';

let parts: RealParts;

beforeAll(async () => {
  parts = await startRealParts();
}, 60_000);

afterAll(() => parts.close());

const em = () => parts.orm.em.fork();
const handleOf = ({ submissionId }: Started) => parts.client.workflow.getHandle(`submission-${submissionId}`);

async function ask(taskId: string, status: OverridableStatus): Promise<string> {
  const { version } = await em().findOneOrFail(Task, taskId);
  const { overrideId } = await em().transactional((tx) =>
    requestTaskOverride(tx, parts.admin, { taskId, version, status, reason: 'so it is' }),
  );
  return overrideId;
}

/** Asks, has the relay start it, and waits for its end as the API does. */
async function override(taskId: string, status: OverridableStatus): Promise<void> {
  const overrideId = await ask(taskId, status);
  await parts.relay();
  expect(await createOverrideWorkflows(parts.client).ended(overrideId)).toBe(true);
}

describe('an override’s workflow', () => {
  it('applies it where nothing was submitted', async () => {
    await parts.withWorkers(async () => {
      const { student, taskId } = await createStudentWithTask(parts.orm);
      await override(taskId, 'APPROVED');
      expect((await em().findOneOrFail(Task, taskId)).status).toBe('APPROVED');
      expect(await selectXpTotal(em(), student.id)).toBe(50);
    });
  });

  it('ends the open submission, its workflow too, with the outcome', async () => {
    await parts.withWorkers(async () => {
      const submission = await parts.submitForReview();
      await override(submission.taskId, 'APPROVED');
      await expect(handleOf(submission).result()).resolves.toEqual({ conclusion: 'approved' });
      expect(await em().findOneOrFail(Submission, submission.submissionId)).toMatchObject({ conclusion: 'approved' });
      expect(await selectXpTotal(em(), submission.student.id)).toBe(50);
      const { reviews, xp } = await stateOf(parts.orm, submission);
      expect([reviews?.length, xp?.length]).toEqual([1, 1]);
    });
  });

  it('comes after the end as well', async () => {
    await parts.withWorkers(async () => {
      const submission = await parts.submitForReview();
      await parts.approve(submission);
      await handleOf(submission).result();
      await override(submission.taskId, 'REJECTED');
      expect(await em().findOneOrFail(Submission, submission.submissionId)).toMatchObject({ conclusion: 'rejected' });
      expect(await selectXpTotal(em(), submission.student.id)).toBe(0);
    });
  });

  it('and a reviewer at once are both heard, in turn', async () => {
    await parts.withWorkers(async () => {
      const submission = await parts.submitForReview();
      const [decided] = await Promise.allSettled([parts.approve(submission), override(submission.taskId, 'REJECTED')]);
      await handleOf(submission).result();
      // Whoever came first, the admin's word stands.
      expect((await em().findOneOrFail(Task, submission.taskId)).status).toBe('REJECTED');
      expect(await selectXpTotal(em(), submission.student.id)).toBe(0);
      const reviews = await em().find(Review, { submission: submission.submissionId });
      const wasDecided = decided.status === 'fulfilled' && (decided.value as { status: string }).status === 'decided';
      expect(reviews).toHaveLength(wasDecided ? 2 : 1);
    });
  });

  it('is started by a signal to the submission, too', async () => {
    await parts.withWorkers(async () => {
      const submission = await parts.submitForReview();
      await handleOf(submission).signal(overrideRequested, {
        requestId: newId(),
        actorId: parts.admin.id,
        outcome: 'APPROVED',
        reason: 'asked by phone',
      });
      await waitFor('the signal to be stored', () => em().findOne(Override, { task: submission.taskId }));
      await parts.relay();
      await expect(handleOf(submission).result()).resolves.toEqual({ conclusion: 'approved' });
      const applied = await waitFor('the override', () =>
        em().findOne(Override, { task: submission.taskId, appliedAt: { $ne: null } }),
      );
      expect(applied).toMatchObject({ via: 'temporal' });
    });
  });

  it('applies it also where the submission’s workflow cannot be told', async () => {
    const overrideId = newId();
    const { calls, activities } = createFakeActivities({ stopSubmission: () => Promise.reject(permanentFailure('no answer')) });
    await withWorkers(parts.env, await bundleWorkflows(), activities, async () => {
      const handle = await parts.client.workflow.start(overrideWorkflow, {
        taskQueue: taskQueues.submissions,
        workflowId: overrideWorkflowId(overrideId),
        args: [{ overrideId }],
      });
      await handle.result();
    });
    expect(calls).toEqual(['stopSubmission', 'commitOverride']);
  });

  it('applies it where the submission’s workflow is gone', async () => {
    await parts.withWorkers(async () => {
      const submission = await parts.submitForReview();
      await handleOf(submission).terminate();
      await override(submission.taskId, 'APPROVED');
      expect(await em().findOneOrFail(Submission, submission.submissionId)).toMatchObject({ conclusion: 'approved' });
    });
  });
});
