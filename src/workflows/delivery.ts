import { ActivityFailure, CancellationScope, isCancellation, log, proxyActivities } from '@temporalio/workflow';
import type { NotificationActivities } from '../activities/notifications.ts';
import { type DeliveryInput, deliveryRetry, taskQueues } from './contract.ts';

const { sendMail } = proxyActivities<NotificationActivities>({
  taskQueue: taskQueues.notifications,
  // Above the mailer's own limit, which ends what the server was doing.
  startToCloseTimeout: '60s',
  // It beats every 2 s; a worker that died with mails under way is noticed after 10.
  heartbeatTimeout: '10s',
  scheduleToCloseTimeout: deliveryRetry.giveUpAfterMs,
  retry: deliveryRetry.policy,
  summary: 'hand the mail to the server',
});

const { markFailed } = proxyActivities<NotificationActivities>({
  taskQueue: taskQueues.notifications,
  startToCloseTimeout: '15s',
  // Until it is noted: a delivery that nobody gave up would be shown as on its way for ever.
  retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '1m' },
  summary: 'note that the mail is given up',
});

/**
 * Brings one notification through one channel; in a workflow of its own, so that a mail server's trouble holds up no submission. A mail
 * that cannot be delivered is an end like any other, with a note for the admins: the workflow completes.
 */
export async function deliveryWorkflow({ deliveryId }: DeliveryInput): Promise<void> {
  try {
    await sendMail({ deliveryId });
  } catch (error) {
    if (!(error instanceof ActivityFailure) && !isCancellation(error)) throw error;
    log.warn('the mail is given up', { deliveryId });
    // Also where an admin cancelled the workflow, which is what ended the tries.
    await CancellationScope.nonCancellable(() => markFailed({ deliveryId }));
    if (isCancellation(error)) throw error;
  }
}
