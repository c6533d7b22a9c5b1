import type { JudgedChecks } from '../domain/check-runs.ts';
import type { ProgramRevision, ProjectRevision, Revision } from '../domain/exercises.ts';
import { judgeProgram } from './program-checks.ts';
import { judgeProject } from './project-checks.ts';
import type { RunResult, Sandbox, SandboxFile, SandboxJob, SandboxLayer } from './sandbox.ts';

/** Where and for whom code is judged. */
export interface JudgingBench {
  readonly sandbox: Sandbox;
  readonly label: SandboxJob['label'];
  /** Aborting kills what is under way. */
  readonly signal: AbortSignal;
  /** Called when a run begins; must not throw. */
  readonly onRunStart?: (name: string) => void;
  /** In how many sandboxes at once the test cases of one program may be run, where there are enough of them. Default: 1. */
  readonly parallel?: number;
  /** Whether our tools also look for what a score takes. Default: false. */
  readonly isScored?: boolean;
  /** Of the revision. Default: none. */
  readonly layer?: SandboxLayer | undefined;
}

/** What the judging of one submission gave, and the runs that it took. */
export interface Judged {
  readonly checks: JudgedChecks;
  readonly runs: readonly RunResult[];
}

/**
 * Judges submitted files by an exercise revision, each kind in its own way.
 *
 * @throws SandboxError for our own trouble, never for what the submitted code did.
 */
export function judge(revision: Revision, submitted: readonly SandboxFile[], bench: JudgingBench): Promise<Judged> {
  const { checks } = revision;
  return checks.kind === 'program'
    ? judgeProgram({ ...revision, checks } satisfies ProgramRevision, submitted, bench)
    : judgeProject({ ...revision, checks } satisfies ProjectRevision, submitted, bench);
}
