import type { Language, RunStatus } from '../domain/check-runs.ts';
import type { RunLimits } from '../domain/exercises.ts';

/** A regular file for the sandbox; `path` is relative to the work folder, with `/`, without `.` or `..` segments. */
export interface SandboxFile {
  readonly path: string;
  readonly content: Buffer;
  /** Default: false. */
  readonly isExecutable?: boolean;
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
  /**
   * Starts the run in an interpreter that has booted before the job came, where one is ready: `argv` is then `[interpreter, program]`.
   * Default: none.
   */
  readonly interpreter?: Interpreter;
  /**
   * The student's half of a run of two processes (test style `calls`): started beside `argv` as another user, joined with it by a
   * socket on descriptor 3 of both; the report is written to descriptor 4. `files` are then readable by `argv` alone, result and
   * report are those of `argv`, and `stderr` is followed by what the student's half wrote. Default: none.
   */
  readonly peer?: { readonly argv: readonly string[] };
  /** A file below /tmp that is read when the run has exited with 0 and before /tmp is emptied. Default: none. */
  readonly artifact?: { readonly path: string; readonly maxBytes: number };
}

export type Interpreter = 'node' | 'python';

/** Packages that the code of a job may import, and cannot change: laid over what the sandbox has itself. */
export interface SandboxLayer {
  /** SHA-256 (hex) of its tar file. */
  readonly key: string;
  /** Asked only where this machine does not have it yet. */
  readonly read: () => Promise<Buffer>;
}

/** One judging: its files go into one fresh sandbox, its runs are made there one after the other, then the sandbox is destroyed. */
export interface SandboxJob {
  /** Marks containers and folders, so that a reaper can tell whose they are and since when they are late. */
  readonly label: { readonly submissionId: string; readonly attempt: number; readonly deadline: Date };
  /** There from the first run on. */
  readonly files: readonly SandboxFile[];
  readonly runs: readonly RunRequest[];
  /** Compilers and what they make need to execute files below /tmp and in the work folder. Default: false. */
  readonly mayExecute?: boolean;
  /** Default: none. */
  readonly layer?: SandboxLayer | undefined;
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
  /** Null where none was asked for, or the run left no regular file there, or a larger one. */
  readonly artifact: Buffer | null;
  /** The run tried to start more processes than it may. */
  readonly hitProcessLimit: boolean;
}

export interface RunOptions {
  /** Aborting kills the sandbox and rejects with the signal's reason. */
  readonly signal: AbortSignal;
  /** Called when a run begins; must not throw. */
  readonly onRunStart?: (name: string) => void;
  /** Called with output while a run is made; must not throw. All of it is in the result, too. */
  readonly onOutput?: (name: string, stream: 'stdout' | 'stderr', bytes: Buffer) => void;
  /** Asked after each run; false leaves out the runs that follow, whose results are then missing. Default: always true. */
  readonly shouldGoOn?: (result: RunResult) => boolean;
}

/** Runs untrusted code, isolated: no network, a read-only system, limits on all that it can use. One implementation per technology. */
export interface Sandbox {
  readonly kind: 'docker' | 'bubblewrap';
  /** Identifies what ran the code: image digest or tool versions; stored with the check run. */
  readonly identity: string;
  /** The languages that it can run, each with its tool's version as shown to students. */
  readonly languages: ReadonlyMap<Language, string>;
  /**
   * Makes the runs of `job` in one fresh sandbox and destroys it, whatever happens.
   *
   * @throws SandboxError for the sandbox's own trouble, never for what the untrusted code did.
   */
  run(job: SandboxJob, options: RunOptions): Promise<readonly RunResult[]>;
  /** Removes what dead workers left: everything labelled as ours whose deadline has passed. Returns how many. */
  reap(now: Date): Promise<number>;
  /** Removes what it keeps ready for jobs to come. */
  close(): Promise<void>;
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
