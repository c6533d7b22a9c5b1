import { LockMode, sql } from '@mikro-orm/core';
import { newId } from '../database/columns.ts';
import { CheckRun } from '../database/entities/check-runs.ts';
import { Delivery, Notification } from '../database/entities/notifications.ts';
import { Override, Review } from '../database/entities/reviews.ts';
import { Submission } from '../database/entities/submissions.ts';
import { User } from '../database/entities/users.ts';
import type { Em } from '../database/orm.ts';
import type { Verdict } from '../domain/check-runs.ts';
import { DomainError } from '../domain/errors.ts';
import {
  type DeliveryChannel,
  type DeliveryStatus,
  type DeliveryToStart,
  deliveryStatusOf,
  isDigested,
  isMailed,
  type NotificationKind,
  notificationKinds,
  type ReviewerNotificationKind,
} from '../domain/notifications.ts';
import type { OverridableStatus } from '../domain/tasks.ts';
import { type Actor, mayReview } from '../domain/users.ts';
import { currentTraceId } from '../trace.ts';
import { recordAudit } from './activity.ts';
import { countStarted, startEach } from './outbox.ts';

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

/** What waits for a reviewer, at the time of asking. */
export interface WaitingReviews {
  readonly count: number;
  /** Those due first. */
  readonly first: readonly { readonly exerciseTitle: string; readonly answerDueAt: Date | null; readonly isOverdue: boolean }[];
}

/** All that a mail is written from. */
export interface DeliveryDetails {
  readonly id: string;
  readonly isDelivered: boolean;
  /** Why it must not go out, for an admin; null where it may. */
  readonly obstacle: string | null;
  readonly kind: NotificationKind;
  readonly to: { readonly email: string; readonly name: string };
  readonly submissionId: string | null;
  readonly taskId: string | null;
  readonly exerciseTitle: string | null;
  /** What the exercise is worth. */
  readonly xp: number | null;
  readonly answerDueAt: Date | null;
  /** Of checks that failed. */
  readonly verdict: Verdict | null;
  /** The reviewer's comment or the admin's reason, as it was written. */
  readonly remark: string | null;
  /** What an override made of the task; `reassigned` where it is another user's now. */
  readonly overriddenTo: OverridableStatus | 'reassigned' | null;
  /** What a digest tells of; null where it is none. */
  readonly waiting: WaitingReviews | null;
}

/** @throws DomainError `not-found`. */
export async function selectDelivery(em: Em, deliveryId: string): Promise<DeliveryDetails> {
  const row = await em.findOne(Delivery, deliveryId, {
    populate: [
      'notification.user',
      'notification.task.exercise',
      'notification.task.revision',
      'notification.submission.task.exercise',
      'notification.submission.task.revision',
    ],
  });
  if (row === null) throw deliveryNotFound();
  const notification = row.notification.$;
  const user = notification.user.$;
  const submission = notification.submission?.$;
  const task = notification.task?.$ ?? submission?.task.$;
  const waiting = isDigest(notification) ? await selectWaitingReviews(em, user.id) : null;
  return {
    id: row.id,
    isDelivered: row.deliveredAt !== null,
    obstacle: obstacleOf(user, waiting),
    kind: notification.kind,
    to: { email: user.email, name: user.name },
    submissionId: submission?.id ?? null,
    taskId: task?.id ?? null,
    exerciseTitle: task?.exercise.$.title ?? null,
    xp: task?.revision.$.xp ?? null,
    answerDueAt: submission?.answerDueAt ?? null,
    ...(await selectCause(em, notification)),
    waiting,
  };
}

const isDigest = ({ kind, submission, user }: Notification) =>
  kind in isDigested && submission !== null && submission.getEntity().student.id !== user.id;

/** Who has left gets no mail of ours any more, and a reminder of what is done is none. */
function obstacleOf(user: User, waiting: WaitingReviews | null): string | null {
  if (user.erasedAt !== null) return 'not sent: the account is erased';
  if (user.disabledAt !== null) return 'not sent: the account is disabled';
  if (waiting !== null && !mayReview(user)) return 'not sent: the account reviews no more';
  if (waiting?.count === 0) return 'not sent: nothing waits for a review any more';
  return null;
}

/** What led to the notification: read when the mail is written, as no payload carries it. */
async function selectCause(
  em: Em,
  { kind, causeId, submission, user }: Notification,
): Promise<Pick<DeliveryDetails, 'verdict' | 'remark' | 'overriddenTo'>> {
  const none = { verdict: null, remark: null, overriddenTo: null };
  switch (kind) {
    case 'checks-failed': {
      const checkRun = await em.findOne(CheckRun, { submission }, { orderBy: { runNo: 'asc' } });
      return { ...none, verdict: checkRun?.verdict ?? null };
    }
    case 'approved':
    case 'rejected': {
      // The first one: an override that supersedes it has a notice of its own.
      const review = await em.findOne(Review, { submission }, { orderBy: { createdAt: 'asc', id: 'asc' } });
      return { ...none, remark: review?.comment ?? null };
    }
    case 'overridden': {
      const override = await em.findOneOrFail(Override, causeId);
      const isReassigned = override.assignee !== null && override.assignee.id !== user.id;
      return { ...none, remark: override.reason, overriddenTo: isReassigned ? 'reassigned' : override.status };
    }
    // The reason of a reassignment is about somebody else's work.
    case 'task-assigned':
    case 'welcome':
    case 'already-registered':
    case 'source-unavailable':
    case 'closed-by-admin':
    case 'in-review':
    case 'review-wanted':
    case 'review-reminder':
    case 'review-overdue':
      return none;
  }
}

/** So many are named; the rest is a number. */
const maxNamedReviews = 5;

async function selectWaitingReviews(em: Em, reviewerId: string): Promise<WaitingReviews> {
  const [rows, count] = await em.findAndCount(
    Submission,
    {
      student: { $ne: reviewerId },
      // What a colleague has claimed waits for the colleague.
      $or: [{ stage: 'AWAITING_REVIEW' }, { stage: 'UNDER_REVIEW', claimedBy: reviewerId }],
    },
    { orderBy: { answerDueAt: 'asc', id: 'asc' }, limit: maxNamedReviews, populate: ['task.exercise'] },
  );
  const now = new Date();
  const first = rows.map(({ task, answerDueAt }) => ({
    exerciseTitle: task.$.exercise.$.title,
    answerDueAt,
    isOverdue: answerDueAt !== null && answerDueAt < now,
  }));
  return { count, first };
}

const deliveryNotFound = () => new DomainError('not-found', 'There is no such delivery.');

/** Safe to repeat: the first instant stays. What was given up and arrives after all has arrived. */
export async function markDelivered(em: Em, deliveryId: string): Promise<void> {
  await em.nativeUpdate(Delivery, { id: deliveryId, deliveredAt: null }, { deliveredAt: new Date(), failedAt: null });
}

/** Keeps why the last try failed, for admins; `error` names no address. */
export async function recordDeliveryError(em: Em, deliveryId: string, error: string): Promise<void> {
  await em.nativeUpdate(Delivery, { id: deliveryId, deliveredAt: null }, { lastError: error });
}

/** Notes that a delivery is given up. Safe to repeat: the first instant stays, and what has arrived is not given up. */
export async function markFailed(em: Em, deliveryId: string, unknownError: string): Promise<void> {
  await em.transactional(async (tx) => {
    const row = await tx.findOne(Delivery, deliveryId, { lockMode: LockMode.PESSIMISTIC_WRITE });
    if (row === null || row.deliveredAt !== null) return;
    row.failedAt ??= new Date();
    row.lastError ??= unknownError;
  });
}

export interface DeliveryView {
  readonly id: string;
  readonly channel: DeliveryChannel;
  readonly status: DeliveryStatus;
  readonly kind: NotificationKind;
  /** Whom it is for; addresses are not shown. */
  readonly userId: string;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly failedAt: Date | null;
  readonly lastError: string | null;
  readonly workflowRunNo: number;
}

/** Deliveries that are on their way or given up, newest first. `before` is the id of the last one of the page before. */
export async function listDeliveries(
  em: Em,
  query: { status: 'pending' | 'failed'; limit: number; before?: string | undefined },
): Promise<DeliveryView[]> {
  const rows = await em.find(
    Delivery,
    {
      deliveredAt: null,
      failedAt: query.status === 'failed' ? { $ne: null } : null,
      ...(query.before === undefined ? {} : { id: { $lt: query.before } }),
    },
    { orderBy: { id: 'desc' }, limit: query.limit, populate: ['notification'] },
  );
  return rows.map((row) => ({
    id: row.id,
    channel: row.channel,
    status: deliveryStatusOf(row),
    kind: row.notification.$.kind,
    userId: row.notification.$.user.id,
    createdAt: row.createdAt,
    startedAt: row.startedAt,
    failedAt: row.failedAt,
    lastError: row.lastError,
    workflowRunNo: row.workflowRunNo,
  }));
}

/**
 * Puts a delivery that was given up back into the outbox, in the caller's transaction: the relay starts another workflow for it. Its
 * Message-ID stays, so what did arrive after all is not shown twice.
 *
 * @throws DomainError `not-found`, `invalid-state` where it is not given up.
 */
export async function retryDelivery(em: Em, actor: Actor, deliveryId: string): Promise<void> {
  const row = await em.findOne(Delivery, deliveryId, { lockMode: LockMode.PESSIMISTIC_WRITE });
  if (row === null) throw deliveryNotFound();
  if (deliveryStatusOf(row) !== 'failed') throw new DomainError('invalid-state', 'Only a delivery that failed is tried again.');
  row.workflowRunNo += 1;
  row.startedAt = null;
  row.failedAt = null;
  const data = { workflowRunNo: row.workflowRunNo };
  recordAudit(em, { action: 'delivery.retried', actorId: actor.id, target: { kind: 'delivery', id: row.id }, via: 'api', data });
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
