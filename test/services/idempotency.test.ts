import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { Activity, IdempotencyKey } from '../../src/database/entities/operations.ts';
import type { Em } from '../../src/database/orm.ts';
import { recordActivity } from '../../src/services/activity.ts';
import { type KeyedRequest, once } from '../../src/services/idempotency.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { waitFor } from '../support/wait.ts';
import { race } from './support.ts';

let database: TestDatabase;
/** What each effect of a test is about, so that a test counts its own. */
let taskId: string;
let request: KeyedRequest;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(() => database.close());

beforeEach(() => {
  taskId = newId();
  request = { userId: newId(), route: 'post /tasks', key: 'a-key', body: { ref: 'main' } };
});

let answers = 0;

/** Writes one row; its answer is another each time. */
async function effect(tx: Em): Promise<{ status: number; body: { answer: number } }> {
  answers += 1;
  recordActivity(tx, 'task.begun', { taskId });
  await tx.flush();
  return { status: 201, body: { answer: answers } };
}

const send = (changes: Partial<KeyedRequest> = {}, how = effect) => once(database.orm.em.fork(), { ...request, ...changes }, how);

const effects = () => database.orm.em.fork().count(Activity, { taskId });

describe('once', () => {
  it('answers a repeat as the first time, without a second effect', async () => {
    const first = await send();
    expect(first).toMatchObject({ status: 201, isReplay: false });
    expect(await send()).toEqual({ ...first, isReplay: true });
    expect(await effects()).toBe(1);
  });

  it('refuses a key that came with another body', async () => {
    await send();
    await expect(send({ body: { ref: 'other' } })).rejects.toMatchObject({ kind: 'key-reused' });
    expect(await effects()).toBe(1);
  });

  it('has one effect of many requests at once, and one answer', async () => {
    const callers = 5;
    const othersWait = async () => {
      const [row] = await database.orm.em.fork().execute<{ waiting: string }[]>(
        `select count(*) as waiting from pg_locks
         where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())`,
      );
      return Number(row?.waiting) === callers - 1 ? true : null;
    };
    const { returned, refused } = await race(callers, () =>
      send({}, async (tx) => {
        await waitFor('the others to wait for the first', othersWait, 5_000);
        return effect(tx);
      }),
    );
    expect(refused).toEqual([]);
    expect(new Set(returned.map(({ body }) => (body as { answer: number }).answer)).size).toBe(1);
    expect(returned.filter(({ isReplay }) => !isReplay)).toHaveLength(1);
    expect(await effects()).toBe(1);
  });

  it('lets other keys pass while one is at work', async () => {
    let finish = () => {};
    const blocked = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const slow = send({}, async (tx) => {
      await blocked;
      return effect(tx);
    });
    expect(await send({ key: 'another' })).toMatchObject({ isReplay: false });
    finish();
    expect(await slow).toMatchObject({ isReplay: false });
  });

  it.each([
    ['another user', () => ({ userId: newId() })],
    ['another route', () => ({ route: 'post /reviews' })],
    ['another key', () => ({ key: 'another-key' })],
  ])('takes the same request of %s for another one', async (_case, change) => {
    await send();
    expect(await send(change())).toMatchObject({ isReplay: false });
    expect(await effects()).toBe(2);
  });

  it('has an effect each time where no key came', async () => {
    await send({ key: null });
    await send({ key: null });
    expect(await effects()).toBe(2);
    expect(await database.orm.em.fork().count(IdempotencyKey, { userId: request.userId })).toBe(0);
  });

  it('stores nothing of an effect that fails, so that the repeat may succeed', async () => {
    const failing = async (tx: Em) => {
      await effect(tx);
      throw new Error('the disk is full');
    };
    await expect(send({}, failing)).rejects.toThrow('the disk is full');
    expect(await effects()).toBe(0);
    expect(await send()).toMatchObject({ isReplay: false });
    expect(await effects()).toBe(1);
  });
});
