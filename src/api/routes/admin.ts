import { DomainError } from '../../domain/errors.ts';
import type { Actor } from '../../domain/users.ts';
import { listAudit } from '../../services/activity.ts';
import { type KeyedRequest, once } from '../../services/idempotency.ts';
import { isOverrideApplied, markOverrideStarted, requestReviewOverride, requestTaskOverride } from '../../services/overrides.ts';
import { listParked, requestParkedResolution } from '../../services/parked.ts';
import type { Em } from '../../database/orm.ts';
import type { adminContract } from '../contract/admin.ts';
import type { Dependencies } from '../dependencies.ts';
import type { Handlers } from '../mount.ts';
import { selectOptionalConclusion } from '../../services/submissions.ts';
import { temporalLink } from '../temporal-link.ts';

/** The version that a task's entity tag stands for; 0, which no task has, for what is none. */
const versionOf = (etag: string) => (/^[1-9]\d{0,8}$/.test(etag) ? Number(etag) : 0);

export function adminHandlers({ config, orm, workflows, overrides, logger }: Dependencies): Handlers<typeof adminContract> {
  /**
   * Stores an override and has its workflow apply it. The row is the outbox entry: where Temporal does not answer now, the relay starts
   * it, and the answer says that it is only accepted.
   */
  async function override(em: Em, keyed: KeyedRequest, request: (tx: Em) => Promise<{ overrideId: string }>) {
    const answer = await once(em, keyed, async (tx) => ({ status: 200, body: await request(tx) }));
    const { overrideId } = answer.body as { overrideId: string };
    try {
      await overrides.start(overrideId);
      await markOverrideStarted(orm.em.fork(), overrideId);
      await overrides.ended(overrideId);
    } catch (error) {
      logger.warn({ err: error, overrideId }, 'accepted; the relay will start its workflow');
    }
    const isApplied = await isOverrideApplied(orm.em.fork(), overrideId);
    const status = isApplied ? ('applied' as const) : ('accepted' as const);
    return { body: { overrideId, status }, isReplay: answer.isReplay, isAccepted: !isApplied };
  }

  /** Has the workflow go on or end. Returns whether that was asked before: its repeat is answered alike when all is over, too. */
  async function resolveParked(
    actor: Actor,
    submissionId: string,
    action: 'redrive' | 'close',
    key: string | null,
  ): Promise<boolean> {
    const about = { kind: action, submissionId, key };
    const { requestId, workflowId, isRepeat } = await requestParkedResolution(orm.em.fork(), actor, about);
    const { status } = await workflows.resolveParked(workflowId, { requestId, action });
    const isDone = isRepeat && (await selectOptionalConclusion(orm.em.fork(), submissionId)) !== null;
    if (status === 'closed' && !isDone)
      throw new DomainError('invalid-state', 'Its workflow is gone; it will be given another one by itself.');
    return isRepeat;
  }

  return {
    overrideTask: ({ em, actor, params, body, keyed, ifMatch }) =>
      override(em, keyed, (tx) => requestTaskOverride(tx, actor, { taskId: params.id, version: versionOf(ifMatch), ...body })),
    overrideReview: ({ em, actor, params, body, keyed, ifMatch }) =>
      override(em, keyed, (tx) => requestReviewOverride(tx, actor, { reviewId: params.id, ifMatch, ...body })),
    async listParked({ em, query }) {
      const items = await listParked(em, query.limit);
      return {
        body: { items: items.map(({ workflowId, ...item }) => ({ ...item, workflow: temporalLink(config, workflowId) })) },
      };
    },
    async redriveSubmission({ actor, params, keyed }) {
      const isReplay = await resolveParked(actor, params.id, 'redrive', keyed.key);
      return { body: { status: 'redriving' }, isReplay };
    },
    async closeSubmission({ actor, params, keyed }) {
      const isReplay = await resolveParked(actor, params.id, 'close', keyed.key);
      return { body: { status: 'closing' }, isReplay };
    },
    async listAudit({ em, query }) {
      return { body: { items: await listAudit(em, query) } };
    },
  };
}
