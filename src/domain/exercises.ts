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

/** How a revision of kind `project` is checked; limits in milliseconds and bytes, as `sandbox/sandbox.ts` takes them. */
export interface ProjectChecks {
  readonly tests: { readonly visible: TestSuite; readonly hidden: TestSuite };
  /** Path of the linter's configuration inside the work folder. */
  readonly lintConfig: string;
  readonly limits: {
    readonly cpuTimeMs: number;
    readonly wallTimeMs: number;
    readonly memoryBytes: number;
    readonly processes: number;
    readonly outputBytes: number;
    readonly diskBytes: number;
  };
}

/** All that judging a submission of a `project` revision takes. */
export interface ProjectRevision {
  readonly language: Language;
  readonly checks: ProjectChecks;
  readonly files: readonly RevisionFile[];
}
