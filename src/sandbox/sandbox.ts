import type { RunStatus } from '../domain/check-runs.ts';
import type { RunLimits } from '../domain/exercises.ts';

/** A regular file for the sandbox; `path` is relative to the work folder, with `/`, without `.` or `..` segments. */
export interface SandboxFile {
  readonly path: string;
  readonly content: Buffer;
}

/** The report channel (descriptor 3 of a run) is cut off here; a cut report counts as none. */
export const maxReportBytes = 1024 * 1024;

export interface RunRequest {
  /** Names the run in results and logs, such as `lint` or `hidden-tests`. */
  readonly name: string;
  /** Started without a shell in the work folder; the first element is looked up on the sandbox's PATH. */
  readonly argv: readonly string[];
  readonly limits: RunLimits;
  /**
   * Sent to the sandbox just before this run, so that no earlier run can read them, wherever it looks. They stay for later runs.
   * Default: none.
   */
  readonly files?: readonly SandboxFile[];
  /** What the run reads from its standard input, which then ends. Default: nothing. */
  readonly stdin?: Buffer;
}

/** One judging: its files go into one fresh sandbox, its runs are made there one after the other, then the sandbox is destroyed. */
export interface SandboxJob {
  /** Marks containers and folders, so that a reaper can tell whose they are and since when they are late. */
  readonly label: { readonly submissionId: string; readonly attempt: number; readonly deadline: Date };
  /** There from the first run on. */
  readonly files: readonly SandboxFile[];
  readonly runs: readonly RunRequest[];
}

/** All files that come into the sandbox of a job, sooner or later. */
export function filesOf({ files, runs }: SandboxJob): readonly SandboxFile[] {
  return [...files, ...runs.flatMap((run) => run.files ?? [])];
}

/** What the sandbox saw of one run. A program that crashes, loops or floods its output has a result; it is not an error. */
export interface RunResult {
  readonly name: string;
  readonly status: RunStatus;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly wallTimeMs: number;
  readonly cpuTimeMs: number;
  readonly memoryPeakBytes: number;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** What the run wrote to descriptor 3; null where it wrote nothing or more than `maxReportBytes`. */
  readonly report: string | null;
}

export interface RunOptions {
  /** Aborting kills the sandbox and rejects with the signal's reason. */
  readonly signal: AbortSignal;
  /** Called when a run begins; must not throw. */
  readonly onRunStart?: (name: string) => void;
}

/** Runs untrusted code, isolated: no network, a read-only system, limits on all that it can use. One implementation per technology. */
export interface Sandbox {
  readonly kind: 'docker' | 'bubblewrap';
  /** Identifies what ran the code: image digest or tool versions; stored with the check run. */
  readonly identity: string;
  /**
   * Makes the runs of `job` in one fresh sandbox and destroys it, whatever happens.
   *
   * @throws SandboxError for the sandbox's own trouble, never for what the untrusted code did.
   */
  run(job: SandboxJob, options: RunOptions): Promise<readonly RunResult[]>;
  /** Removes what dead workers left: everything labelled as ours whose deadline has passed. Returns how many. */
  reap(now: Date): Promise<number>;
}

/** The sandbox's own trouble: a system error, never a verdict. `transient`: trying again may help. */
export class SandboxError extends Error {
  readonly transient: boolean;

  constructor(message: string, options: ErrorOptions & { transient: boolean }) {
    super(message, options);
    this.name = 'SandboxError';
    this.transient = options.transient;
  }
}
