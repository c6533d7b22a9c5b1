import { DomainError } from '../domain/errors.ts';

const hourMs = 3_600_000;

/**
 * So many calls an hour for each user. Counted in this process alone and forgotten when it ends: against a script that runs wild, not
 * an account of what was used.
 */
export class Allowance {
  readonly #perHour: number;
  readonly #used = new Map<string, { count: number; readonly sinceMs: number }>();

  constructor(perHour: number) {
    this.#perHour = perHour;
  }

  /** @throws DomainError `rate-limited` where the user's hour is used up. */
  take(userId: string, nowMs = Date.now()): void {
    for (const [id, { sinceMs }] of this.#used) if (nowMs - sinceMs >= hourMs) this.#used.delete(id);
    const used = this.#used.get(userId) ?? { count: 0, sinceMs: nowMs };
    if (used.count >= this.#perHour) throw new DomainError('rate-limited', `No more than ${this.#perHour} of these an hour.`);
    this.#used.set(userId, { ...used, count: used.count + 1 });
  }
}
