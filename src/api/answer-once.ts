import type { Em } from '../database/orm.ts';
import { type KeyedRequest, once } from '../services/idempotency.ts';

/** Answers a creating POST by `once`: what `effect` returns is stored under the Idempotency-Key, and sent again to its repeats. */
export async function answerOnce<B>(
  em: Em,
  keyed: KeyedRequest,
  effect: (tx: Em) => Promise<B>,
): Promise<{ body: B; isReplay: boolean }> {
  const { body, isReplay } = await once(em, keyed, async (tx) => ({ status: 201, body: await effect(tx) }));
  return { body: body as B, isReplay };
}
