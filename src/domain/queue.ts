/** How many submissions the api takes in at a time. */
export interface QueueLimits {
  /** Of all students, waiting for the judges. */
  readonly maxQueued: number;
  /** Of one student, waiting or being checked. */
  readonly maxOpenPerStudent: number;
}

/** Where a submission stands in the queue. */
export interface QueuePlace {
  /** 1 is the next one. */
  readonly place: number;
  /** When its verdict is expected; null where no check run is known to reckon by. */
  readonly expectedAt: Date | null;
}

/**
 * When the verdict of a submission that waits is expected: `now + (place / judges + 1) × median`. A judge becomes free every
 * `median / judges`; after `place` of those it is the submission's turn, and then it takes a check run itself.
 *
 * @param input.judges how many judgings there are at a time: those that are being made, as a judge that is free leaves nothing waiting.
 * @param input.medianMs how long a check run lasts, from its start to its verdict; null where none is known.
 */
export function expectedVerdictAt(input: { nowMs: number; place: number; judges: number; medianMs: number | null }): Date | null {
  if (input.medianMs === null) return null;
  return new Date(input.nowMs + (input.place / Math.max(1, input.judges) + 1) * input.medianMs);
}
