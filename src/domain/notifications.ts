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
] as const;
export type NotificationKind = (typeof notificationKinds)[number];

/** How a notification leaves the academy; in-app is the notification itself. */
export const deliveryChannels = ['mail'] as const;
