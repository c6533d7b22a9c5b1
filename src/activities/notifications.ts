import { heartbeat } from '@temporalio/activity';
import type { Orm } from '../database/orm.ts';
import { MailRefused, type Mailer } from '../mail/mailer.ts';
import { writeMail } from '../mail/templates.ts';
import { markDelivered, markFailed, recordDeliveryError, selectDelivery } from '../services/deliveries.ts';
import { withFailures } from './failures.ts';

export type NotificationActivities = ReturnType<typeof createNotificationActivities>;

/** How often a send shows that its worker lives. */
const heartbeatIntervalMs = 2_000;

/** What an admin reads of a delivery whose tries left no error behind. */
const neverTried = 'not tried within a day: does the notifications worker run?';

export function createNotificationActivities({ orm, mailer, origin }: { orm: Orm; mailer: Mailer; origin: string }) {
  const { hostname } = new URL(origin);

  /** Keeps the error where an admin finds it, also while the delivery is still tried. */
  async function keepError(deliveryId: string, error: Error): Promise<Error> {
    await recordDeliveryError(orm.em.fork(), deliveryId, error.message);
    return error;
  }

  async function sendMail(deliveryId: string): Promise<void> {
    const delivery = await selectDelivery(orm.em.fork(), deliveryId);
    if (delivery.isDelivered) return;
    if (delivery.obstacle !== null) throw await keepError(deliveryId, new MailRefused(delivery.obstacle));
    try {
      await mailer.send({ ...writeMail(delivery, origin), messageId: `<${delivery.id}@${hostname}>` });
    } catch (error) {
      throw await keepError(deliveryId, error as Error);
    }
    await markDelivered(orm.em.fork(), deliveryId);
  }

  return withFailures({
    /**
     * Hands one mail to the server. A crash between the server's yes and our note of it sends the mail again with the same Message-ID,
     * by which mail clients show it once.
     *
     * @throws MailFailed where trying again is right; MailRefused, not retried, where the server or we will never send it.
     */
    async sendMail({ deliveryId }: { deliveryId: string }): Promise<void> {
      const beat = setInterval(() => heartbeat(), heartbeatIntervalMs);
      try {
        await sendMail(deliveryId);
      } finally {
        clearInterval(beat);
      }
    },

    /** Notes that no more tries are made. Safe to repeat. */
    async markFailed({ deliveryId }: { deliveryId: string }): Promise<void> {
      await markFailed(orm.em.fork(), deliveryId, neverTried);
    },
  });
}
