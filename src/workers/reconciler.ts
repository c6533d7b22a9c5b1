import type { Orm } from '../database/orm.ts';
import type { Logger } from '../logger.ts';
import {
  listOpenSubmissions,
  listPendingDeliveries,
  listPendingOverrides,
  type OpenSubmission,
  recordIdleWorkflowEnded,
  restartDelivery,
  restartOverride,
  restartSubmission,
  selectIdleWorkflows,
} from '../services/reconcile.ts';
import type { WorkflowInspection } from '../temporal/reconcile.ts';
import { deliveryWorkflowId, overrideWorkflowId } from '../workflows/contract.ts';

const pageSize = 100;

/** What was put right in one turn. */
export interface Reconciled {
  /** Open submissions, pending overrides and deliveries whose workflow was gone: they get another one. */
  readonly restarted: number;
  /** Workflows whose submission has ended or is not there: they are ended. */
  readonly ended: number;
}

/**
 * Brings PostgreSQL and Temporal together again, after somebody terminated or deleted a workflow, or one of the two databases was
 * restored. PostgreSQL is right about what was accepted and decided. Safe to repeat and to run in several processes at once.
 *
 * @param graces how long something must have been so, in ms, so that what is just happening is left alone. `idle`, a workflow whose
 *   submission has ended, may take longer than `lost`: it disturbs nobody, and ends by itself where its worker was only stopped.
 */
export async function reconcile(
  dependencies: { orm: Orm; inspection: WorkflowInspection; logger: Logger },
  graces: { readonly lost: number; readonly idle: number },
): Promise<Reconciled> {
  const { orm, inspection, logger } = dependencies;
  const before = new Date(Date.now() - graces.lost);
  const endedBefore = new Date(Date.now() - graces.idle);
  let restarted = 0;
  let ended = 0;

  for await (const submission of openSubmissions(orm, before)) {
    if (await inspection.isRunning(submission.workflowId)) continue;
    if (!(await restartSubmission(orm.em.fork(), submission))) continue;
    restarted += 1;
    logger.warn({ submissionId: submission.id, workflowId: submission.workflowId }, 'its workflow was gone: started again');
  }

  for (const overrideId of await listPendingOverrides(orm.em.fork(), before)) {
    if (await inspection.isRunning(overrideWorkflowId(overrideId))) continue;
    await restartOverride(orm.em.fork(), overrideId);
    restarted += 1;
    logger.warn({ overrideId }, 'its workflow was gone: started again');
  }

  for (const delivery of await listPendingDeliveries(orm.em.fork(), before)) {
    if (await inspection.isRunning(deliveryWorkflowId(delivery.id, delivery.workflowRunNo))) continue;
    await restartDelivery(orm.em.fork(), delivery);
    restarted += 1;
    logger.warn({ deliveryId: delivery.id }, 'its workflow was gone: started again');
  }

  for await (const workflowIds of pages(inspection.listRunning())) {
    for (const workflowId of await selectIdleWorkflows(orm.em.fork(), workflowIds, endedBefore)) {
      await inspection.end(workflowId, 'its submission has ended');
      await recordIdleWorkflowEnded(orm.em.fork(), workflowId);
      ended += 1;
      logger.warn({ workflowId }, 'ended a workflow whose submission has ended');
    }
  }
  return { restarted, ended };
}

async function* openSubmissions(orm: Orm, startedBefore: Date): AsyncIterable<OpenSubmission> {
  let afterId: string | null = null;
  for (;;) {
    const page: OpenSubmission[] = await listOpenSubmissions(orm.em.fork(), { startedBefore, afterId, limit: pageSize });
    yield* page;
    afterId = page.at(-1)?.id ?? null;
    if (page.length < pageSize) return;
  }
}

async function* pages(ids: AsyncIterable<string>): AsyncIterable<string[]> {
  let page: string[] = [];
  for await (const id of ids) {
    page.push(id);
    if (page.length < pageSize) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}
