import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { Delivery, Notification } from '../../src/database/entities/notifications.ts';
import { AuditEntry } from '../../src/database/entities/operations.ts';
import type { NotificationKind } from '../../src/domain/notifications.ts';
import { markDelivered, markFailed } from '../../src/services/deliveries.ts';
import { notify as tell } from '../../src/services/notifications.ts';
import { createUser } from '../support/factories.ts';
import { answerOf, as, createSubmissionInReview, expectProblem, signIn, startApi, type TestApi } from './support.ts';

let api: TestApi;

beforeAll(async () => {
  api = await startApi();
});

afterAll(() => api.close());

interface Page {
  readonly items: { readonly id: string; readonly kind: NotificationKind; readonly readAt: string | null }[];
  readonly unread: number;
}

/** As many notifications, the last of them the newest; returns their ids from the newest on. */
async function notify(userId: string, count: number): Promise<string[]> {
  const em = api.orm.em.fork();
  const ids = Array.from({ length: count }, newId).toSorted();
  for (const id of ids) {
    em.create(Notification, {
      id,
      createdAt: new Date(),
      user: userId,
      kind: 'welcome',
      causeId: newId(),
      submission: null,
      readAt: null,
    });
  }
  await em.flush();
  return ids.toReversed();
}

describe('notifications', () => {
  test('come newest first, page by page', async () => {
    const user = await createUser(api.orm, 'INSTRUCTOR');
    const ids = await notify(user.id, 5);
    const client = as(api, await signIn(api, user));
    const first = (await client.get('/api/notifications?limit=2')).body as Page;
    const second = (await client.get(`/api/notifications?limit=100&before=${first.items[1]?.id}`)).body as Page;
    expect([...first.items, ...second.items].map(({ id }) => id)).toEqual(ids);
    expect([first.unread, second.unread]).toEqual([5, 5]);
  });

  test('twenty are a page unless it is said', async () => {
    const user = await createUser(api.orm, 'INSTRUCTOR');
    await notify(user.id, 21);
    const page = (await as(api, await signIn(api, user)).get('/api/notifications')).body as Page;
    expect(page.items).toHaveLength(20);
    expect(page.unread).toBe(21);
  });

  test('are one’s own, with somebody else’s id as cursor too', async () => {
    const [ann, bob] = [await createUser(api.orm, 'INSTRUCTOR'), await createUser(api.orm, 'INSTRUCTOR')];
    const own = await notify(ann.id, 2);
    const [newer] = await notify(bob.id, 1);
    const page = (await as(api, await signIn(api, ann)).get(`/api/notifications?before=${newer}`)).body as Page;
    expect(page.items.map(({ id }) => id)).toEqual(own);
  });

  test('name the exercise and the submission that they are about', async () => {
    const { student, submissionId } = await createSubmissionInReview(api);
    const { body } = answerOf(await as(api, await signIn(api, student)).get('/api/notifications'));
    expect(body).toMatchObject({ items: [{ kind: 'in-review', submissionId, exerciseTitle: 'Night bus board', readAt: null }] });
  });

  test('are read once: the first instant stays', async () => {
    const user = await createUser(api.orm, 'INSTRUCTOR');
    const [newest] = await notify(user.id, 2);
    const client = as(api, await signIn(api, user));
    expect((await client.post(`/api/notifications/${newest}/read`)).status).toBe(204);
    const once = (await client.get('/api/notifications')).body as Page;
    expect((await client.post(`/api/notifications/${newest}/read`)).status).toBe(204);
    const twice = (await client.get('/api/notifications')).body as Page;
    expect(once.items.map(({ readAt }) => readAt)).toEqual([expect.any(String), null]);
    expect(once.unread).toBe(1);
    expect(twice).toEqual(once);
  });

  test('of others stay unread', async () => {
    const [ann, bob] = [await createUser(api.orm, 'INSTRUCTOR'), await createUser(api.orm, 'INSTRUCTOR')];
    const [id] = await notify(ann.id, 1);
    expectProblem(await as(api, await signIn(api, bob)).post(`/api/notifications/${id}/read`), 404, 'not-found');
    expect(await api.orm.em.fork().findOneOrFail(Notification, id ?? '')).toMatchObject({ readAt: null });
  });
});

describe('reading all', () => {
  test('marks what is there, and says that nothing is left', async () => {
    const user = await createUser(api.orm, 'INSTRUCTOR');
    await notify(user.id, 3);
    const client = as(api, await signIn(api, user));
    expect(answerOf(await client.post('/api/notifications/read'))).toEqual({ status: 200, body: { unread: 0 } });
    const page = (await client.get('/api/notifications')).body as Page;
    expect(page.items.every(({ readAt }) => readAt !== null)).toBe(true);
    expect(answerOf(await client.post('/api/notifications/read', {}))).toEqual({ status: 200, body: { unread: 0 } });
  });

  test('up to one leaves what came after it', async () => {
    const user = await createUser(api.orm, 'INSTRUCTOR');
    const [, second] = await notify(user.id, 3);
    const client = as(api, await signIn(api, user));
    expect(answerOf(await client.post('/api/notifications/read', { upTo: second }))).toEqual({
      status: 200,
      body: { unread: 1 },
    });
    const page = (await client.get('/api/notifications')).body as Page;
    expect(page.items.map(({ readAt }) => readAt !== null)).toEqual([false, true, true]);
  });

  test('leaves those of others, with one of theirs as the limit too', async () => {
    const [ann, bob] = [await createUser(api.orm, 'INSTRUCTOR'), await createUser(api.orm, 'INSTRUCTOR')];
    await notify(ann.id, 1);
    const [newer] = await notify(bob.id, 1);
    expect((await as(api, await signIn(api, ann)).post('/api/notifications/read', { upTo: newer })).body).toEqual({ unread: 0 });
    expect(await api.orm.em.fork().findOneOrFail(Notification, newer ?? '')).toMatchObject({ readAt: null });
  });

  test.each([{ upTo: 'x' }, { upTo: null }, { upTo: [] }, { id: newId() }])('%j is refused', async (body) => {
    const user = await createUser(api.orm, 'INSTRUCTOR');
    expectProblem(await as(api, await signIn(api, user)).post('/api/notifications/read', body), 422, 'validation');
  });
});

/** A notification that is mailed; returns the id of its delivery. */
async function createDelivery(userId: string): Promise<string> {
  const em = api.orm.em.fork();
  const causeId = newId();
  await em.transactional((tx) => tell(tx, { userId, kind: 'welcome', causeId }));
  return (await em.findOneOrFail(Delivery, { notification: { causeId } })).id;
}

describe('deliveries', () => {
  test('are shown to the one whom they are for, with how they stand', async () => {
    const user = await createUser(api.orm, 'INSTRUCTOR');
    const client = as(api, await signIn(api, user));
    const [sent, failed] = [await createDelivery(user.id), await createDelivery(user.id)];
    await createDelivery(user.id);
    await markDelivered(api.orm.em.fork(), sent);
    await markFailed(api.orm.em.fork(), failed, 'RCPT TO: 550 no such user');
    await notify(user.id, 1);
    const response = await client.get('/api/notifications');
    const { items } = response.body as { items: { deliveries: unknown }[] };
    expect(items.map(({ deliveries }) => deliveries)).toEqual([
      [],
      [{ channel: 'mail', status: 'pending' }],
      [{ channel: 'mail', status: 'failed' }],
      [{ channel: 'mail', status: 'sent' }],
    ]);
    // What the mail server says is for admins.
    expect(response.text).not.toContain('no such user');
  });

  test('that failed are listed for admins, with the error and the workflow, without addresses', async () => {
    const user = await createUser(api.orm);
    const id = await createDelivery(user.id);
    await markFailed(api.orm.em.fork(), id, 'RCPT TO: 550 no such user');
    const admin = as(api, await signIn(api, await createUser(api.orm, 'SUPER_ADMIN')));
    const response = await admin.get('/api/admin/deliveries?limit=1');
    expect(answerOf(response)).toMatchObject({
      status: 200,
      body: {
        items: [
          {
            id,
            channel: 'mail',
            status: 'failed',
            kind: 'welcome',
            userId: user.id,
            lastError: 'RCPT TO: 550 no such user',
            failedAt: expect.any(String),
            workflow: { id: `delivery-${id}`, url: null },
          },
        ],
      },
    });
    expect(response.text).not.toContain(user.email);
    const pending = await createDelivery(user.id);
    expect(answerOf(await admin.get('/api/admin/deliveries?status=pending&limit=1'))).toMatchObject({
      body: { items: [{ id: pending, status: 'pending' }] },
    });
    expectProblem(await admin.get('/api/admin/deliveries?status=sent'), 422, 'validation');
  });

  test('that failed are tried again once for one key, and leave an audit entry', async () => {
    const user = await createUser(api.orm);
    const id = await createDelivery(user.id);
    await markFailed(api.orm.em.fork(), id, 'no');
    const actor = await createUser(api.orm, 'SUPER_ADMIN');
    const admin = as(api, await signIn(api, actor));
    const key = newId();
    const retry = () => admin.post(`/api/admin/deliveries/${id}/retry`).set('Idempotency-Key', key);
    const [first, second] = [await retry(), await retry()];
    expect(answerOf(first)).toEqual({ status: 202, body: { status: 'retrying' } });
    expect(answerOf(second)).toEqual(answerOf(first));
    expect([first, second].map(({ headers }) => (headers as Record<string, unknown>)['idempotency-replayed'])).toEqual([
      undefined,
      'true',
    ]);
    expect(await api.orm.em.fork().findOneOrFail(Delivery, id)).toMatchObject({
      workflowRunNo: 2,
      startedAt: null,
      failedAt: null,
    });
    expect(await api.orm.em.fork().count(AuditEntry, { targetId: id, action: 'delivery.retried', actorId: actor.id })).toBe(1);
    expectProblem(await admin.post(`/api/admin/deliveries/${id}/retry`), 409, 'invalid-state');
  });
});
