/** What a series of samples comes to. */
export interface Summary {
  /** How many samples, after what was discarded. */
  readonly n: number;
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
}

/**
 * The value below which a share of the samples lies, between two samples by the straight line through them (type 7 of Hyndman and Fan,
 * the default of R and NumPy).
 *
 * @throws RangeError without samples, or for a share outside 0 to 1.
 */
export function quantile(samples: readonly number[], share: number): number {
  if (samples.length === 0) throw new RangeError('no samples');
  if (!(share >= 0 && share <= 1)) throw new RangeError(`not a share: ${share}`);
  const sorted = samples.toSorted((left, right) => left - right);
  const position = (sorted.length - 1) * share;
  const below = sorted[Math.floor(position)] ?? 0;
  const above = sorted[Math.ceil(position)] ?? 0;
  return below + (above - below) * (position - Math.floor(position));
}

/** @throws RangeError without samples. */
export function summarise(samples: readonly number[]): Summary {
  return {
    n: samples.length,
    median: quantile(samples, 0.5),
    p10: quantile(samples, 0.1),
    p90: quantile(samples, 0.9),
  };
}

/** Median of `samples` over that of `reference`; null where one of them is missing. */
export function ratioOfMedians(samples: Summary | undefined, reference: Summary | undefined): number | null {
  return samples === undefined || reference === undefined ? null : samples.median / reference.median;
}

/** How often something happened in a minute, from how often it did in `elapsedMs`. */
export function perMinute(count: number, elapsedMs: number): number {
  return (count * 60_000) / elapsedMs;
}

/**
 * The order of one round: every entry once, each round beginning with the next one, so that none always follows the same neighbour's
 * rubbish.
 */
export function rotated<T>(entries: readonly T[], round: number): readonly T[] {
  if (entries.length === 0) return [];
  const first = round % entries.length;
  return [...entries.slice(first), ...entries.slice(0, first)];
}
