import { posix } from 'node:path';
import type { JudgedChecks, Language, LintFinding } from '../domain/check-runs.ts';
import { measureComplexity } from '../domain/complexity.ts';
import { isSourceOf, readDocComments } from '../domain/doc-comments.ts';
import type { Revision, RunLimits } from '../domain/exercises.ts';
import type { Documentation, Measure, Unmeasured } from '../domain/score.ts';
import { parseCompilerWarnings } from './compiler-warnings.ts';
import { parseDocstringReport } from './docstring-report.ts';
import type { Judged, JudgingBench } from './judge.ts';
import { languages, runnerFolder } from './languages.ts';
import { parseLintReport } from './lint-report.ts';
import { type RunRequest, type RunResult, SandboxError, type SandboxFile } from './sandbox.ts';

/** What can be said of a submission's source without running it. */
export interface Analysis {
  readonly quality: readonly LintFinding[] | Unmeasured;
  readonly documentation: Documentation | Unmeasured;
  readonly runs: readonly RunResult[];
}

const mebibyte = 1024 * 1024;

/** Of our own tools on the student's files: several times what the largest honest submission takes. */
const limits: RunLimits = {
  cpuTimeMs: 20_000,
  wallTimeMs: 60_000,
  memoryBytes: 512 * mebibyte,
  processes: 64,
  outputBytes: mebibyte,
  diskBytes: 16 * mebibyte,
  fileCount: 1024,
};

/** Of all sources together; more is data, and not worth the judge's time. */
const maxSourceBytes = mebibyte;

/** Folders that are not the student's work: the exercise's, and installed packages. */
const foreignFolders = /^(?:test|tests|cases|checker|node_modules|\.atelier|\.git)(?:\/|$)/;

/** The files of a submission that its student wrote or changed. */
export function ownFiles(revision: Revision, submitted: readonly SandboxFile[]): readonly SandboxFile[] {
  const starter = new Map(revision.files.filter(({ role }) => role === 'starter').map(({ path, content }) => [path, content]));
  const others = new Set(revision.files.filter(({ role }) => role !== 'starter' && role !== 'solution').map(({ path }) => path));
  return submitted.filter(({ path, content }) => {
    const given = starter.get(path);
    return !others.has(path) && !foreignFolders.test(path) && (given === undefined || !content.equals(Buffer.from(given)));
  });
}

/**
 * Analyses what the student wrote, in a sandbox of its own that the student's code has never run in: linters read hostile files.
 *
 * @throws SandboxError for our own trouble.
 */
export async function analyse(
  revision: Revision,
  submitted: readonly SandboxFile[],
  checks: JudgedChecks,
  bench: JudgingBench,
): Promise<Analysis> {
  const { language } = checks;
  const own = ownFiles(revision, submitted);
  const sources = own.filter(({ path }) => isSourceOf(language, path));
  if (sources.length === 0) {
    const nothing = { unmeasured: 'lost', reason: 'There is no code of your own: all files are as in the starter.' } as const;
    return { quality: nothing, documentation: nothing, runs: [] };
  }
  if (sources.reduce((sum, { content }) => sum + content.length, 0) > maxSourceBytes) {
    const tooMuch = {
      unmeasured: 'lost',
      reason: `There is more than ${maxSourceBytes} bytes of source: too much to analyse.`,
    } as const;
    return { quality: tooMuch, documentation: tooMuch, runs: [] };
  }
  const isOwn = (path: string) => sources.some((source) => source.path === path);
  const hasReadme = own.some(isReadme);
  const runs = await runTools(language, sources, bench);
  const findings = [...checks.lintFindings.filter(({ file }) => isOwn(file)), ...compilerWarnings(checks, isOwn)];
  return {
    quality: qualityOf(language, sources, findings, runs),
    documentation: withOverview(documentationOf(language, sources, runs), hasReadme),
    runs,
  };
}

/** The linters of Atelier's own choice, and Python's own parser; nothing for what a compiler has looked at already. */
async function runTools(
  language: Language,
  files: readonly SandboxFile[],
  { sandbox, label, signal, onRunStart }: JudgingBench,
): Promise<readonly RunResult[]> {
  const config = language === 'python' ? 'analysis-ruff.json' : 'analysis-oxlint.json';
  const lint = { name: 'analysis', argv: ['node', `${runnerFolder}/lint.mjs`, language, `${runnerFolder}/${config}`], limits };
  const docstrings = { name: 'docstrings', argv: ['python3', `${runnerFolder}/find_docstrings.py`], limits };
  const requests: Partial<Record<Language, readonly RunRequest[]>> = {
    javascript: [lint],
    typescript: [lint],
    python: [lint, docstrings],
  };
  const runs = requests[language];
  if (runs === undefined) return [];
  return sandbox.run({ label, files, runs }, { signal, ...(onRunStart === undefined ? {} : { onRunStart }) });
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
  const run = resultOf(runs, 'analysis');
  const report = reportOf(run);
  if (report === null) return notFinished(run);
  const known = new Set(findings.map(placeOf));
  const more = parseLintReport(report).filter((finding) => !known.has(placeOf(finding)));
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
  const report = reportOf(run);
  return report === null ? notFinished(run) : parseDocstringReport(report);
}

const textOf = ({ path, content }: SandboxFile) => ({ path, text: content.toString('utf8') });

function resultOf(runs: readonly RunResult[], wanted: string): RunResult {
  const run = runs.find(({ name }) => name === wanted);
  if (run === undefined) throw new SandboxError(`the sandbox returned no ${wanted} run`, { transient: true });
  return run;
}

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

/**
 * A tool's report; null where the student's files made it end early.
 *
 * @throws SandboxError where it ended by itself without one: our trouble.
 */
function reportOf({ name, status, report, stderr }: RunResult): string | null {
  if (report !== null) return report;
  const said = stderr.toString('utf8', 0, 500);
  if (status === 'exited') throw new SandboxError(`${name} gave no report: ${said}`, { transient: false });
  return null;
}

const notFinished = ({ status }: RunResult): Unmeasured => ({
  unmeasured: 'lost',
  reason: `The analysis of these files did not finish: ${status}.`,
});

/** Runs that are not of the tests. */
const otherRuns = new Set(['lint', 'compile', 'analysis', 'docstrings']);

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
