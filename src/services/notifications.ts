import { sql } from '@mikro-orm/core';
import { newId } from '../database/columns.ts';
import { Delivery, Notification } from '../database/entities/notifications.ts';
import { User } from '../database/entities/users.ts';
import type { Em } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import {
  type DeliveryChannel,
  type DeliveryStatus,
  deliveryStatusOf,
  isDigested,
  isMailed,
  type NotificationKind,
  notificationKinds,
  type ReviewerNotificationKind,
} from '../domain/notifications.ts';
import { currentTraceId } from '../trace.ts';

/**
 * Tells a user of an event, in the caller's transaction: a notification and, for kinds that are mailed, its delivery as an outbox row.
 * Unique per (user, kind, cause): telling twice is telling once.
 */
export async function notify(em: Em, about: NewNotification): Promise<void> {
  const notification = await createNotification(em, about);
  if (notification !== null && isMailed[about.kind]) createDelivery(em, notification);
}

interface NewNotification {
  readonly userId: string;
  readonly kind: NotificationKind;
  readonly causeId: string;
  readonly submissionId?: string | undefined;
  readonly taskId?: string;
}

/** Null where the user has been told already. */
async function createNotification(em: Em, about: NewNotification): Promise<Notification | null> {
  const known = await em.count(Notification, { user: about.userId, kind: about.kind, causeId: about.causeId });
  if (known > 0) return null;
  return em.create(Notification, {
    id: newId(),
    createdAt: new Date(),
    user: about.userId,
    kind: about.kind,
    causeId: about.causeId,
    submission: about.submissionId ?? null,
    task: about.taskId ?? null,
    readAt: null,
  });
}

function createDelivery(em: Em, notification: Notification): void {
  em.create(Delivery, {
    id: newId(),
    createdAt: new Date(),
    notification,
    channel: 'mail',
    startedAt: null,
    deliveredAt: null,
    failedAt: null,
    lastError: null,
    workflowRunNo: 1,
    traceId: currentTraceId(),
  });
}

/** A reviewer gets at most one digest in this time. */
const digestIntervalMs = 24 * 60 * 60_000;

/** Tells everybody who may review, but for the one whose work it is; by mail as a digest of the queue. */
export async function notifyReviewers(
  em: Em,
  about: { kind: ReviewerNotificationKind; causeId: string; submissionId: string; studentId: string },
): Promise<void> {
  const reviewers = await em.find(User, {
    role: 'ACADEMY_REVIEWER',
    disabledAt: null,
    erasedAt: null,
    id: { $ne: about.studentId },
  });
  // Two submissions that wait too long at the same time take turns, so that the second finds the digest of the first.
  if (isDigested[about.kind]) await em.execute(sql`select pg_advisory_xact_lock(hashtextextended('review-digest', 0))`);
  for (const reviewer of reviewers) {
    const notification = await createNotification(em, { ...about, userId: reviewer.id });
    if (notification === null || !isDigested[about.kind]) continue;
    if (!(await hasDigest(em, reviewer.id, new Date(Date.now() - digestIntervalMs)))) createDelivery(em, notification);
  }
}

/** The same kinds about the reviewer's own work are no digests. */
function digestsOf(userId: string) {
  const kinds = notificationKinds.filter((kind) => kind in isDigested);
  return { user: userId, kind: kinds, submission: { student: { $ne: userId } } };
}

async function hasDigest(em: Em, userId: string, since: Date): Promise<boolean> {
  return (await em.count(Delivery, { notification: digestsOf(userId), createdAt: { $gt: since }, failedAt: null })) > 0;
}

export interface NotificationView {
  readonly id: string;
  readonly kind: NotificationKind;
  readonly submissionId: string | null;
  readonly taskId: string | null;
  readonly exerciseTitle: string | null;
  readonly createdAt: Date;
  readonly readAt: Date | null;
  readonly deliveries: { readonly channel: DeliveryChannel; readonly status: DeliveryStatus }[];
}

/** A user's own notifications, newest first. `before` is the id of the last one of the page before. */
export async function listNotifications(
  em: Em,
  query: { userId: string; limit: number; before?: string | undefined },
): Promise<{ items: NotificationView[]; unread: number }> {
  const rows = await em.find(
    Notification,
    { user: query.userId, ...(query.before === undefined ? {} : { id: { $lt: query.before } }) },
    { orderBy: { id: 'desc' }, limit: query.limit, populate: ['submission.task.exercise', 'task.exercise'] },
  );
  const deliveries = await em.find(Delivery, { notification: rows.map(({ id }) => id) }, { orderBy: { channel: 'asc' } });
  const items = rows.map((row) => {
    const task = row.task?.$ ?? row.submission?.$.task.$;
    return {
      id: row.id,
      kind: row.kind,
      submissionId: row.submission?.id ?? null,
      taskId: task?.id ?? null,
      exerciseTitle: task?.exercise.$.title ?? null,
      createdAt: row.createdAt,
      readAt: row.readAt,
      deliveries: deliveries
        .filter(({ notification }) => notification.id === row.id)
        .map((delivery) => ({ channel: delivery.channel, status: deliveryStatusOf(delivery) })),
    };
  });
  return { items, unread: await countUnread(em, query.userId) };
}

const countUnread = (em: Em, userId: string) => em.count(Notification, { user: userId, readAt: null });

/** Marks one of the user's notifications as read; again is no error. */
export async function markNotificationRead(em: Em, input: { userId: string; notificationId: string }): Promise<void> {
  const row = await em.findOne(Notification, { id: input.notificationId, user: input.userId });
  if (row === null) throw new DomainError('not-found', 'There is no such notification.');
  row.readAt ??= new Date();
  await em.flush();
}

/**
 * Marks the user's notifications as read, all or those up to one of them and including it: what came in since the page was shown stays
 * unread. Returns how many are unread then.
 */
export async function markNotificationsRead(
  em: Em,
  input: { userId: string; upTo?: string | undefined },
): Promise<{ unread: number }> {
  const upTo = input.upTo === undefined ? {} : { id: { $lte: input.upTo } };
  await em.nativeUpdate(Notification, { user: input.userId, readAt: null, ...upTo }, { readAt: new Date() });
  return { unread: await countUnread(em, input.userId) };
}
