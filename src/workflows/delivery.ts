import { proxyActivities } from '@temporalio/workflow';
import type { NotificationActivities } from '../activities/notifications.ts';
import { type DeliveryInput, taskQueues } from './contract.ts';

const { sendMail } = proxyActivities<NotificationActivities>({
  taskQueue: taskQueues.notifications,
  startToCloseTimeout: '60s',
  // A mail server that is down comes back: up to a day of tries, at most 10 minutes apart.
  scheduleToCloseTimeout: '24h',
  retry: { initialInterval: '5s', backoffCoefficient: 2, maximumInterval: '10m' },
  summary: 'hand the mail to the server',
});

/** Brings one notification through one channel; in a workflow of its own, so that a mail server's trouble holds up no submission. */
export async function deliveryWorkflow({ deliveryId }: DeliveryInput): Promise<void> {
  await sendMail({ deliveryId });
}
