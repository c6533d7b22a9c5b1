import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { Notification } from '../../src/database/entities/notifications.ts';
import type { NotificationKind } from '../../src/domain/notifications.ts';
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
