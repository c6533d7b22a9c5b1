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
export type DeliveryChannel = (typeof deliveryChannels)[number];

/** Where a delivery is: `pending` is on its way, `failed` given up. */
export const deliveryStatuses = ['pending', 'sent', 'failed'] as const;
export type DeliveryStatus = (typeof deliveryStatuses)[number];

/** Derived from its instants, so that it cannot disagree with them; what arrived after all is sent. */
export function deliveryStatusOf(delivery: {
  readonly deliveredAt: Date | null;
  readonly failedAt: Date | null;
}): DeliveryStatus {
  if (delivery.deliveredAt !== null) return 'sent';
  return delivery.failedAt === null ? 'pending' : 'failed';
}

/**
 * Which kinds also go out by mail to the one whose matter they are: what they did not see happen and have to act on or wait for, and
 * what tells an address's owner that somebody used it. The rest would be noise in a mailbox.
 */
export const isMailed = {
  welcome: true,
  'already-registered': true,
  'checks-failed': true,
  'source-unavailable': true,
  'closed-by-admin': true,
  'in-review': true,
  approved: true,
  rejected: true,
  'review-wanted': false,
  'review-reminder': false,
  'review-overdue': true,
  overridden: true,
  'task-assigned': true,
} as const satisfies Record<NotificationKind, boolean>;

/** What all reviewers are told. */
export type ReviewerNotificationKind = Extract<NotificationKind, `review-${string}`>;

/**
 * Which of them reach reviewers by mail: as a digest of the whole queue, at most one a day. A mail for each submission would be as many
 * as an academy has submissions, and be filtered away. One that is new in the queue is in time for whoever looks there next.
 */
export const isDigested = {
  'review-wanted': false,
  'review-reminder': true,
  'review-overdue': true,
} as const satisfies Record<ReviewerNotificationKind, boolean>;
