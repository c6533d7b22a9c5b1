import { setTimeout as delay } from 'node:timers/promises';

/** Asks until the answer is not null; for what another process does. @throws Error that names `what` after `timeoutMs`. */
export async function waitFor<T>(what: string, ask: () => Promise<T | null>, timeoutMs = 20_000): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== null) return answer;
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await delay(50);
  }
}
