import type { Language } from './check-runs.ts';

/** What a file of a revision is for. Students get `starter`, `visible-test` and `configuration`; the rest is for staff. */
export const fileRoles = ['starter', 'visible-test', 'hidden-test', 'configuration', 'solution', 'checker'] as const;
export type FileRole = (typeof fileRoles)[number];

export interface RevisionFile {
  readonly role: FileRole;
  /** Place in the student's repository and in the work folder. */
  readonly path: string;
  readonly content: string;
}

/** Kinds of exercise: a repository checked by lint and tests, or a program checked by its output for given inputs. */
export const exerciseKinds = ['project', 'program'] as const;

/** Limits of one run in the sandbox (one process and all that it starts). */
export interface RunLimits {
  readonly cpuTimeMs: number;
  readonly wallTimeMs: number;
  readonly memoryBytes: number;
  readonly processes: number;
  /** Of stdout and stderr each; the report has a cap of its own, `maxReportBytes` of `sandbox/sandbox.ts`. */
  readonly outputBytes: number;
  /** Total of what may be written below /tmp, and the most that one file may hold. */
  readonly diskBytes: number;
  /** How many files and folders may be made below /tmp. */
  readonly fileCount: number;
}

/** How much each part of the score counts, in points; their sum is the full score. */
export interface Rubric {
  readonly quality: number;
  readonly documentation: number;
  readonly performance: number;
}

export const defaultRubric: Rubric = { quality: 40, documentation: 30, performance: 30 };

/** What an exercise wants installed, as its folder says it. */
export interface DependencyList {
  readonly installer: 'npm' | 'pip';
  /** Files that the installer reads, by name. */
  readonly files: Readonly<Record<string, string>>;
  /** All that is installed, as `name@version`, sorted. */
  readonly packages: readonly string[];
}

/** What an exercise had installed when its revision was published: a read-only part of each sandbox in which its code runs. */
export interface DependencyLayer {
  /** Of the tar file in the blob store. */
  readonly key: string;
  /** SHA-256 (hex) of the list: another revision with the same one takes the same layer. */
  readonly listHash: string;
  /** As `name@version`, sorted. */
  readonly packages: readonly string[];
}

/** What both kinds of checks have. */
interface CommonChecks {
  /** Default: none. */
  readonly dependencies?: DependencyLayer;
  /** Path of the linter's configuration inside the work folder; null: the linter's own defaults, whose findings decide nothing. */
  readonly lintConfig: string | null;
  /** Of each run; times are multiplied by the language's factor where an exercise takes several languages. */
  readonly limits: RunLimits;
  readonly rubric: Rubric;
  /** Share of the points, in percent, with which the checks pass although tests fail; null: all tests have to pass. */
  readonly passPercent: number | null;
}

/** One set of test files and how many tests they hold: "passed" takes this many. */
export interface TestSuite {
  readonly files: readonly string[];
  readonly count: number;
  /** Shared by its tests. */
  readonly points: number;
  /** By the name of a test; a test that is not named weighs 1. */
  readonly weights?: Readonly<Record<string, number>>;
}

/**
 * `calls`: tests run in a process of their own and reach the student's code by calls of its functions, whose values cross as JSON; what
 * they report cannot be forged. `shared-process`: tests load the student's code, which could forge their report.
 */
export const testStyles = ['calls', 'shared-process'] as const;
export type TestStyle = (typeof testStyles)[number];

/** How a revision of kind `project` is checked. */
export interface ProjectChecks extends CommonChecks {
  readonly kind: 'project';
  readonly testStyle: TestStyle;
  readonly tests: { readonly visible: TestSuite; readonly hidden: TestSuite };
  /** Run in place of the language's own test runner; its report is read from descriptor 3 (JUnit XML) or standard output (TAP). */
  readonly command: { readonly argv: readonly string[]; readonly report: 'junit' | 'tap' } | null;
}

/**
 * How a program's output is compared with the expected one. `exact`: byte by byte. `tokens`: the words, whatever space is between them.
 * `numeric`: as tokens, numbers equal within a tolerance. `checker`: a program of the exercise decides, which runs where no student's
 * process does: `checker INPUT ANSWER < OUTPUT`, exit code 42 accepts, 43 does not (Kattis problem package format).
 */
export type Comparison =
  | { readonly mode: 'exact' }
  | { readonly mode: 'tokens'; readonly isCaseSensitive: boolean }
  | { readonly mode: 'numeric'; readonly absolute: number; readonly relative: number }
  | { readonly mode: 'checker'; readonly language: Language; readonly path: string };

/** One run of the program. Its input is `cases/GROUP/NAME.in` of the revision's files, what is expected `cases/GROUP/NAME.out`. */
export interface TestCase {
  readonly name: string;
  /** Shown to whoever fails it, also where it is hidden. */
  readonly hint: string;
  /** Its share of the group's points; default 1. */
  readonly weight?: number;
}

export interface TestCaseGroup {
  readonly name: string;
  /** Samples: students see input, expected output and the difference. */
  readonly isVisible: boolean;
  readonly points: number;
  /** `each`: every case brings its share; `all`: the points come when all cases pass. */
  readonly scoring: 'each' | 'all';
  readonly cases: readonly TestCase[];
}

/** How a revision of kind `program` is checked. */
export interface ProgramChecks extends CommonChecks {
  readonly kind: 'program';
  /** Which languages are taken; a submission's is told by its entry file, such as `main.py`. */
  readonly languages: readonly Language[];
  readonly comparison: Comparison;
  readonly groups: readonly TestCaseGroup[];
}

export type Checks = ProjectChecks | ProgramChecks;

/** All that judging a submission of a revision takes. */
export interface Revision<C extends Checks = Checks> {
  /** The exercise's own; a program's may be another of its `languages`. */
  readonly language: Language;
  readonly checks: C;
  readonly files: readonly RevisionFile[];
}

export type ProjectRevision = Revision<ProjectChecks>;
export type ProgramRevision = Revision<ProgramChecks>;

/** Where the input and the expected output of a case are among the revision's files. */
export const caseFile = (group: string, name: string, part: 'in' | 'out') => `cases/${group}/${name}.${part}`;
