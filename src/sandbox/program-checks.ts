import { type JudgedTest, type Language, programVerdict, sharePoints } from '../domain/check-runs.ts';
import type { Comparison, ProgramRevision } from '../domain/exercises.ts';
import type { Judged, JudgingBench } from './judge.ts';
import { languages } from './languages.ts';
import { diffOutput } from './output-diff.ts';
import { build, findLanguage, programFiles, programLimits, requireLanguage } from './program-build.ts';
import { type CaseOutcome, listCases, type ProgramCase, runCases } from './program-cases.ts';
import { reportText } from './report-text.ts';
import type { SandboxFile } from './sandbox.ts';
import { readLintFindings, sourceRuns } from './source-tools.ts';

/** Of what a program wrote to standard error before it failed: the end says why. */
const maxErrorLength = 2000;

/**
 * Judges a program by its output for the inputs of its exercise: compiles it in one sandbox, runs its cases in others, compares here.
 * What is expected never enters a sandbox in which the program runs.
 *
 * @throws SandboxError for our own trouble: a language that is not offered here, a checker that fails.
 */
export async function judgeProgram(
  revision: ProgramRevision,
  submitted: readonly SandboxFile[],
  bench: JudgingBench,
): Promise<Judged> {
  const { checks } = revision;
  const files = programFiles(submitted);
  const cases = listCases(revision);
  const found = findLanguage(revision, files);
  const language = 'language' in found ? found.language : revision.language;
  const languageVersion = requireLanguage(bench, language);
  const built =
    'problem' in found
      ? { program: null, compilerOutput: found.problem, run: null }
      : await build({ language, entry: languages[language].entryFile, files, memoryBytes: checks.limits.memoryBytes }, bench);
  const { program, compilerOutput } = built;
  const shown = { compilerOutput, testsShareProcess: false, notes: [], language, languageVersion };
  if (program === null) {
    const tests = judgedTests(revision, cases, new Map());
    const points = { points: 0, maxPoints: totalOf(tests, 'maxPoints') };
    return {
      checks: { ...shown, ...points, verdict: 'compile-error', tests, lintFindings: [] },
      runs: built.run === null ? [] : [built.run],
    };
  }
  const limits = programLimits(revision, language);
  const config = lintConfigFor(revision, language);
  const asked = { language, config, limits, isScored: bench.isScored ?? false, files: configurationOf(revision) };
  const firstRuns = sourceRuns(revision, files, asked);
  const { outcomes, runs } = await runCases(revision, { program, limits, cases, firstRuns }, bench);
  const lintFindings = readLintFindings(runs);
  const tests = judgedTests(revision, cases, outcomes);
  const deciding = config === null ? [] : lintFindings;
  return {
    checks: {
      ...shown,
      verdict: programVerdict(tests, deciding, checks.passPercent),
      tests,
      lintFindings,
      points: totalOf(tests, 'points'),
      maxPoints: totalOf(tests, 'maxPoints'),
    },
    runs: [...(built.run === null ? [] : [built.run]), ...runs],
  };
}

/** The exercise's linter configuration is for its own language; other languages have their linter's defaults, which decide nothing. */
const lintConfigFor = (revision: ProgramRevision, language: Language): string | null =>
  language === revision.language ? revision.checks.lintConfig : null;

function configurationOf({ files }: ProgramRevision): SandboxFile[] {
  return files
    .filter(({ role }) => role === 'configuration')
    .map(({ path, content }) => ({ path, content: Buffer.from(content) }));
}

function totalOf(tests: readonly JudgedTest[], key: 'points' | 'maxPoints'): number {
  return tests.reduce((sum, test) => sum + test[key], 0);
}

/** What is said of each case; one that was not run was skipped. */
function judgedTests(
  { checks }: ProgramRevision,
  cases: readonly ProgramCase[],
  outcomes: ReadonlyMap<string, CaseOutcome>,
): JudgedTest[] {
  return checks.groups.flatMap((group) => {
    const own = cases.filter((testCase) => testCase.group === group);
    const passed = own.map(({ runName }) => outcomes.get(runName)?.verdict === 'accepted');
    const isLost = group.scoring === 'all' && passed.includes(false);
    const shares = sharePoints(
      group.points,
      group.cases.map(({ weight = 1 }) => weight),
    );
    return own.map((testCase, index): JudgedTest => {
      const maxPoints = shares[index] ?? 0;
      return {
        suite: group.isVisible ? 'visible' : 'hidden',
        group: group.name,
        name: testCase.name,
        ...reportCase(checks.comparison, testCase, outcomes.get(testCase.runName)),
        points: passed[index] === true && !isLost ? maxPoints : 0,
        maxPoints,
      };
    });
  });
}

type CaseReport = Omit<JudgedTest, 'suite' | 'group' | 'name' | 'points' | 'maxPoints'>;

/** Of a hidden case nothing is kept that quotes it: what is not stored cannot be shown. */
export function reportCase(comparison: Comparison, testCase: ProgramCase, outcome: CaseOutcome | undefined): CaseReport {
  if (outcome === undefined) {
    const nothing = { verdict: null, message: '', diff: null, hint: '', timeMs: 0, cpuTimeMs: null, memoryPeakBytes: null };
    return { outcome: 'skipped', ...nothing };
  }
  const { verdict, result } = outcome;
  const { isVisible } = testCase.group;
  const isFailed = verdict !== 'accepted';
  const hints = [testCase.hint, result.hitProcessLimit ? 'the process limit was reached' : ''];
  return {
    outcome: isFailed ? 'failed' : 'passed',
    verdict,
    message: isVisible ? messageOf(outcome) : '',
    diff: isVisible && verdict === 'wrong-answer' ? diffOutput(comparison, testCase.answer, result.stdout) : null,
    hint: isFailed ? hints.filter(Boolean).join('; ') : '',
    timeMs: Math.round(result.wallTimeMs),
    cpuTimeMs: Math.round(result.cpuTimeMs),
    memoryPeakBytes: Math.round(result.memoryPeakBytes),
  };
}

function messageOf({ verdict, message, result }: CaseOutcome): string {
  if (verdict !== 'run-error') return reportText(message, maxErrorLength);
  const end = result.exitCode === null ? `ended by ${result.signal ?? 'a signal'}` : `ended with exit code ${result.exitCode}`;
  const errors = result.stderr
    .toString()
    .trimEnd()
    .slice(-maxErrorLength)
    .replace(/^[\uDC00-\uDFFF]/, '');
  return reportText([end, errors].filter(Boolean).join('\n'), maxErrorLength + 100);
}
