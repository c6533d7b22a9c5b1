import type { Language } from '../domain/check-runs.ts';
import type { ProgramRevision, RunLimits } from '../domain/exercises.ts';
import type { JudgingBench } from './judge.ts';
import { languages } from './languages.ts';
import { reportText } from './report-text.ts';
import { type RunRequest, type RunResult, SandboxError, type SandboxFile } from './sandbox.ts';

/** Compiled programs of an exercise are a few megabytes; more is mostly data that was to blow up the judge. */
const maxArtifactBytes = 32 * 1024 * 1024;
const maxCompilerOutput = 20_000;

/** A program that is ready to run: what its sandbox takes, and how it is started there. */
export interface Program {
  readonly files: readonly SandboxFile[];
  readonly start: Pick<RunRequest, 'argv' | 'interpreter'>;
  readonly mayExecute: boolean;
}

export interface Build {
  /** Null where the sources are no program; `compilerOutput` says why. */
  readonly program: Program | null;
  /** What the compiler said, cut; null where nothing was compiled. */
  readonly compilerOutput: string | null;
  readonly run: RunResult | null;
}

/** What a program is made of. */
interface Sources {
  readonly language: Language;
  readonly entry: string;
  readonly files: readonly SandboxFile[];
  readonly memoryBytes: number;
}

/** Folders that are the exercise's alone: whatever a submission has there is left out. */
const ownFolders = /^(?:cases|checker|\.atelier|\.git)(?:\/|$)/;

/** What of a submission reaches a sandbox. The expected outputs are not there, not even those that students see. */
export const programFiles = (submitted: readonly SandboxFile[]): readonly SandboxFile[] =>
  submitted.filter(({ path }) => !ownFolders.test(path));

/**
 * Tells a submission's language by its entry file. A starter may bring one for each language: those that are as they came do not count
 * beside one that is not.
 *
 * @returns the language, or what is wrong in words for the student.
 */
export function findLanguage(
  revision: ProgramRevision,
  files: readonly SandboxFile[],
): { language: Language } | { problem: string } {
  const contents = new Map(files.map(({ path, content }) => [path, content]));
  const starter = new Map(revision.files.filter(({ role }) => role === 'starter').map(({ path, content }) => [path, content]));
  const there = revision.checks.languages.filter((language) => contents.has(languages[language].entryFile));
  const changed = there.filter((language) => {
    const { entryFile } = languages[language];
    return contents.get(entryFile)?.toString() !== starter.get(entryFile);
  });
  const [language, ...others] = there.length > 1 && changed.length > 0 ? changed : there;
  if (language !== undefined && others.length === 0) return { language };
  const names = (list: readonly Language[]) => list.map((name) => languages[name].entryFile).join(', ');
  const problem =
    language === undefined ? 'There is no program.' : `There are several programs: ${names([language, ...others])}.`;
  return { problem: `${problem} Submit exactly one of these files: ${names(revision.checks.languages)}.` };
}

/** @throws SandboxError where this machine cannot run the language: our trouble, not the student's. */
export function requireLanguage({ sandbox }: Pick<JudgingBench, 'sandbox'>, language: Language): string {
  const version = sandbox.languages.get(language);
  if (version === undefined) {
    throw new SandboxError(`the sandbox (${sandbox.kind}, ${sandbox.identity}) does not offer ${language}`, { transient: false });
  }
  return version;
}

/**
 * Makes a program of sources, compiling them in a sandbox of its own where the language wants that: the compiler's files are then not in
 * the program's reach, nor the other way round.
 *
 * @param sources `entry` is the path of the program's main file, `memoryBytes` what the exercise gives the program.
 */
export async function build(
  { language, entry, files, memoryBytes }: Sources,
  { sandbox, label, layer, signal, onRunStart }: JudgingBench,
): Promise<Build> {
  const { compile, run: argvOf, interpreter, mayExecute } = languages[language];
  const sources: Program = {
    files,
    start: { argv: argvOf(entry, memoryBytes), ...(interpreter === null ? {} : { interpreter }) },
    mayExecute,
  };
  if (compile === null) return { program: sources, compilerOutput: null, run: null };
  const name = 'compile';
  const artifact = compile.artifact === null ? {} : { artifact: { path: compile.artifact, maxBytes: maxArtifactBytes } };
  const request: RunRequest = { name, argv: compile.argv(entry), limits: compile.limits, ...artifact };
  const options = { signal, ...(onRunStart === undefined ? {} : { onRunStart }) };
  const [run] = await sandbox.run({ label, layer, files, runs: [request] }, options);
  if (run === undefined) throw new SandboxError('the sandbox returned no compile run', { transient: true });
  const output = [run.stderr, run.stdout].map(String).filter(Boolean).join('\n');
  const said = (more: string) => reportText([output, more].filter(Boolean).join('\n'), maxCompilerOutput);
  if (run.status !== 'exited') return { program: null, compilerOutput: said(`The compiler was stopped: ${run.status}.`), run };
  if (run.exitCode !== 0) return { program: null, compilerOutput: said(''), run };
  if (compile.artifact === null) return { program: sources, compilerOutput: said(''), run };
  if (run.artifact === null) {
    const mebibytes = maxArtifactBytes / 1024 / 1024;
    return { program: null, compilerOutput: said(`The compiler made no program, or one of more than ${mebibytes} MiB.`), run };
  }
  const compiled = { path: compile.artifact, content: run.artifact, isExecutable: mayExecute };
  const program = { files: [compiled], start: { argv: argvOf(compile.artifact, memoryBytes) }, mayExecute };
  return { program, compilerOutput: said(''), run };
}

/** Limits of a program's runs: slower languages get more time where an exercise takes several, and each its runtime's memory. */
export function programLimits({ checks }: ProgramRevision, language: Language): RunLimits {
  const { timeFactor, runtimeMemoryBytes } = languages[language];
  const factor = checks.languages.length > 1 ? timeFactor : 1;
  return {
    ...checks.limits,
    cpuTimeMs: Math.ceil(checks.limits.cpuTimeMs * factor),
    wallTimeMs: Math.ceil(checks.limits.wallTimeMs * factor),
    memoryBytes: checks.limits.memoryBytes + runtimeMemoryBytes,
  };
}
