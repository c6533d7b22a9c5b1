import type { Language, LintFinding } from '../domain/check-runs.ts';
import { isSourceOf } from '../domain/doc-comments.ts';
import type { Revision, RunLimits } from '../domain/exercises.ts';
import type { JudgingBench } from './judge.ts';
import { languages, runnerFolder } from './languages.ts';
import { parseLintReport } from './lint-report.ts';
import { type RunRequest, type RunResult, SandboxError, type SandboxFile } from './sandbox.ts';

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
export const maxSourceBytes = mebibyte;

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

/** The sources among them; `isTooMuch`: more than is analysed. */
export function ownSources(
  revision: Revision,
  language: Language,
  submitted: readonly SandboxFile[],
): { readonly sources: readonly SandboxFile[]; readonly isTooMuch: boolean } {
  const sources = ownFiles(revision, submitted).filter(({ path }) => isSourceOf(language, path));
  return { sources, isTooMuch: sources.reduce((sum, { content }) => sum + content.length, 0) > maxSourceBytes };
}

/** Of these, the paths that a score is to look at; none where nobody asked for one. */
export function scoredPaths(
  revision: Revision,
  language: Language,
  submitted: readonly SandboxFile[],
  { isScored = false }: Pick<JudgingBench, 'isScored'>,
): readonly string[] {
  const { sources, isTooMuch } = ownSources(revision, language, submitted);
  return isScored && !isTooMuch ? sources.map(({ path }) => path) : [];
}

/** What the tools look at. */
interface Source {
  readonly language: Language;
  /** All that is linted, with the linter's configuration. */
  readonly files: readonly SandboxFile[];
  readonly config: string | null;
  /** Paths of the files whose code is scored; empty: there is no score. */
  readonly scored: readonly string[];
}

/** Submissions have nothing in this folder. */
const listOfScored = '.atelier/scored.json';

/**
 * Lints a submission, and looks for what its score takes, in a sandbox of its own: the student's code has never run there, and it can run
 * elsewhere meanwhile. Nothing is run for a language without a linter of ours: its compiler has looked at the source.
 *
 * @throws SandboxError for our own trouble.
 */
export async function runSourceTools(
  { language, files, config, scored }: Source,
  { sandbox, label, signal, onRunStart }: JudgingBench,
): Promise<readonly RunResult[]> {
  const { lint } = languages[language];
  if (lint === null) return [];
  const isScored = scored.length > 0;
  const list = isScored ? [{ path: listOfScored, content: Buffer.from(JSON.stringify(scored)) }] : [];
  const runs: RunRequest[] = [
    { name: 'lint', argv: isScored ? lint(config, listOfScored) : lint(config), limits, interpreter: 'node' },
    ...(isScored && language === 'python' ? [{ name: 'docstrings', argv: findDocstrings, limits }] : []),
  ];
  return sandbox.run({ label, files: [...files, ...list], runs }, { signal, ...(onRunStart && { onRunStart }) });
}

/** Isolated: nothing of the student's folder is imported. */
const findDocstrings = ['python3', '-I', '-S', '-B', `${runnerFolder}/find_docstrings.py`, listOfScored];

/** Of the exercise's own configuration, or the linter's defaults, whose findings decide nothing. */
export function readLintFindings(runs: readonly RunResult[]): readonly LintFinding[] {
  const lint = runs.find(({ name }) => name === 'lint');
  if (lint === undefined) return [];
  const [report] = linesOf(lint);
  if (report !== undefined) return parseLintReport(report);
  if (lint.status === 'exited') throw new SandboxError('the linter gave no report', { transient: false });
  return [{ file: '', line: 0, rule: 'limits', severity: 'error', message: `the linter did not finish: ${lint.status}` }];
}

/** Of our own configuration, for the score; null where the student's files made the linter end early. @throws SandboxError */
export function readScoredFindings(lint: RunResult): readonly LintFinding[] | null {
  const [, report] = linesOf(lint);
  return reportOf({ ...lint, report: report ?? null }, parseLintReport);
}

/** A report's whole lines: a linter that is stopped may have begun one. */
const linesOf = ({ report }: RunResult): readonly string[] => report?.split('\n').slice(0, -1) ?? [];

/**
 * What a tool's report says; null where the student's files made the tool end early.
 *
 * @throws SandboxError where it ended by itself without one: our trouble.
 */
export function reportOf<T>({ name, status, report, stderr }: RunResult, read: (report: string) => T): T | null {
  if (report !== null) return read(report);
  const said = stderr.toString('utf8', 0, 500);
  if (status === 'exited') throw new SandboxError(`${name} gave no report: ${said}`, { transient: false });
  return null;
}
