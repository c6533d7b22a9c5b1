import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { IdempotencyKey } from '../../src/database/entities/operations.ts';
import { RefreshToken, Session } from '../../src/database/entities/sessions.ts';
import { once } from '../../src/services/idempotency.ts';
import { prune } from '../../src/services/prune.ts';
import { login, refreshSession } from '../../src/services/sessions.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createUser, password } from '../support/factories.ts';

const dayMs = 86_400_000;
let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(() => database.close());

const em = () => database.orm.em.fork();
const inDays = (days: number) => new Date(Date.now() + days * dayMs);

describe('prune', () => {
  it('leaves what is still of use', async () => {
    const user = await createUser(database.orm);
    const session = await login(em(), { email: user.email, password, ttlMs: dayMs });
    await once(em(), { userId: user.id, route: 'post /x', key: newId(), body: {} }, async () => ({ status: 201, body: {} }));
    await prune(em(), inDays(6));
    expect(await em().count(IdempotencyKey, { userId: user.id })).toBe(1);
    expect(await em().count(Session, { id: session.sessionId })).toBe(1);
    expect(await em().count(RefreshToken, { session: session.sessionId })).toBe(1);
  });

  it('removes keys after a week, and a session with all of its tokens a month after its end', async () => {
    const user = await createUser(database.orm);
    const session = await login(em(), { email: user.email, password, ttlMs: dayMs });
    await refreshSession(em(), session.refreshToken);
    await once(em(), { userId: user.id, route: 'post /x', key: newId(), body: {} }, async () => ({ status: 201, body: {} }));
    expect(await prune(em(), inDays(32))).toBeGreaterThanOrEqual(4);
    expect(await em().count(IdempotencyKey, { userId: user.id })).toBe(0);
    expect(await em().count(Session, { id: session.sessionId })).toBe(0);
    expect(await em().count(RefreshToken, { session: session.sessionId })).toBe(0);
    expect(await prune(em(), inDays(32))).toBe(0);
  });
});
