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
import { temporalLink } from '../temporal-link.ts';

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

  async function resolveParked(
    actor: Actor,
    submissionId: string,
    action: 'redrive' | 'close',
    key: string | null,
  ): Promise<void> {
    const { requestId, workflowId } = await requestParkedResolution(orm.em.fork(), actor, { kind: action, submissionId, key });
    const { status } = await workflows.resolveParked(workflowId, { requestId, action });
    if (status === 'closed')
      throw new DomainError('invalid-state', 'Its workflow is gone; it will be given another one by itself.');
  }

  return {
    overrideTask: ({ em, actor, params, body, keyed, ifMatch }) =>
      override(em, keyed, (tx) => requestTaskOverride(tx, actor, { taskId: params.id, version: Number(ifMatch), ...body })),
    overrideReview: ({ em, actor, params, body, keyed, ifMatch }) =>
      override(em, keyed, (tx) => requestReviewOverride(tx, actor, { reviewId: params.id, ifMatch, ...body })),
    async listParked({ em, query }) {
      const items = await listParked(em, query.limit);
      return {
        body: { items: items.map(({ workflowId, ...item }) => ({ ...item, workflow: temporalLink(config, workflowId) })) },
      };
    },
    async redriveSubmission({ actor, params, keyed }) {
      await resolveParked(actor, params.id, 'redrive', keyed.key);
      return { body: { status: 'redriving' } };
    },
    async closeSubmission({ actor, params, keyed }) {
      await resolveParked(actor, params.id, 'close', keyed.key);
      return { body: { status: 'closing' } };
    },
    async listAudit({ em, query }) {
      return { body: { items: await listAudit(em, query) } };
    },
  };
}
