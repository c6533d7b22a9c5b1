import { IdempotencyKey, StreamTicket } from '../database/entities/operations.ts';
import { AccessToken, RefreshToken, Session } from '../database/entities/sessions.ts';
import type { Em } from '../database/orm.ts';

const dayMs = 86_400_000;

/** A client that repeats a request after a week is not waiting for the answer to the first one. */
const keyTtlMs = 7 * dayMs;

/** For whoever looks into what a session did. */
const endedSessionTtlMs = 30 * dayMs;

/** Removes what has no use any more and only grows: old keys, tickets, and sessions and tokens that ended. Returns how many rows. */
export async function prune(em: Em, now: Date): Promise<number> {
  const before = (ms: number) => new Date(now.getTime() - ms);
  const ended = { session: { expiresAt: { $lt: before(endedSessionTtlMs) } } };
  return em.transactional(async (tx) => {
    // Each names the one that took its place.
    await tx.nativeUpdate(RefreshToken, ended, { replacedBy: null });
    const counts = [
      await tx.nativeDelete(IdempotencyKey, { createdAt: { $lt: before(keyTtlMs) } }),
      await tx.nativeDelete(StreamTicket, { expiresAt: { $lt: before(dayMs) } }),
      await tx.nativeDelete(RefreshToken, ended),
      await tx.nativeDelete(Session, { expiresAt: ended.session.expiresAt }),
      await tx.nativeDelete(AccessToken, { expiresAt: ended.session.expiresAt }),
    ];
    return counts.reduce((sum, count) => sum + count, 0);
  });
}
