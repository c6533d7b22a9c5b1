import type { RunStatus } from './check-runs.ts';
import type { DraftFile } from './submissions.ts';

export const trialStatuses = ['QUEUED', 'RUNNING', 'DONE', 'ERROR'] as const;
export type TrialStatus = (typeof trialStatuses)[number];

/** Code to try: the samples of the exercise, or the program alone with an own input. */
export interface TrialRequest {
  /** On top of the starter. */
  readonly files: readonly DraftFile[];
  /** What the program reads from its standard input; null runs the exercise's visible tests. */
  readonly stdin: string | null;
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
  readonly tests:
    | readonly { readonly name: string; readonly outcome: 'passed' | 'failed' | 'skipped'; readonly message: string }[]
    | null;
}
