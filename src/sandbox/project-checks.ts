import { checkRunVerdict, sharePoints, type JudgedTest, type TestRun } from '../domain/check-runs.ts';
import type { FileRole, ProjectChecks, ProjectRevision, Revision, TestSuite } from '../domain/exercises.ts';
import { foldersAbove } from '../domain/file-paths.ts';
import { limitsOfTrial } from '../domain/trial-runs.ts';
import { callTests } from './call-tests.ts';
import { dependencyNotes } from './dependency-notes.ts';
import type { Judged, JudgingBench } from './judge.ts';
import { parseJunitReport } from './junit-report.ts';
import { languages } from './languages.ts';
import { MalformedReportError } from './malformed-report.ts';
import { resultOf } from './run-results.ts';
import { type RunRequest, type RunResult, SandboxError, type SandboxFile } from './sandbox.ts';
import { readLintFindings, sourceRuns } from './source-tools.ts';
import { parseTapReport } from './tap-report.ts';

const suites = ['visible', 'hidden'] as const;
type Suite = (typeof suites)[number];

/** Folders that are the exercise's alone: whatever a submission has there is left out. */
const ownFolders = /^(?:test|tests|\.atelier|\.git)(?:\/|$)/;

function ownFiles(revision: Revision, roles: readonly FileRole[]): SandboxFile[] {
  return revision.files
    .filter((file) => roles.includes(file.role))
    .map((file) => ({ path: file.path, content: Buffer.from(file.content) }));
}

/**
 * The submission's files, with the exercise's own tests and configuration in place of whatever came at their paths, also of a file
 * where the exercise has a folder and the other way round. Hidden tests are not among them: `projectRuns` hands them to their run.
 */
export function projectFiles(revision: Revision, submitted: readonly SandboxFile[]): SandboxFile[] {
  const own = ownFiles(revision, ['visible-test', 'configuration']);
  const isInTheWay = standsInTheWayOf([...own, ...ownFiles(revision, ['hidden-test'])]);
  return [...submitted.filter(({ path }) => !ownFolders.test(path) && !isInTheWay(path)), ...own];
}

/** Whether a path is one of these files', or a folder where they have a file, or the other way round. */
function standsInTheWayOf(files: readonly SandboxFile[]): (path: string) => boolean {
  const paths = new Set(files.map((file) => file.path));
  const folders = new Set([...paths].flatMap(foldersAbove));
  return (path) => folders.has(path) || [path, ...foldersAbove(path)].some((part) => paths.has(part));
}

/**
 * Our tools, then the visible and the hidden tests, each a run of its own: a report holds one suite.
 *
 * The files of hidden tests come with the last run, so nothing that lint or the visible tests execute can read them. In a run of style
 * `calls` they are the tester's alone. What remains in one of style `shared-process`: the student's code shares a process and a folder
 * with them and can read them. Nothing of that run gets out to the student, though: names and messages of hidden tests are not
 * shown, logs neither.
 */
export function projectRuns(revision: ProjectRevision, submitted: readonly SandboxFile[], isScored: boolean): RunRequest[] {
  const { checks, language } = revision;
  const tools = sourceRuns(revision, submitted, { language, config: checks.lintConfig, limits: checks.limits, isScored });
  return [...tools, testRun(revision, 'visible'), testRun(revision, 'hidden')];
}

/** Whether the student's code runs in the process that writes the report. */
const sharesProcess = ({ testStyle, command }: ProjectRevision['checks']) => testStyle === 'shared-process' || command !== null;

function testRun(revision: ProjectRevision, suite: Suite): RunRequest {
  const { checks, language } = revision;
  const { files } = checks.tests[suite];
  const hidden = suite === 'hidden' ? ownFiles(revision, ['hidden-test']) : [];
  const run = { name: testRunName(suite), limits: checks.limits, ...(hidden.length === 0 ? {} : { files: hidden }) };
  if (!sharesProcess(checks)) {
    const halves = callTests[language];
    if (halves === undefined) throw new SandboxError(`no tests of style calls in ${language}`, { transient: false });
    const own = [...ownFiles(revision, ['visible-test', 'configuration']), ...hidden].map(({ path }) => path);
    return { ...run, argv: halves.tester(files, own), peer: { argv: halves.peer } };
  }
  const { test } = languages[language];
  if (checks.command !== null) return { ...run, argv: [...checks.command.argv, ...files] };
  if (test === null) throw new SandboxError(`no tests of projects in ${language}`, { transient: false });
  return { ...run, argv: test(files) };
}

/**
 * What it takes to try code without submitting it: the visible tests, or with `program` that file alone. Hidden tests are no part of it.
 * Shorter than a judging: many wait for the same judges.
 *
 * @param tried lies on top of the starter.
 */
export function trialJob(
  revision: ProjectRevision,
  tried: readonly SandboxFile[],
  program: { readonly entry: string; readonly stdin: string } | null,
): { readonly files: SandboxFile[]; readonly runs: readonly RunRequest[] } {
  const { checks, language } = revision;
  const limits = limitsOfTrial(checks.limits);
  const run =
    program === null
      ? { ...testRun(revision, 'visible'), limits }
      : {
          name: 'program',
          argv: languages[language].run(program.entry, limits.memoryBytes),
          limits,
          stdin: Buffer.from(program.stdin),
        };
  return { files: projectFiles(revision, onTopOfStarter(revision, tried)), runs: [run] };
}

/** Files that are tried, and those of the starter that are not in their way. */
export function onTopOfStarter(revision: Revision, tried: readonly SandboxFile[]): readonly SandboxFile[] {
  const isInTheWay = standsInTheWayOf(tried);
  return [...ownFiles(revision, ['starter']).filter(({ path }) => !isInTheWay(path)), ...tried];
}

/** What a trial's run says of its tests; null where it is not a run of tests, or told nothing that can be read. */
export function readTrialTests({ checks }: Revision, run: RunResult): TestRun['tests'] {
  return checks.kind === 'project' && run.name === testRunName('visible') ? readTests(checks, run) : null;
}

const testRunName = (suite: Suite) => `${suite}-tests`;

/**
 * Judges a project: makes the runs of `projectRuns`, reads their reports and gives the verdict.
 *
 * @throws SandboxError where a run is missing or our own linter gave no report: that is never the student's fault.
 */
export async function judgeProject(
  revision: ProjectRevision,
  submitted: readonly SandboxFile[],
  bench: JudgingBench,
): Promise<Judged> {
  const { sandbox, label, layer, signal, onRunStart, isScored = false } = bench;
  const { checks, language } = revision;
  const job = { label, layer, files: projectFiles(revision, submitted), runs: projectRuns(revision, submitted, isScored) };
  const results = await sandbox.run(job, { signal, ...(onRunStart && { onRunStart }) });
  const lintFindings = readLintFindings(results);
  const testRuns = suites.map((suite) => {
    const result = resultOf(results, testRunName(suite));
    const { status, exitCode } = result;
    return { suite, status, exitCode, expectedTests: checks.tests[suite].count, tests: readTests(checks, result) };
  });
  const tests = testRuns.flatMap(({ suite, tests: reported }) => judgedTests(checks.tests[suite], suite, reported ?? []));
  const points = tests.reduce((sum, test) => sum + test.points, 0);
  const maxPoints = checks.tests.visible.points + checks.tests.hidden.points;
  const isEnough = checks.passPercent !== null && points * 100 >= checks.passPercent * maxPoints && testRuns.every(isWhole);
  return {
    checks: {
      verdict: checkRunVerdict(isEnough ? [] : testRuns, lintFindings),
      lintFindings,
      tests,
      points,
      maxPoints,
      compilerOutput: null,
      testsShareProcess: sharesProcess(checks),
      notes: dependencyNotes(ownFiles(revision, ['starter']), submitted, checks.dependencies?.packages),
      language,
      languageVersion: sandbox.languages.get(language) ?? '',
    },
    runs: results,
  };
}

/** Whether a run told of all its tests and its end agrees with them: only then can some of the points be enough. */
function isWhole({ status, exitCode, tests, expectedTests }: TestRun): boolean {
  if (status !== 'exited' || tests === null || tests.length !== expectedTests) return false;
  return exitCode === 0 || tests.some(({ outcome }) => outcome !== 'passed');
}

function judgedTests(expected: TestSuite, suite: Suite, reported: NonNullable<TestRun['tests']>): JudgedTest[] {
  // A map, as test names are the report's: an object would answer to `constructor`.
  const weights = new Map(Object.entries(expected.weights ?? {}));
  // Which tests did not report is not known.
  const missing = Array.from({ length: Math.max(0, expected.count - reported.length) }, () => 1);
  const shares = sharePoints(expected.points, [...reported.map(({ name }) => weights.get(name) ?? 1), ...missing]);
  return reported.map((test, index) => {
    const maxPoints = shares[index] ?? 0;
    const points = test.outcome === 'passed' ? maxPoints : 0;
    const unknown = { verdict: null, diff: null, hint: '', cpuTimeMs: null, memoryPeakBytes: null };
    return { ...test, ...unknown, suite, group: suite, points, maxPoints };
  });
}

/** A report that cannot be read counts as none: the student's process may have spoilt it. */
function readTests({ command }: ProjectChecks, { report, stdout }: RunResult): TestRun['tests'] {
  try {
    if (command?.report === 'tap') return parseTapReport(stdout.toString());
    return report === null ? null : parseJunitReport(report);
  } catch (error) {
    if (error instanceof MalformedReportError) return null;
    throw error;
  }
}
