import { once } from '../../services/idempotency.ts';
import { listDeliveries, retryDelivery } from '../../services/deliveries.ts';
import { listNotifications, markNotificationRead, markNotificationsRead } from '../../services/notifications.ts';
import { deliveryWorkflowId } from '../../temporal/deliveries.ts';
import type { notificationsContract } from '../contract/notifications.ts';
import type { Dependencies } from '../dependencies.ts';
import type { Handlers } from '../mount.ts';
import { temporalLink } from '../temporal-link.ts';

export function notificationsHandlers({ config }: Pick<Dependencies, 'config'>): Handlers<typeof notificationsContract> {
  return {
    async listNotifications({ em, actor, query }) {
      return { body: await listNotifications(em, { userId: actor.id, ...query }) };
    },
    async readNotification({ em, actor, params }) {
      await markNotificationRead(em, { userId: actor.id, notificationId: params.id });
      return { body: undefined };
    },
    async readNotifications({ em, actor, body }) {
      return { body: await markNotificationsRead(em, { userId: actor.id, ...body }) };
    },
    async listDeliveries({ em, query }) {
      const items = await listDeliveries(em, query);
      return {
        body: {
          items: items.map(({ workflowRunNo, ...item }) => ({
            ...item,
            workflow: temporalLink(config, deliveryWorkflowId(item.id, workflowRunNo)),
          })),
        },
      };
    },
    async retryDelivery({ em, actor, params, keyed }) {
      const { isReplay } = await once(em, keyed, async (tx) => {
        await retryDelivery(tx, actor, params.id);
        return { status: 202, body: null };
      });
      return { body: { status: 'retrying' }, isReplay };
    },
  };
}
