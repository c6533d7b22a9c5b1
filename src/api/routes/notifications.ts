import { listNotifications, markNotificationRead } from '../../services/notifications.ts';
import type { notificationsContract } from '../contract/notifications.ts';
import type { Handlers } from '../mount.ts';

export const notificationsHandlers: Handlers<typeof notificationsContract> = {
  async listNotifications({ em, actor, query }) {
    return { body: await listNotifications(em, { userId: actor.id, ...query }) };
  },
  async readNotification({ em, actor, params }) {
    await markNotificationRead(em, { userId: actor.id, notificationId: params.id });
    return { body: undefined };
  },
};
