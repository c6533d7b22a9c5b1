/** What people are told. */
export const notificationKinds = [
  'welcome',
  'already-registered',
  'checks-failed',
  'source-unavailable',
  'closed-by-admin',
  'in-review',
  'approved',
  'rejected',
  'review-wanted',
  'review-reminder',
  'review-overdue',
  'overridden',
  'task-assigned',
] as const;
export type NotificationKind = (typeof notificationKinds)[number];

/** A delivery whose workflow is to be started. */
export interface DeliveryToStart {
  readonly id: string;
  /** 1, 2, … of its workflows. */
  readonly workflowRunNo: number;
}

/** How a notification leaves the academy; in-app is the notification itself. */
export const deliveryChannels = ['mail'] as const;
