import { Delivery } from '../database/entities/notifications.ts';
import { Override } from '../database/entities/reviews.ts';
import { Submission } from '../database/entities/submissions.ts';
import type { Em } from '../database/orm.ts';
import type { DeliveryToStart } from '../domain/notifications.ts';
import { recordActivity, recordAudit } from './activity.ts';
import { dropClaim, lockSubmission, workflowIdOf } from './submissions.ts';

/** An open submission and the workflow that should be at work on it. */
export interface OpenSubmission {
  readonly id: string;
  readonly workflowId: string;
}

/**
 * Open submissions whose workflow was started before `startedBefore`, in pages.
 *
 * @param afterId the last id of the page before; null for the first one.
 */
export async function listOpenSubmissions(
  em: Em,
  query: { startedBefore: Date; afterId: string | null; limit: number },
): Promise<OpenSubmission[]> {
  const rows = await em.find(
    Submission,
    {
      closedAt: null,
      startedAt: { $lt: query.startedBefore },
      ...(query.afterId === null ? {} : { id: { $gt: query.afterId } }),
    },
    { orderBy: { id: 'asc' }, limit: query.limit, fields: ['id', 'workflowId'] },
  );
  return rows.map(({ id, workflowId }) => ({ id, workflowId }));
}

/**
 * Gives a submission whose workflow is gone (terminated, failed or deleted in Temporal, or lost with its database) a new one: the row is
 * an outbox entry again. What was done before is found done. Returns whether it did: not where the submission has ended or has another
 * workflow meanwhile.
 */
export async function restartSubmission(em: Em, { id, workflowId }: OpenSubmission): Promise<boolean> {
  return em.transactional(async (tx) => {
    const { submission, task } = await lockSubmission(tx, id);
    if (submission.closedAt !== null || submission.workflowId !== workflowId) return false;
    dropClaim(submission, task);
    submission.workflowRunNo += 1;
    submission.workflowId = workflowIdOf(id, submission.workflowRunNo);
    submission.startedAt = null;
    submission.stage = 'QUEUED';
    submission.parkedReason = null;
    submission.parkedClass = null;
    recordActivity(tx, 'submission.restarted', { submission });
    recordAudit(tx, {
      action: 'submission.restarted',
      actorId: null,
      target: { kind: 'submission', id },
      via: 'system',
      data: { lostWorkflowId: workflowId, workflowId: submission.workflowId },
    });
    return true;
  });
}

/** Overrides that are not applied, though their workflow was started before `startedBefore`. */
export async function listPendingOverrides(em: Em, startedBefore: Date): Promise<string[]> {
  const rows = await em.find(Override, { appliedAt: null, startedAt: { $lt: startedBefore } }, { fields: ['id'] });
  return rows.map(({ id }) => id);
}

/** Makes an override an entry of the outbox again. */
export async function restartOverride(em: Em, overrideId: string): Promise<void> {
  await em.nativeUpdate(Override, { id: overrideId, appliedAt: null }, { startedAt: null });
}

/** Deliveries that are neither sent nor given up, though their workflow was started before `startedBefore`. */
export async function listPendingDeliveries(em: Em, startedBefore: Date): Promise<DeliveryToStart[]> {
  const rows = await em.find(
    Delivery,
    { deliveredAt: null, failedAt: null, startedAt: { $lt: startedBefore } },
    { fields: ['id', 'workflowRunNo'] },
  );
  return rows.map(({ id, workflowRunNo }) => ({ id, workflowRunNo }));
}

/** Gives a delivery whose workflow is gone another one: the row is an outbox entry again. */
export async function restartDelivery(em: Em, { id, workflowRunNo }: DeliveryToStart): Promise<void> {
  await em.nativeUpdate(
    Delivery,
    { id, workflowRunNo, deliveredAt: null, failedAt: null },
    { workflowRunNo: workflowRunNo + 1, startedAt: null },
  );
}

/** Which of these workflows belong to submissions that have ended, or that are not there: they wait for nothing. */
export async function selectIdleWorkflows(em: Em, workflowIds: readonly string[], endedBefore: Date): Promise<string[]> {
  const rows = await em.find(
    Submission,
    { workflowId: { $in: [...workflowIds] }, $or: [{ closedAt: null }, { closedAt: { $gte: endedBefore } }] },
    { fields: ['workflowId'] },
  );
  const busy = new Set(rows.map((row) => row.workflowId));
  return workflowIds.filter((workflowId) => !busy.has(workflowId));
}

/** Writes down that a workflow without a submission to work on was ended. */
export async function recordIdleWorkflowEnded(em: Em, workflowId: string): Promise<void> {
  const submissionId = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(workflowId)?.[0];
  if (submissionId === undefined) return;
  const target = { kind: 'submission', id: submissionId };
  recordAudit(em, { action: 'workflow.ended', actorId: null, target, via: 'system', data: { workflowId } });
  await em.flush();
}
