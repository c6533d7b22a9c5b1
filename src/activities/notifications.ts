import type { Orm } from '../database/orm.ts';
import type { Mailer } from '../mail/mailer.ts';
import { writeMail } from '../mail/templates.ts';
import { markDelivered, selectDelivery } from '../services/notifications.ts';
import { withFailures } from './failures.ts';

export type NotificationActivities = ReturnType<typeof createNotificationActivities>;

export function createNotificationActivities({ orm, mailer, origin }: { orm: Orm; mailer: Mailer; origin: string }) {
  return withFailures({
    /**
     * Hands one mail to the server. A crash between the server's yes and our note of it sends the mail again with the same Message-ID,
     * by which mail clients show it once.
     */
    async sendMail({ deliveryId }: { deliveryId: string }): Promise<void> {
      const delivery = await selectDelivery(orm.em.fork(), deliveryId);
      if (delivery.isDelivered) return;
      await mailer.send({ ...writeMail(delivery, origin), messageId: `<${delivery.id}@atelier>` });
      await markDelivered(orm.em.fork(), deliveryId);
    },
  });
}
