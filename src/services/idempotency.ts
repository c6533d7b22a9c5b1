import { createHash } from 'node:crypto';
import { sql } from '@mikro-orm/core';
import { IdempotencyKey, type StoredResponse } from '../database/entities/operations.ts';
import type { Em } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';

/** A request that must have one effect however often it is sent; `key` is null where the caller sent none. */
export interface KeyedRequest {
  readonly userId: string;
  readonly route: string;
  readonly key: string | null;
  readonly body: unknown;
}

/**
 * Makes `effect` in one transaction with the record of its answer: a repeat of the request gets the stored answer and has no effect.
 * Two at once take turns by an advisory lock on the key.
 *
 * @throws DomainError `key-reused` where the key came with another body before.
 */
export async function once(
  em: Em,
  request: KeyedRequest,
  effect: (tx: Em) => Promise<StoredResponse>,
): Promise<StoredResponse & { isReplay: boolean }> {
  return em.transactional(async (tx) => {
    const { userId, route, key } = request;
    if (key === null) return { ...(await effect(tx)), isReplay: false };
    await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`${userId} ${route} ${key}`}, 0))`);
    const bodyHash = createHash('sha256')
      .update(JSON.stringify(request.body ?? null))
      .digest('hex');
    const known = await tx.findOne(IdempotencyKey, { userId, route, key });
    if (known !== null) {
      if (known.bodyHash !== bodyHash) throw new DomainError('key-reused', 'This Idempotency-Key came with another body before.');
      return { ...known.response, isReplay: true };
    }
    const response = await effect(tx);
    tx.create(IdempotencyKey, { userId, route, key, bodyHash, response, createdAt: new Date() });
    return { ...response, isReplay: false };
  });
}
