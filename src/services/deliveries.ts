import { LockMode } from '@mikro-orm/core';
import { CheckRun } from '../database/entities/check-runs.ts';
import { Delivery, type Notification } from '../database/entities/notifications.ts';
import { Override, Review } from '../database/entities/reviews.ts';
import { Submission } from '../database/entities/submissions.ts';
import type { User } from '../database/entities/users.ts';
import type { Em } from '../database/orm.ts';
import type { Verdict } from '../domain/check-runs.ts';
import { DomainError } from '../domain/errors.ts';
import {
  type DeliveryChannel,
  type DeliveryStatus,
  type DeliveryToStart,
  deliveryStatusOf,
  isDigested,
  type NotificationKind,
} from '../domain/notifications.ts';
import type { OverridableStatus } from '../domain/tasks.ts';
import { type Actor, mayReview } from '../domain/users.ts';
import { recordAudit } from './activity.ts';
import { countStarted, startEach } from './outbox.ts';

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
