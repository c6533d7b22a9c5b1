import type { Language } from './check-runs.ts';

/** What a file of a revision is for. Students get `starter`, `visible-test` and `configuration`; `solution` is for staff. */
export const fileRoles = ['starter', 'visible-test', 'hidden-test', 'configuration', 'solution'] as const;
export type FileRole = (typeof fileRoles)[number];

export interface RevisionFile {
  readonly role: FileRole;
  /** Place in the student's repository and in the work folder. */
  readonly path: string;
  readonly content: string;
}

/** One set of test files and how many tests they hold: "passed" takes this many. */
interface TestSuite {
  readonly files: readonly string[];
  readonly count: number;
}

/** Limits of one run in the sandbox (one process and all that it starts). */
export interface RunLimits {
  readonly cpuTimeMs: number;
  readonly wallTimeMs: number;
  readonly memoryBytes: number;
  readonly processes: number;
  /** Of stdout and stderr each; the report has a cap of its own, `maxReportBytes` of `sandbox/sandbox.ts`. */
  readonly outputBytes: number;
  /** Total of what may be written below /tmp. */
  readonly diskBytes: number;
}

/** How a revision of kind `project` is checked. */
export interface ProjectChecks {
  readonly tests: { readonly visible: TestSuite; readonly hidden: TestSuite };
  /** Path of the linter's configuration inside the work folder. */
  readonly lintConfig: string;
  /** Of each run: lint, visible tests, hidden tests. */
  readonly limits: RunLimits;
}

/** All that judging a submission of a `project` revision takes. */
export interface ProjectRevision {
  readonly language: Language;
  readonly checks: ProjectChecks;
  readonly files: readonly RevisionFile[];
}
