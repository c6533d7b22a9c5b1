import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { Delivery, Notification } from '../../src/database/entities/notifications.ts';
import { AuditEntry } from '../../src/database/entities/operations.ts';
import { Override } from '../../src/database/entities/reviews.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { User } from '../../src/database/entities/users.ts';
import type { DeliveryToStart, NotificationKind } from '../../src/domain/notifications.ts';
import type { OverridableStatus } from '../../src/domain/tasks.ts';
import { insertCheckRun } from '../../src/services/check-runs.ts';
import {
  listDeliveries,
  markDelivered,
  markFailed,
  recordDeliveryError,
  relayUnstartedDeliveries,
  retryDelivery,
  selectDelivery,
} from '../../src/services/deliveries.ts';
import { listNotifications, markNotificationsRead, notify } from '../../src/services/notifications.ts';
import { commitOverride } from '../../src/services/overrides.ts';
import { commitDecision, requestDecision } from '../../src/services/reviews.ts';
import { concludeWithoutReview, remindReviewers, selectSubmissionForWorkflow } from '../../src/services/submissions.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createStudentWithTask, createUser, publishDemoCourse } from '../support/factories.ts';
import { createAttempt, createAttemptInReview, race, unknownId } from './support.ts';
import { judgedChecks } from '../support/check-runs.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
});

afterAll(() => database.close());

const em = () => database.orm.em.fork();
const reviewer = () => createUser(database.orm, 'ACADEMY_REVIEWER');
const admin = () => createUser(database.orm, 'SUPER_ADMIN');

/** Of all that a user is told by mail, in order. */
async function mailsOf(userId: string): Promise<{ id: string; kind: NotificationKind }[]> {
  const rows = await em().find(
    Delivery,
    { notification: { user: userId } },
    { orderBy: { id: 'asc' }, populate: ['notification'] },
  );
  return rows.map(({ id, notification }) => ({ id, kind: notification.$.kind }));
}

/** What the mail about an event is written from. */
async function detailsOf(userId: string, kind: NotificationKind) {
  const delivery = await em().findOneOrFail(Delivery, { notification: { user: userId, kind } });
  return selectDelivery(em(), delivery.id);
}

async function createDelivery(): Promise<string> {
  const { id } = await createUser(database.orm);
  await em().transactional((tx) => notify(tx, { userId: id, kind: 'welcome', causeId: id }));
  return (await mailsOf(id))[0]?.id ?? '';
}

async function decide(submissionId: string, outcome: 'APPROVED' | 'REJECTED', comment: string): Promise<void> {
  const actor = await reviewer();
  const { requestId } = await requestDecision(em(), actor, { submissionId, outcome, comment, key: null });
  await commitDecision(em(), { submissionId, requestId, actorId: actor.id, outcome, via: 'api' });
}

/** An admin's word on a task, applied. */
async function override(
  taskId: string,
  about: { status: OverridableStatus; assigneeId?: string; submissionId?: string; reason: string },
): Promise<void> {
  const fork = em();
  const row = fork.create(Override, {
    id: newId(),
    createdAt: new Date(),
    task: taskId,
    actor: (await admin()).id,
    status: about.status,
    assignee: about.assigneeId ?? null,
    submission: about.submissionId ?? null,
    reason: about.reason,
    via: 'api',
    startedAt: null,
    appliedAt: null,
    traceId: null,
  });
  await fork.flush();
  await commitOverride(em(), row.id);
}

describe('what a mail is written from', () => {
  it.each([
    ['APPROVED', 'approved'],
    ['REJECTED', 'rejected'],
  ] as const)('%s: the comment of the reviewer, whatever an admin says later', async (outcome, kind) => {
    const { student, taskId, submissionId } = await createAttemptInReview(database.orm);
    await decide(submissionId, outcome, 'Midnight <b>is</b> missing.');
    const status = outcome === 'APPROVED' ? 'REJECTED' : 'APPROVED';
    await override(taskId, { status, submissionId, reason: 'Looked at again.' });
    expect(await detailsOf(student.id, kind)).toMatchObject({
      remark: 'Midnight <b>is</b> missing.',
      exerciseTitle: 'Night bus board',
      xp: expect.any(Number),
      submissionId,
    });
    expect(await detailsOf(student.id, 'overridden')).toMatchObject({
      remark: 'Looked at again.',
      overriddenTo: status,
      exerciseTitle: 'Night bus board',
    });
  });

  it('an override before any submission names the exercise and the task', async () => {
    const { student, taskId } = await createStudentWithTask(database.orm);
    await override(taskId, { status: 'APPROVED', reason: 'Shown in class.' });
    expect(await detailsOf(student.id, 'overridden')).toMatchObject({
      submissionId: null,
      taskId,
      exerciseTitle: 'Night bus board',
      overriddenTo: 'APPROVED',
      remark: 'Shown in class.',
    });
  });

  it('a reassignment tells the one who had the task why, and the new one nothing of that', async () => {
    const { student, taskId } = await createStudentWithTask(database.orm);
    const { id: assigneeId } = await createUser(database.orm, 'INSTRUCTOR');
    await override(taskId, { status: 'TODO', assigneeId, reason: 'Ann is ill.' });
    expect(await detailsOf(student.id, 'overridden')).toMatchObject({ overriddenTo: 'reassigned', remark: 'Ann is ill.' });
    expect(await detailsOf(assigneeId, 'task-assigned')).toMatchObject({
      exerciseTitle: 'Night bus board',
      taskId,
      remark: null,
      overriddenTo: null,
    });
  });

  it('failed checks say what failed', async () => {
    const { student, submissionId } = await createAttempt(database.orm);
    const { revisionId } = await selectSubmissionForWorkflow(em(), submissionId);
    await insertCheckRun(em(), {
      submissionId,
      revisionId,
      runNo: 1,
      ...judgedChecks({ verdict: 'time-limit' }),
      score: null,
      sandboxKind: 'docker',
      sandboxIdentity: 'sha256:0',
      runs: [],
      startedAt: new Date(),
    });
    await concludeWithoutReview(em(), { submissionId, conclusion: 'checks-failed' });
    expect(await detailsOf(student.id, 'checks-failed')).toMatchObject({ verdict: 'time-limit', submissionId });
  });

  it('no delivery, no mail', async () => {
    await expect(selectDelivery(em(), unknownId)).rejects.toMatchObject({ kind: 'not-found' });
  });

  it.each([
    ['disabledAt', 'not sent: the account is disabled'],
    ['erasedAt', 'not sent: the account is erased'],
  ] as const)('an account with %s is an obstacle', async (column, obstacle) => {
    const id = await createDelivery();
    expect(await selectDelivery(em(), id)).toMatchObject({ obstacle: null });
    const { notification } = await em().findOneOrFail(Delivery, id, { populate: ['notification'] });
    await em().nativeUpdate(User, { id: notification.$.user.id }, { [column]: new Date() });
    expect(await selectDelivery(em(), id)).toMatchObject({ obstacle });
  });
});

describe('reviewers', () => {
  /** Nothing of other tests waits. */
  beforeEach(async () => {
    await em().nativeUpdate(Submission, { stage: ['AWAITING_REVIEW', 'UNDER_REVIEW'] }, { stage: 'CLOSED' });
    await em().nativeUpdate(User, { role: 'ACADEMY_REVIEWER' }, { disabledAt: new Date() });
  });

  const remind = (submissionId: string, kind: 'review-reminder' | 'review-overdue' = 'review-reminder') =>
    remindReviewers(em(), { submissionId, kind });
  const told = async (userId: string) =>
    (await em().find(Notification, { user: userId }, { orderBy: { id: 'asc' } })).map(({ kind }) => kind);

  it('get one digest a day, of all that waits, however many submissions do', async () => {
    const { id } = await reviewer();
    const attempts = [];
    for (let count = 0; count < 7; count += 1) attempts.push(await createAttemptInReview(database.orm));
    expect(await mailsOf(id)).toEqual([]);
    for (const { submissionId } of attempts) await remind(submissionId);
    await remind(attempts[0]?.submissionId ?? '', 'review-overdue');
    expect((await told(id)).filter((kind) => kind !== 'review-wanted')).toHaveLength(8);
    const mails = await mailsOf(id);
    expect(mails.map(({ kind }) => kind)).toEqual(['review-reminder']);
    const { waiting } = await selectDelivery(em(), mails[0]?.id ?? '');
    expect(waiting).toMatchObject({ count: 7 });
    expect(waiting?.first).toHaveLength(5);
    expect(waiting?.first[0]).toMatchObject({ exerciseTitle: 'Night bus board', isOverdue: false });
  });

  it('get the next one a day later, and at once where the last one failed', async () => {
    const { id } = await reviewer();
    const [first, second, third] = await Promise.all([1, 2, 3].map(() => createAttemptInReview(database.orm)));
    await remind(first?.submissionId ?? '');
    const yesterday = new Date(Date.now() - 25 * 3_600_000);
    await em().nativeUpdate(Delivery, { notification: { user: id } }, { createdAt: yesterday });
    await remind(second?.submissionId ?? '');
    const mails = await mailsOf(id);
    expect(mails).toHaveLength(2);
    await markFailed(em(), mails[1]?.id ?? '', 'no');
    await remind(third?.submissionId ?? '');
    expect(await mailsOf(id)).toHaveLength(3);
  });

  it('get one digest when many submissions come due at once', async () => {
    const { id } = await reviewer();
    const attempts = await Promise.all([1, 2, 3, 4, 5, 6].map(() => createAttemptInReview(database.orm)));
    await race(attempts.length, (index) => remind(attempts[index]?.submissionId ?? ''));
    expect((await told(id)).filter((kind) => kind === 'review-reminder')).toHaveLength(6);
    expect(await mailsOf(id)).toHaveLength(1);
  });

  it('are not reminded of what is done, of their own work, or of what a colleague has claimed', async () => {
    const { id } = await reviewer();
    const colleague = await reviewer();
    const { submissionId } = await createAttemptInReview(database.orm);
    await remind(submissionId);
    const [mail] = await mailsOf(id);
    const details = () => selectDelivery(em(), mail?.id ?? '');
    expect(await details()).toMatchObject({ obstacle: null, waiting: { count: 1 } });
    await em().nativeUpdate(Submission, submissionId, { stage: 'UNDER_REVIEW', claimedBy: id });
    expect(await details()).toMatchObject({ obstacle: null, waiting: { count: 1 } });
    await em().nativeUpdate(Submission, submissionId, { claimedBy: colleague.id });
    expect(await details()).toMatchObject({ obstacle: 'not sent: nothing waits for a review any more' });
    await em().nativeUpdate(Submission, submissionId, { stage: 'AWAITING_REVIEW', claimedBy: null, student: id });
    expect(await details()).toMatchObject({ waiting: null });
  });

  it('who review no more are not reminded', async () => {
    const { id } = await reviewer();
    const { submissionId } = await createAttemptInReview(database.orm);
    await remind(submissionId);
    await em().nativeUpdate(User, { id }, { role: 'CODING_STUDENT' });
    expect(await selectDelivery(em(), (await mailsOf(id))[0]?.id ?? '')).toMatchObject({
      obstacle: 'not sent: the account reviews no more',
    });
  });

  it('and the student: each answer that is late is a mail of its own to whom it was promised', async () => {
    const attempts = [await createAttemptInReview(database.orm), await createAttemptInReview(database.orm)];
    for (const { student, submissionId } of attempts) {
      await remind(submissionId);
      await remind(submissionId, 'review-overdue');
      expect((await mailsOf(student.id)).map(({ kind }) => kind)).toEqual(['in-review', 'review-overdue']);
      expect(await detailsOf(student.id, 'review-overdue')).toMatchObject({ waiting: null, answerDueAt: expect.any(Date) });
    }
  });
});

describe('the status of a delivery', () => {
  it('is shown with the notification, channel by channel', async () => {
    const { id: userId } = await createUser(database.orm);
    await em().transactional(async (tx) => {
      for (const kind of ['review-wanted', 'welcome', 'approved', 'rejected'] as const) {
        await notify(tx, { userId, kind, causeId: newId() });
      }
    });
    const mails = await mailsOf(userId);
    const idOf = (kind: NotificationKind) => mails.find((mail) => mail.kind === kind)?.id ?? '';
    await markDelivered(em(), idOf('approved'));
    await markFailed(em(), idOf('rejected'), 'no');
    const { items } = await listNotifications(em(), { userId, limit: 10 });
    expect(Object.fromEntries(items.map(({ kind, deliveries }) => [kind, deliveries]))).toEqual({
      'review-wanted': [],
      welcome: [{ channel: 'mail', status: 'pending' }],
      approved: [{ channel: 'mail', status: 'sent' }],
      rejected: [{ channel: 'mail', status: 'failed' }],
    });
  });

  it('keeps the last error while it is tried, and the one that ended it', async () => {
    const id = await createDelivery();
    const row = () => em().findOneOrFail(Delivery, id);
    await recordDeliveryError(em(), id, 'first');
    await recordDeliveryError(em(), id, 'second');
    expect(await row()).toMatchObject({ lastError: 'second', failedAt: null });
    await markFailed(em(), id, 'unknown');
    expect(await row()).toMatchObject({ lastError: 'second', failedAt: expect.any(Date) });
  });
});

describe('listDeliveries', () => {
  beforeEach(async () => {
    await em().nativeUpdate(Delivery, { deliveredAt: null }, { deliveredAt: new Date() });
  });

  it('shows what is given up and what is on its way, page by page, newest first', async () => {
    const ids = [await createDelivery(), await createDelivery(), await createDelivery(), await createDelivery()];
    const [sent = '', failed = '', ...pending] = ids;
    await markDelivered(em(), sent);
    await markFailed(em(), failed, 'RCPT TO: 550 no');
    expect(await listDeliveries(em(), { status: 'failed', limit: 10 })).toMatchObject([
      { id: failed, status: 'failed', kind: 'welcome', channel: 'mail', lastError: 'RCPT TO: 550 no', workflowRunNo: 1 },
    ]);
    const first = await listDeliveries(em(), { status: 'pending', limit: 1 });
    const second = await listDeliveries(em(), { status: 'pending', limit: 10, before: first[0]?.id });
    expect([...first, ...second].map(({ id }) => id)).toEqual(pending.toReversed());
    expect(JSON.stringify([first, second])).not.toContain('@');
  });
});

describe('retryDelivery', () => {
  const retry = (actor: Parameters<typeof retryDelivery>[1], id: string) =>
    em().transactional((tx) => retryDelivery(tx, actor, id));

  beforeEach(async () => {
    await em().nativeUpdate(Delivery, { startedAt: null }, { startedAt: new Date() });
  });

  it('puts it back into the outbox, for a workflow of the next number, with an audit entry', async () => {
    const id = await createDelivery();
    const started: DeliveryToStart[] = [];
    const relay = () =>
      relayUnstartedDeliveries(em(), 20, async (delivery) => {
        started.push({ id: delivery.id, workflowRunNo: delivery.workflowRunNo });
      });
    await relay();
    await markFailed(em(), id, 'RCPT TO: 550 no');
    const actor = await admin();
    await retry(actor, id);
    expect(await em().findOneOrFail(Delivery, id)).toMatchObject({
      failedAt: null,
      startedAt: null,
      lastError: 'RCPT TO: 550 no',
    });
    await relay();
    expect(started).toEqual([
      { id, workflowRunNo: 1 },
      { id, workflowRunNo: 2 },
    ]);
    expect(await em().find(AuditEntry, { targetId: id })).toMatchObject([
      { action: 'delivery.retried', actorId: actor.id, targetKind: 'delivery', via: 'api', data: { workflowRunNo: 2 } },
    ]);
  });

  it('is for what failed', async () => {
    const actor = await admin();
    await expect(retry(actor, unknownId)).rejects.toMatchObject({ kind: 'not-found' });
    const pending = await createDelivery();
    await expect(retry(actor, pending)).rejects.toMatchObject({ kind: 'invalid-state' });
    await markDelivered(em(), pending);
    await expect(retry(actor, pending)).rejects.toMatchObject({ kind: 'invalid-state' });
  });

  it('of many at once starts one more workflow', async () => {
    const id = await createDelivery();
    await markFailed(em(), id, 'no');
    const actor = await admin();
    const { returned, refused } = await race(5, () => retry(actor, id));
    expect([returned.length, refused]).toEqual([1, Array(4).fill('invalid-state')]);
    expect(await em().findOneOrFail(Delivery, id)).toMatchObject({ workflowRunNo: 2 });
  });
});

describe('markNotificationsRead', () => {
  it('reads all up to one of them, and only the own ones', async () => {
    const [{ id: userId }, other] = [await createUser(database.orm), await createUser(database.orm)];
    const tell = (id: string, kind: NotificationKind) =>
      em().transactional((tx) => notify(tx, { userId: id, kind, causeId: newId() }));
    for (const kind of ['welcome', 'in-review', 'approved'] as const) await tell(userId, kind);
    await tell(other.id, 'welcome');
    const { items } = await listNotifications(em(), { userId, limit: 10 });
    expect(await markNotificationsRead(em(), { userId, upTo: items[1]?.id })).toEqual({ unread: 1 });
    const read = await listNotifications(em(), { userId, limit: 10 });
    expect(read.items.map(({ kind, readAt }) => [kind, readAt !== null])).toEqual([
      ['approved', false],
      ['in-review', true],
      ['welcome', true],
    ]);
    expect(await markNotificationsRead(em(), { userId })).toEqual({ unread: 0 });
    const all = await listNotifications(em(), { userId, limit: 10 });
    expect(all.items[2]?.readAt).toEqual(read.items[2]?.readAt);
    expect(await listNotifications(em(), { userId: other.id, limit: 10 })).toMatchObject({ unread: 1 });
  });
});
