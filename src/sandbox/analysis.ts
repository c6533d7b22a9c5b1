import { posix } from 'node:path';
import type { JudgedChecks, Language, LintFinding } from '../domain/check-runs.ts';
import { measureComplexity } from '../domain/complexity.ts';
import { readDocComments } from '../domain/doc-comments.ts';
import type { Revision } from '../domain/exercises.ts';
import type { Documentation, Measure, Unmeasured } from '../domain/score.ts';
import { parseCompilerWarnings } from './compiler-warnings.ts';
import { parseDocstringReport } from './docstring-report.ts';
import type { Judged } from './judge.ts';
import { languages } from './languages.ts';
import { resultOf } from './run-results.ts';
import type { RunResult, SandboxFile } from './sandbox.ts';
import { maxSourceBytes, ownFiles, ownSources, readScoredFindings, reportOf } from './source-tools.ts';

/** What can be said of a submission's source without running it. */
export interface Analysis {
  readonly quality: readonly LintFinding[] | Unmeasured;
  readonly documentation: Documentation | Unmeasured;
}

/**
 * Says what the tools and the compiler have found in what the student wrote.
 *
 * @param judged with the runs of the tools: a judging for a score (`JudgingBench.isScored`).
 * @throws SandboxError for our own trouble.
 */
export function analyse(revision: Revision, submitted: readonly SandboxFile[], { checks, runs }: Judged): Analysis {
  const { language } = checks;
  const { sources, isTooMuch } = ownSources(revision, language, submitted);
  if (sources.length === 0) return nothingMeasured('There is no code of your own: all files are as in the starter.');
  if (isTooMuch) return nothingMeasured(`There is more than ${maxSourceBytes} bytes of source: too much to analyse.`);
  const isOwn = (path: string) => sources.some((source) => source.path === path);
  const hasReadme = ownFiles(revision, submitted).some(isReadme);
  const findings = [...checks.lintFindings.filter(({ file }) => isOwn(file)), ...compilerWarnings(checks, isOwn)];
  return {
    quality: qualityOf(language, sources, findings, runs),
    documentation: withOverview(documentationOf(language, sources, runs), hasReadme),
  };
}

function nothingMeasured(reason: string): Analysis {
  const lost = { unmeasured: 'lost', reason } as const;
  return { quality: lost, documentation: lost };
}

function compilerWarnings({ language, compilerOutput }: JudgedChecks, isOwn: (path: string) => boolean): LintFinding[] {
  return compilerOutput === null ? [] : parseCompilerWarnings(language, compilerOutput, isOwn);
}

function qualityOf(
  language: Language,
  sources: readonly SandboxFile[],
  findings: readonly LintFinding[],
  runs: readonly RunResult[],
): Analysis['quality'] {
  if (language !== 'javascript' && language !== 'typescript' && language !== 'python') {
    return [...findings, ...measureComplexity(language, sources.map(textOf))];
  }
  const run = resultOf(runs, 'lint');
  const scored = readScoredFindings(run);
  if (scored === null) return notFinished(run);
  const known = new Set(findings.map(placeOf));
  const more = scored.filter((finding) => !known.has(placeOf(finding)));
  return [...findings, ...(language === 'python' ? more.map(withRuffSeverity) : more)];
}

/** One fault is one loss, whoever finds it. */
const placeOf = ({ file, line, rule }: LintFinding) => JSON.stringify([file, line, rule]);

/** Ruff knows no severities: what is wrong is an error, what could be better a warning. */
function withRuffSeverity(finding: LintFinding): LintFinding {
  return /^(?:F|B|E9|PLE|syntax)/.test(finding.rule) ? finding : { ...finding, severity: 'warning' };
}

function documentationOf(
  language: Language,
  sources: readonly SandboxFile[],
  runs: readonly RunResult[],
): Analysis['documentation'] {
  if (language !== 'python') {
    return readDocComments(language, sources.map(textOf));
  }
  const run = resultOf(runs, 'docstrings');
  return reportOf(run, parseDocstringReport) ?? notFinished(run);
}

const textOf = ({ path, content }: SandboxFile) => ({ path, text: content.toString('utf8') });

/** A README counts whatever the code says. */
function withOverview(documentation: Analysis['documentation'], hasReadme: boolean): Analysis['documentation'] {
  return 'unmeasured' in documentation
    ? documentation
    : { ...documentation, hasOverview: documentation.hasOverview || hasReadme };
}

/** One that says something: a heading alone does not. */
const minReadmeWords = 20;

function isReadme({ path, content }: SandboxFile): boolean {
  const words = content.toString('utf8', 0, maxSourceBytes).match(/\p{L}{2,}/gu) ?? [];
  return posix.dirname(path) === '.' && /^readme(?:\.\w+)?$/i.test(path) && words.length >= minReadmeWords;
}

const notFinished = ({ status }: RunResult): Unmeasured => ({
  unmeasured: 'lost',
  reason: `The analysis of these files did not finish: ${status}.`,
});

/** Runs that are not of the tests. */
const otherRuns = new Set(['lint', 'compile', 'docstrings']);

/** What the tests of a judging took together; null unless all of them ran and passed: a program that ends early is fast. */
export function measureOf({ checks: { verdict, tests }, runs }: Judged): Measure | null {
  if (verdict !== 'accepted' && verdict !== 'check-failed') return null;
  // Where a share of the points is enough, an accepted one may have failed some.
  if (tests.length === 0 || tests.some(({ outcome }) => outcome !== 'passed')) return null;
  // Where each test has a process of its own, what a checker took is not among it.
  const each = tests.every(({ cpuTimeMs }) => cpuTimeMs !== null) ? tests : runs.filter(({ name }) => !otherRuns.has(name));
  return {
    cpuTimeMs: Math.round(each.reduce((sum, { cpuTimeMs }) => sum + (cpuTimeMs ?? 0), 0)),
    memoryPeakBytes: Math.max(0, ...each.map(({ memoryPeakBytes }) => memoryPeakBytes ?? 0)),
  };
}

/** The exercise's own solution in this language, over the starter; null where there is none. */
export function solutionFiles({ files, checks, language: ownLanguage }: Revision, language: Language): SandboxFile[] | null {
  const entryOf = (name: Language): string => languages[name].entryFile;
  const solution = files.filter(({ role }) => role === 'solution');
  const isThere =
    checks.kind === 'program'
      ? solution.some(({ path }) => path === entryOf(language))
      : language === ownLanguage && solution.length > 0;
  if (!isThere) return null;
  // One program at a time: its language is told by its entry file.
  const others = new Set(checks.kind === 'program' ? checks.languages.filter((other) => other !== language).map(entryOf) : []);
  const given = files.filter(({ role, path }) => role === 'starter' && !solution.some((file) => file.path === path));
  return [...given, ...solution]
    .filter(({ path }) => !others.has(path))
    .map(({ path, content }) => ({ path, content: Buffer.from(content) }));
}
