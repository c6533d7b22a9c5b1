/** Languages that exercises can be written in; `sandbox/languages.ts` says how each is run. */
export const languageNames = ['javascript', 'typescript', 'python', 'java', 'c', 'cpp', 'go', 'rust'] as const;
export type Language = (typeof languageNames)[number];

/** What the sandbox saw of one process. */
export type RunStatus = 'exited' | 'signalled' | 'wall-time-limit' | 'cpu-time-limit' | 'memory-limit' | 'output-limit';

/** How the checks of one submission ended. A system error is never a verdict. */
export const verdicts = [
  'accepted',
  'wrong-answer',
  'time-limit',
  'memory-limit',
  'output-limit',
  'run-error',
  'compile-error',
  'check-failed',
] as const;
export type Verdict = (typeof verdicts)[number];

export interface LintFinding {
  readonly file: string;
  readonly line: number;
  readonly rule: string;
  readonly severity: 'error' | 'warning';
  readonly message: string;
}

/** One `testcase` element of a JUnit report. A skipped or todo test did not pass. */
export interface ReportedTest {
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  readonly message: string;
  readonly timeMs: number;
}

/** One test of an exercise as judged, whatever its kind; a student sees of a hidden one the outcome, the verdict and the hint alone. */
export interface JudgedTest {
  readonly suite: 'visible' | 'hidden';
  /** Group of test cases; for a project its suite. */
  readonly group: string;
  readonly name: string;
  readonly outcome: ReportedTest['outcome'];
  /** Null where a report said no more than the outcome. */
  readonly verdict: Verdict | null;
  readonly message: string;
  /** Expected against actual, as lines with `-` and `+`; null where there is nothing to compare. */
  readonly diff: string | null;
  /** The exercise author's word for whoever fails here; may be shown for hidden tests. */
  readonly hint: string;
  readonly points: number;
  readonly maxPoints: number;
  readonly timeMs: number;
  /** Null where the test shares its process with others. */
  readonly cpuTimeMs: number | null;
  readonly memoryPeakBytes: number | null;
}

/** What a judging says, whatever the kind of exercise. */
export interface JudgedChecks {
  readonly verdict: Verdict;
  readonly tests: readonly JudgedTest[];
  readonly lintFindings: readonly LintFinding[];
  readonly points: number;
  readonly maxPoints: number;
  /** What the compiler said, cut; null where nothing was compiled. */
  readonly compilerOutput: string | null;
  /** The student's code ran in the process that wrote the report: a reviewer should look for a forged one. */
  readonly testsShareProcess: boolean;
  /** Things about the judging that its student should know, such as that an own package.json was not used. */
  readonly notes: readonly string[];
  readonly language: Language;
  /** As the tool prints it, such as `Python 3.11.2`. */
  readonly languageVersion: string;
}

/** One step of the checks as judged: `tests` is null where the report was missing, cut or no JUnit XML. */
export interface TestRun {
  readonly status: RunStatus;
  readonly exitCode: number | null;
  readonly expectedTests: number;
  readonly tests: readonly ReportedTest[] | null;
}

const limitVerdicts = {
  'wall-time-limit': 'time-limit',
  'cpu-time-limit': 'time-limit',
  'memory-limit': 'memory-limit',
  'output-limit': 'output-limit',
} as const satisfies Partial<Record<RunStatus, Verdict>>;

/**
 * Verdict of one test run. Accepted takes the known number of tests, all passed, from a report: an exit code proves nothing, because
 * student code can end the process with 0 (shared trap: `os._exit(0)`, `process.exit(0)`).
 */
function testRunVerdict(run: TestRun): Verdict {
  if (run.status !== 'exited' && run.status !== 'signalled') return limitVerdicts[run.status];
  if (run.status === 'signalled' || run.tests === null) return 'run-error';
  if (run.tests.some((test) => test.outcome === 'failed')) return 'wrong-answer';
  if (run.tests.length < run.expectedTests) return 'run-error';
  if (run.tests.length > run.expectedTests || run.tests.some((test) => test.outcome !== 'passed')) return 'wrong-answer';
  // All tests are reported as passed, but the process says otherwise: a failing suite hook or a crash at the end.
  return run.exitCode === 0 ? 'accepted' : 'run-error';
}

/**
 * Verdict of the whole: the first test run that is not accepted decides, then lint errors. A submission whose tests fail hears of
 * that first; its lint findings are listed all the same.
 */
export function checkRunVerdict(testRuns: readonly TestRun[], lintFindings: readonly LintFinding[]): Verdict {
  for (const run of testRuns) {
    const verdict = testRunVerdict(run);
    if (verdict !== 'accepted') return verdict;
  }
  return lintFindings.some((finding) => finding.severity === 'error') ? 'check-failed' : 'accepted';
}

/** Verdict of a program's run on one test case as far as the run alone decides; null where its output does. */
export function caseRunVerdict({
  status,
  exitCode,
}: {
  readonly status: RunStatus;
  readonly exitCode: number | null;
}): Verdict | null {
  if (status !== 'exited' && status !== 'signalled') return limitVerdicts[status];
  return status === 'signalled' || exitCode !== 0 ? 'run-error' : null;
}

/**
 * Verdict of a program: of the first test case that fails, unless `passPercent` of the points are reached; then lint errors, which are
 * to be given only where they decide.
 */
export function programVerdict(
  tests: readonly Pick<JudgedTest, 'outcome' | 'verdict' | 'points' | 'maxPoints'>[],
  lintFindings: readonly LintFinding[],
  passPercent: number | null,
): Verdict {
  const failed = tests.find(({ outcome }) => outcome === 'failed');
  const points = tests.reduce((sum, test) => sum + test.points, 0);
  const maxPoints = tests.reduce((sum, test) => sum + test.maxPoints, 0);
  const isEnough = passPercent !== null && maxPoints > 0 && points * 100 >= passPercent * maxPoints;
  if (failed !== undefined && !isEnough) return failed.verdict ?? 'wrong-answer';
  return lintFindings.some(({ severity }) => severity === 'error') ? 'check-failed' : 'accepted';
}

/**
 * Shares points by weight, whole ones: what is left over goes to the largest remainders (Hamilton's method), of equal ones to the first.
 *
 * @param weights one for each share, above 0.
 */
export function sharePoints(points: number, weights: readonly number[]): readonly number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const exact = weights.map((weight) => (points * weight) / total);
  const shares = exact.map(Math.floor);
  const remainder = (index: number) => (exact[index] ?? 0) - (shares[index] ?? 0);
  const byRemainder = shares.map((_, index) => index).toSorted((a, b) => remainder(b) - remainder(a) || a - b);
  const leftOver = points - shares.reduce((sum, share) => sum + share, 0);
  for (const index of byRemainder.slice(0, leftOver)) shares[index] = (shares[index] ?? 0) + 1;
  return shares;
}
