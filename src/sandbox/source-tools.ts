import type { Language, LintFinding } from '../domain/check-runs.ts';
import { isSourceOf } from '../domain/doc-comments.ts';
import type { Revision, RunLimits } from '../domain/exercises.ts';
import { languages, runnerFolder } from './languages.ts';
import { parseLintReport } from './lint-report.ts';
import { type RunRequest, type RunResult, SandboxError, type SandboxFile } from './sandbox.ts';

const mebibyte = 1024 * 1024;

/**
 * Of our own tools on the student's files: several times what the largest honest submission takes. What a sandbox holds as a whole is as
 * the exercise has it, where that is enough: the limits of the tests stay the kernel's.
 */
function toolLimits(limits: RunLimits): RunLimits {
  return {
    ...limits,
    cpuTimeMs: 20_000,
    wallTimeMs: 60_000,
    memoryBytes: Math.max(limits.memoryBytes, 256 * mebibyte),
    processes: Math.max(limits.processes, 64),
    outputBytes: mebibyte,
  };
}

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

/** What is asked of the tools. */
interface Asked {
  readonly language: Language;
  /** The linter's, a path in the work folder. */
  readonly config: string | null;
  /** Of the runs that follow in the same sandbox. */
  readonly limits: RunLimits;
  /** Whether a score is wanted. */
  readonly isScored: boolean;
  /** Files that are for the tools, and needed by no other run. Default: none. */
  readonly files?: readonly SandboxFile[];
}

/** Submissions have nothing in this folder. */
const listOfScored = '.atelier/scored.json';

/**
 * Runs that lint a submission and look for what its score takes. They come first in their sandbox, before any of the student's code has
 * run there. None for a language without a linter of ours: its compiler has looked at the source.
 */
export function sourceRuns(
  revision: Revision,
  submitted: readonly SandboxFile[],
  { language, config, limits, isScored, files = [] }: Asked,
): readonly RunRequest[] {
  const { lint } = languages[language];
  if (lint === null) return [];
  const { sources, isTooMuch } = ownSources(revision, language, submitted);
  const common = { limits: toolLimits(limits) };
  const linting = { ...common, name: 'lint', interpreter: 'node' as const };
  if (!isScored || isTooMuch || sources.length === 0) return [{ ...linting, argv: lint(config), files }];
  const list = { path: listOfScored, content: Buffer.from(JSON.stringify(sources.map(({ path }) => path))) };
  return [
    { ...linting, argv: lint(config, list.path), files: [...files, list] },
    ...(language === 'python' ? [{ ...common, name: 'docstrings', argv: findDocstrings }] : []),
  ];
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
