import { perMinute, type Summary, summarise } from './statistics.ts';

/** How many are under way at any time. */
export const concurrencies = [1, 2, 4, 8] as const;
export type Concurrency = `${(typeof concurrencies)[number]}`;

/** Something that is done again and again, beginning with nothing prepared. */
export interface Work {
  readonly name: string;
  open(): Session;
}

export interface Session {
  /** Resolves to how many things it has done. */
  once(): Promise<number>;
  /** Finishes all that was put off, and clears away what was prepared and not used. */
  close(): Promise<void>;
}

/** Things a minute, by work and concurrency; the median of rounds. */
export type Rates = Readonly<Record<string, Readonly<Partial<Record<Concurrency, Summary>>>>>;

/**
 * A closed loop: `concurrency` callers, each of which begins anew as soon as it is answered. The time that counts is from nothing to
 * nothing: what is prepared in it, put off or cleared away belongs to it.
 *
 * @returns things a minute
 */
export async function closedLoop(work: Work, concurrency: number, forMs: number): Promise<number> {
  let done = 0;
  const startedAt = performance.now();
  const session = work.open();
  const caller = async () => {
    while (performance.now() - startedAt < forMs) {
      // Not `done += await …`, which would add to what `done` was before the others counted theirs.
      const things = await session.once();
      done += things;
    }
  };
  try {
    await Promise.all(Array.from({ length: concurrency }, caller));
  } finally {
    await session.close();
  }
  return perMinute(done, performance.now() - startedAt);
}

interface RatePlan {
  readonly works: readonly Work[];
  readonly rounds: number;
  /** How long callers go on beginning, per round, work and concurrency. */
  readonly forMs: number;
  readonly onRound: (round: number, rounds: number) => void;
}

/** In interleaved rounds: each takes every work at every concurrency once. */
export async function measureRates({ works, rounds, forMs, onRound }: RatePlan): Promise<Rates> {
  const samples: Record<string, Partial<Record<Concurrency, number[]>>> = {};
  for (const work of works) samples[work.name] = {};
  for (let round = 0; round < rounds; round += 1) {
    onRound(round, rounds);
    for (const concurrency of concurrencies) {
      for (const work of works) {
        const rate = await closedLoop(work, concurrency, forMs);
        ((samples[work.name] ??= {})[`${concurrency}`] ??= []).push(rate);
      }
    }
  }
  return Object.fromEntries(
    Object.entries(samples).map(([name, byConcurrency]) => [
      name,
      Object.fromEntries(Object.entries(byConcurrency).map(([concurrency, rates]) => [concurrency, summarise(rates)])),
    ]),
  );
}

/** The best of all concurrencies; null where nothing was measured. */
export function bestRate(rates: Rates[string] | undefined): number | null {
  const medians = Object.values(rates ?? {}).map(({ median }) => median);
  return medians.length === 0 ? null : Math.max(...medians);
}
