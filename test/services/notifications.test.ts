import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { Delivery, Notification } from '../../src/database/entities/notifications.ts';
import type { NotificationKind } from '../../src/domain/notifications.ts';
import { markDelivered, relayUnstartedDeliveries, selectDelivery } from '../../src/services/deliveries.ts';
import { listNotifications, markNotificationRead, notify } from '../../src/services/notifications.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createUser, publishDemoCourse } from '../support/factories.ts';
import { createAttemptInReview, unknownId } from './support.ts';

let database: TestDatabase;
let userId: string;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
});

afterAll(() => database.close());

beforeEach(async () => {
  userId = (await createUser(database.orm)).id;
});

const em = () => database.orm.em.fork();
const tell = (kind: NotificationKind, causeId: string = newId(), to = userId) =>
  em().transactional((tx) => notify(tx, { userId: to, kind, causeId }));
const list = (limit = 50, before?: string) => listNotifications(em(), { userId, limit, before });
const deliveriesOf = (id: string) => em().find(Delivery, { notification: { user: id } }, { orderBy: { id: 'asc' } });

describe('notify', () => {
  it('tells of an event once, within a transaction and after it', async () => {
    const causeId = newId();
    await em().transactional(async (tx) => {
      await notify(tx, { userId, kind: 'approved', causeId });
      await notify(tx, { userId, kind: 'approved', causeId });
    });
    await tell('approved', causeId);
    expect((await list()).items).toHaveLength(1);
    expect(await deliveriesOf(userId)).toHaveLength(1);
  });

  it('takes another kind, cause or user for another event', async () => {
    const causeId = newId();
    const other = await createUser(database.orm);
    await tell('approved', causeId);
    await tell('rejected', causeId);
    await tell('approved');
    await tell('approved', causeId, other.id);
    expect((await list()).items.map(({ kind }) => kind)).toEqual(['approved', 'rejected', 'approved']);
  });

  it.each([
    ['review-wanted', 0],
    ['review-reminder', 0],
    ['review-overdue', 1],
    ['checks-failed', 1],
  ] as const)('of kind %s makes %i mails', async (kind, mails) => {
    await tell(kind);
    expect((await list()).items).toHaveLength(1);
    expect(await deliveriesOf(userId)).toHaveLength(mails);
  });
});

describe('listNotifications', () => {
  it('gives the own ones page by page, newest first', async () => {
    for (const kind of ['welcome', 'in-review', 'review-overdue', 'rejected', 'approved'] as const) await tell(kind);
    await tell('welcome', newId(), (await createUser(database.orm)).id);
    const first = await list(2);
    const second = await list(2, first.items.at(-1)?.id);
    const third = await list(2, second.items.at(-1)?.id);
    const kinds = [first, second, third].map(({ items }) => items.map(({ kind }) => kind));
    expect(kinds).toEqual([['approved', 'rejected'], ['review-overdue', 'in-review'], ['welcome']]);
    expect((await list(2, third.items.at(-1)?.id)).items).toEqual([]);
  });

  it('names the exercise where it is about a submission', async () => {
    const { student, submissionId } = await createAttemptInReview(database.orm);
    const { items } = await listNotifications(em(), { userId: student.id, limit: 10 });
    expect(items).toMatchObject([{ kind: 'in-review', submissionId, exerciseTitle: 'Night bus board', readAt: null }]);
  });
});

describe('markNotificationRead', () => {
  it('notes the first time, and counts down what is unread', async () => {
    await tell('welcome');
    await tell('approved');
    const { items, unread } = await list();
    expect(unread).toBe(2);
    const notificationId = items[0]?.id ?? '';
    await markNotificationRead(em(), { userId, notificationId });
    const read = await list();
    expect(read.unread).toBe(1);
    expect(read.items[0]?.readAt).toBeInstanceOf(Date);
    await markNotificationRead(em(), { userId, notificationId });
    expect(await list()).toEqual(read);
  });

  it('is for the own ones', async () => {
    await tell('welcome');
    const { items } = await list();
    const [other, notificationId] = [await createUser(database.orm), items[0]?.id ?? ''];
    await expect(markNotificationRead(em(), { userId: other.id, notificationId })).rejects.toMatchObject({ kind: 'not-found' });
    await expect(markNotificationRead(em(), { userId, notificationId: unknownId })).rejects.toMatchObject({ kind: 'not-found' });
    expect((await list()).unread).toBe(1);
  });
});

describe('deliveries', () => {
  beforeEach(async () => {
    await em().nativeUpdate(Delivery, { startedAt: null }, { startedAt: new Date() });
  });

  it('are started once, oldest first; one whose start failed is left for the next time', async () => {
    await tell('welcome');
    await tell('approved');
    const ids = (await deliveriesOf(userId)).map(({ id }) => id);
    await expect(relayUnstartedDeliveries(em(), 20, () => Promise.reject(new Error('Temporal is away')))).rejects.toThrow('away');
    const started: string[] = [];
    const relay = (limit: number) => relayUnstartedDeliveries(em(), limit, async ({ id }) => void started.push(id));
    expect([await relay(1), await relay(20), await relay(20)]).toEqual([1, 1, 0]);
    expect(started).toEqual(ids);
  });

  it('that one relay holds are skipped by another', async () => {
    await tell('welcome');
    let second: number | undefined;
    const first = await relayUnstartedDeliveries(em(), 20, async () => {
      second = await relayUnstartedDeliveries(em(), 20, () => Promise.reject(new Error('started twice')));
    });
    expect([first, second]).toEqual([1, 0]);
  });

  it('tell all that a mail is written from, and keep the first instant of arrival', async () => {
    const { student, submissionId, taskId } = await createAttemptInReview(database.orm);
    const [delivery] = await deliveriesOf(student.id);
    const id = delivery?.id ?? '';
    expect(await selectDelivery(em(), id)).toMatchObject({
      isDelivered: false,
      kind: 'in-review',
      to: { email: student.email },
      submissionId,
      taskId,
      exerciseTitle: 'Night bus board',
      answerDueAt: expect.any(Date),
    });
    await markDelivered(em(), id);
    const { deliveredAt } = await em().findOneOrFail(Delivery, id);
    await markDelivered(em(), id);
    expect((await em().findOneOrFail(Delivery, id)).deliveredAt).toEqual(deliveredAt);
    expect(await selectDelivery(em(), id)).toMatchObject({ isDelivered: true });
    await expect(selectDelivery(em(), unknownId)).rejects.toMatchObject({ kind: 'not-found' });
    expect(await em().count(Notification, { submission: submissionId, user: student.id })).toBe(1);
  });
});
