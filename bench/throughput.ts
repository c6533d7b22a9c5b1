import { perMinute, type Summary, summarise } from './statistics.ts';

/** How many are under way at any time. */
export const concurrencies = [1, 2, 4, 8] as const;
export type Concurrency = `${(typeof concurrencies)[number]}`;

/** Something that is done again and again. */
export interface Work {
  readonly name: string;
  /** Resolves to how many things it has done. */
  once(): Promise<number>;
  /** Until everything that was begun on its account is finished, and everything that it had ready is ready again. */
  settle(): Promise<void>;
}

/** Things a minute, by work and concurrency; the median of rounds. */
export type Rates = Readonly<Record<string, Readonly<Partial<Record<Concurrency, Summary>>>>>;

/**
 * A closed loop: `concurrency` callers, each of which begins anew as soon as it is answered. What was begun is finished within the time
 * that counts, and so is all that was put off: whatever was there before the first is there again after the last.
 *
 * @returns things a minute
 */
export async function closedLoop(work: Work, concurrency: number, forMs: number): Promise<number> {
  await work.settle();
  let done = 0;
  const startedAt = performance.now();
  const caller = async () => {
    while (performance.now() - startedAt < forMs) done += await work.once();
  };
  await Promise.all(Array.from({ length: concurrency }, caller));
  await work.settle();
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
