import { LockMode } from '@mikro-orm/core';
import { newId } from '../database/columns.ts';
import { Delivery, Notification } from '../database/entities/notifications.ts';
import { User } from '../database/entities/users.ts';
import type { Em } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import type { DeliveryToStart, NotificationKind } from '../domain/notifications.ts';
import { currentTraceId } from '../trace.ts';
import { countStarted, startEach } from './outbox.ts';

/** Kinds that also go out by mail; the others would be noise in a mailbox. */
const mailed: ReadonlySet<NotificationKind> = new Set<NotificationKind>([
  'welcome',
  'already-registered',
  'checks-failed',
  'source-unavailable',
  'closed-by-admin',
  'in-review',
  'approved',
  'rejected',
  'review-overdue',
  'overridden',
  'task-assigned',
]);

/**
 * Tells a user of an event, in the caller's transaction: a notification and, for kinds that are mailed, its delivery as an outbox row.
 * Unique per (user, kind, cause): telling twice is telling once.
 */
export async function notify(
  em: Em,
  about: { userId: string; kind: NotificationKind; causeId: string; submissionId?: string | undefined; taskId?: string },
): Promise<void> {
  const known = await em.count(Notification, { user: about.userId, kind: about.kind, causeId: about.causeId });
  if (known > 0) return;
  const notification = em.create(Notification, {
    id: newId(),
    createdAt: new Date(),
    user: about.userId,
    kind: about.kind,
    causeId: about.causeId,
    submission: about.submissionId ?? null,
    task: about.taskId ?? null,
    readAt: null,
  });
  if (!mailed.has(about.kind)) return;
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

/** Tells everybody who may review, but for the one whose work it is. */
export async function notifyReviewers(
  em: Em,
  about: { kind: NotificationKind; causeId: string; submissionId: string; studentId: string },
): Promise<void> {
  const reviewers = await em.find(User, { role: 'ACADEMY_REVIEWER', disabledAt: null, id: { $ne: about.studentId } });
  for (const reviewer of reviewers) await notify(em, { ...about, userId: reviewer.id });
}

export interface NotificationView {
  readonly id: string;
  readonly kind: NotificationKind;
  readonly submissionId: string | null;
  readonly exerciseTitle: string | null;
  readonly createdAt: Date;
  readonly readAt: Date | null;
}

/** A user's own notifications, newest first. `before` is the id of the last one of the page before. */
export async function listNotifications(
  em: Em,
  query: { userId: string; limit: number; before?: string | undefined },
): Promise<{ items: NotificationView[]; unread: number }> {
  const rows = await em.find(
    Notification,
    { user: query.userId, ...(query.before === undefined ? {} : { id: { $lt: query.before } }) },
    { orderBy: { id: 'desc' }, limit: query.limit, populate: ['submission.task.exercise'] },
  );
  const unread = await em.count(Notification, { user: query.userId, readAt: null });
  const items = rows.map((row) => ({
    id: row.id,
    kind: row.kind,
    submissionId: row.submission?.id ?? null,
    exerciseTitle: row.submission?.$.task.$.exercise.$.title ?? null,
    createdAt: row.createdAt,
    readAt: row.readAt,
  }));
  return { items, unread };
}

/** Marks one of the user's notifications as read; again is no error. */
export async function markNotificationRead(em: Em, input: { userId: string; notificationId: string }): Promise<void> {
  const row = await em.findOne(Notification, { id: input.notificationId, user: input.userId });
  if (row === null) throw new DomainError('not-found', 'There is no such notification.');
  row.readAt ??= new Date();
  await em.flush();
}

/** All that a mail is written from. */
export interface DeliveryDetails {
  readonly id: string;
  readonly isDelivered: boolean;
  readonly kind: NotificationKind;
  readonly to: { readonly email: string; readonly name: string };
  readonly submissionId: string | null;
  readonly taskId: string | null;
  readonly exerciseTitle: string | null;
  readonly answerDueAt: Date | null;
}

export async function selectDelivery(em: Em, deliveryId: string): Promise<DeliveryDetails> {
  const row = await em.findOne(Delivery, deliveryId, {
    populate: ['notification.user', 'notification.submission.task.exercise'],
  });
  if (row === null) throw new DomainError('not-found', 'There is no such delivery.');
  const notification = row.notification.$;
  const submission = notification.submission?.$;
  return {
    id: row.id,
    isDelivered: row.deliveredAt !== null,
    kind: notification.kind,
    to: { email: notification.user.$.email, name: notification.user.$.name },
    submissionId: submission?.id ?? null,
    taskId: submission?.task.id ?? null,
    exerciseTitle: submission?.task.$.exercise.$.title ?? null,
    answerDueAt: submission?.answerDueAt ?? null,
  };
}

/** Safe to repeat: the first instant stays. */
export async function markDelivered(em: Em, deliveryId: string): Promise<void> {
  await em.nativeUpdate(Delivery, { id: deliveryId, deliveredAt: null }, { deliveredAt: new Date() });
}

/** Starts what the outbox of deliveries holds, as `relayUnstartedSubmissions` does for submissions. */
export async function relayUnstartedDeliveries(
  em: Em,
  limit: number,
  start: (delivery: DeliveryToStart) => Promise<void>,
): Promise<number> {
  const batch = await em.transactional(async (tx) => {
    const rows = await tx.find(
      Delivery,
      { startedAt: null },
      { limit, orderBy: { createdAt: 'asc' }, lockMode: LockMode.PESSIMISTIC_PARTIAL_WRITE },
    );
    return startEach(rows, start);
  });
  return countStarted(batch);
}
