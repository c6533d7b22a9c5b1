/** Languages that exercises can be written in; `sandbox/languages.ts` says how each is run. */
export const languageNames = ['javascript', 'python'] as const;
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
