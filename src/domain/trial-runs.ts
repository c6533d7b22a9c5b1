import type { RunStatus, Verdict } from './check-runs.ts';
import type { RunLimits } from './exercises.ts';
import type { DraftFile } from './submissions.ts';

export const trialStatuses = ['QUEUED', 'RUNNING', 'DONE', 'ERROR'] as const;
export type TrialStatus = (typeof trialStatuses)[number];

/** Code to try. */
export interface TrialRequest {
  /** On top of the starter. */
  readonly files: readonly DraftFile[];
  /**
   * Runs the program alone, on an input of the student's own: this file, or where that is null (kind `program`) the one that the sandbox
   * finds. Null runs the exercise's visible tests or samples.
   */
  readonly program: { readonly entry: string | null; readonly stdin: string } | null;
}

/** One run of a trial as its student sees it; output is cut. */
export interface TrialResult {
  readonly name: string;
  readonly status: RunStatus;
  readonly exitCode: number | null;
  readonly wallTimeMs: number;
  readonly memoryPeakBytes: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Null where it was no run of tests, or its report could not be read. */
  readonly tests:
    | readonly { readonly name: string; readonly outcome: 'passed' | 'failed' | 'skipped'; readonly message: string }[]
    | null;
  /** Of a program: on a sample, or `compile-error` of the compiler; null where nothing is expected. */
  readonly verdict: Verdict | null;
  /** What is wrong with a program's output on a sample. */
  readonly message: string;
  /** What is expected on a sample against what was written, as lines with `-` and `+`; null where there is nothing to compare. */
  readonly diff: string | null;
}

/** Output of a run that is under way, one piece after the other; the result has all of it. */
export interface TrialOutput {
  /** Name of the run. */
  readonly run: string;
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

/** Of a trial's run, below the exercise's own: a student waits for it, and so do the submissions behind it. */
export const trialLimits = { wallTimeMs: 10_000, outputBytes: 64 * 1024 } as const;

/** An exercise's own limits, as far as a trial may use them. */
export const limitsOfTrial = (limits: RunLimits): RunLimits => ({
  ...limits,
  wallTimeMs: Math.min(limits.wallTimeMs, trialLimits.wallTimeMs),
  cpuTimeMs: Math.min(limits.cpuTimeMs, trialLimits.wallTimeMs),
  outputBytes: Math.min(limits.outputBytes, trialLimits.outputBytes),
});

/** Who looks on sees output so often: soon enough to seem live, and four times a second for the database. */
export const trialOutputIntervalMs = 250;

/** What one user may ask for: enough to try after every change, too little to keep the judges from submissions. */
export const trialAllowance = { atOnce: 2, perWindow: 30, windowMs: 10 * 60_000 } as const;

/** How long a trial waits for a free judge: who waits longer has gone on without it. */
export const trialQueueMs = 30_000;

/** Waiting twice, running twice: a trial that has no end by then has lost its workflow. */
export const trialDeadlineMs = 3 * 60_000;

/** A trial is looked at when it is done, and never again. */
export const trialKeptMs = 60 * 60_000;

/** When the next trial is possible, in milliseconds from `nowMs`; 0 where it is now. `recent` are the user's trials of the last window. */
export function trialWaitMs(
  recent: readonly { readonly createdAtMs: number; readonly isUnderWay: boolean }[],
  nowMs: number,
): number {
  const { atOnce, perWindow, windowMs } = trialAllowance;
  const newestFirst = recent.map(({ createdAtMs }) => createdAtMs).toSorted((a, b) => b - a);
  const oldestCounted = newestFirst[perWindow - 1];
  const windowWaitMs = oldestCounted === undefined ? 0 : Math.max(0, oldestCounted + windowMs - nowMs);
  const isBusy = recent.filter(({ isUnderWay }) => isUnderWay).length >= atOnce;
  return Math.max(windowWaitMs, isBusy ? trialLimits.wallTimeMs / 2 : 0);
}
