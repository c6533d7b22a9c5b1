import type { Comparison, ProgramRevision, RunLimits } from '../domain/exercises.ts';
import type { JudgingBench } from './judge.ts';
import { languages } from './languages.ts';
import { build, requireLanguage } from './program-build.ts';
import { type RunRequest, type RunResult, SandboxError } from './sandbox.ts';

const mebibyte = 1024 * 1024;

/** The exercise's own program, which reads what a student's wrote: it may take longer than that did. */
const checkerLimits: RunLimits = {
  cpuTimeMs: 20_000,
  wallTimeMs: 60_000,
  memoryBytes: 512 * mebibyte,
  processes: 64,
  outputBytes: 64 * 1024,
  diskBytes: 64 * mebibyte,
  fileCount: 4096,
};

/** Exit codes of the Kattis problem package format; every other one is a checker that failed. */
const acceptedCode = 42;
const wrongCode = 43;

/** What a checker looks at: an output and the case that it belongs to. */
export interface ToCheck {
  /** Of the run. */
  readonly name: string;
  readonly input: string;
  readonly answer: string;
  readonly output: Buffer;
}

/**
 * Has the exercise's checker look at outputs, in a sandbox of its own that starts when the student's has ended.
 *
 * @returns by name null where it accepts, else what it says.
 * @throws SandboxError, permanent, where the checker itself fails: never a verdict.
 */
export async function runChecker(
  comparison: Extract<Comparison, { mode: 'checker' }>,
  revision: ProgramRevision,
  outputs: readonly ToCheck[],
  bench: JudgingBench,
): Promise<ReadonlyMap<string, string | null>> {
  if (outputs.length === 0) return new Map();
  const { language, path: entry } = comparison;
  requireLanguage(bench, language);
  const files = revision.files
    .filter(({ role }) => role === 'checker')
    .map(({ path, content }) => ({ path, content: Buffer.from(content) }));
  // Its compilation and its runs are not announced: they are not the student's.
  const { sandbox, label, layer, signal } = bench;
  const { program, compilerOutput } = await build(
    { language, entry, files, memoryBytes: checkerLimits.memoryBytes },
    { sandbox, label, layer, signal },
  );
  if (program === null) throw checkerFailed(`it does not compile: ${compilerOutput}`);
  const memoryBytes = checkerLimits.memoryBytes + languages[language].runtimeMemoryBytes;
  const runs = outputs.map(({ name, input, answer, output }, index): RunRequest => {
    const [inputPath, answerPath] = [`checked/${index}.in`, `checked/${index}.out`];
    return {
      name,
      // Not in a booted interpreter, which takes a program and no arguments.
      argv: [...program.start.argv, inputPath, answerPath],
      limits: { ...checkerLimits, memoryBytes },
      files: [
        { path: inputPath, content: Buffer.from(input) },
        { path: answerPath, content: Buffer.from(answer) },
      ],
      stdin: output,
    };
  });
  const results = await sandbox.run({ label, layer, files: program.files, runs, mayExecute: program.mayExecute }, { signal });
  if (results.length < runs.length) throw new SandboxError('the sandbox left out runs of the checker', { transient: true });
  return new Map(results.map((result) => [result.name, messageOf(result)]));
}

function messageOf({ name, status, exitCode, signal, stdout, stderr }: RunResult): string | null {
  if (status === 'exited' && exitCode === acceptedCode) return null;
  if (status === 'exited' && exitCode === wrongCode) return stdout.toString().trim();
  throw checkerFailed(`${name}: ${status} ${exitCode ?? signal ?? ''} ${stderr.toString()}`);
}

const checkerFailed = (why: string) =>
  new SandboxError(`the exercise's checker failed: ${why.slice(0, 1000)}`, { transient: false });
