import { type Language, languageNames } from '../domain/check-runs.ts';
import type { RunLimits } from '../domain/exercises.ts';
import { languages } from './languages.ts';
import { type RunOptions, type RunResult, type Sandbox, SandboxError, type SandboxJob } from './sandbox.ts';

const mebibyte = 1024 * 1024;

/** A Java compiler on a machine of many cores needs this much to say its version. */
const limits: RunLimits = {
  cpuTimeMs: 20_000,
  wallTimeMs: 60_000,
  memoryBytes: 512 * mebibyte,
  processes: 128,
  outputBytes: 10_000,
  diskBytes: 8 * mebibyte,
  fileCount: 1000,
};

/** A first line may be as long as a line of a page. */
const maxVersionLength = 80;

function versionOf({ status, exitCode, stdout }: RunResult): string | null {
  const [line = ''] = stdout.toString().trim().split('\n');
  return status === 'exited' && exitCode === 0 && line !== '' ? line.slice(0, maxVersionLength) : null;
}

/**
 * Asks the tools of every language for their version, in one job: what answers can be run here.
 *
 * @returns the languages with their version as shown to students, in the order of `languageNames`
 * @throws SandboxError where nothing can be run, also where Node cannot: the runner itself needs it
 */
export async function probeLanguages(
  run: (job: SandboxJob, options: RunOptions) => Promise<readonly RunResult[]>,
): Promise<Sandbox['languages']> {
  const job: SandboxJob = {
    label: { submissionId: 'probe', attempt: 0, deadline: new Date(Date.now() + 120_000) },
    files: [],
    runs: languageNames.map((name) => ({ name, argv: languages[name].version, limits })),
  };
  const results = await run(job, { signal: AbortSignal.timeout(120_000) });
  const found = new Map<Language, string>();
  for (const name of languageNames) {
    const result = results.find((candidate) => candidate.name === name);
    const version = result === undefined ? null : versionOf(result);
    if (version !== null) found.set(name, version);
    if (name === 'javascript' && version === null) {
      const reason = result?.stderr.toString().trim() ?? 'no result';
      throw new SandboxError(`the runner does not work: ${reason}`, { transient: false });
    }
  }
  return found;
}
