import { type Language, languageNames } from '../domain/check-runs.ts';
import type { RunLimits } from '../domain/exercises.ts';
import { languages } from './languages.ts';
import { type Sandbox, SandboxError, type SandboxJob } from './sandbox.ts';

const mebibyte = 1024 * 1024;
const limits: RunLimits = {
  cpuTimeMs: 20_000,
  wallTimeMs: 30_000,
  memoryBytes: 512 * mebibyte,
  processes: 64,
  outputBytes: 10_000,
  diskBytes: 16 * mebibyte,
  fileCount: 1000,
};

/** Of the linters and the test runners: a sandbox without them judges nothing. */
const needed: readonly Language[] = ['javascript', 'python'];

/**
 * Asks every tool for its version, which tries out the sandbox, too.
 *
 * @returns the languages that this sandbox can run.
 * @throws SandboxError, not transient, where one is missing that nothing works without.
 */
export async function readLanguages(sandbox: Sandbox): Promise<ReadonlyMap<Language, string>> {
  const job: SandboxJob = {
    label: { submissionId: 'probe', attempt: 1, deadline: new Date(Date.now() + 300_000) },
    files: [],
    runs: languageNames.map((name) => ({ name, argv: languages[name].version, limits })),
  };
  const results = await sandbox.run(job, { signal: AbortSignal.timeout(120_000) });
  const versions = new Map<Language, string>();
  for (const [index, { exitCode, status, stdout, stderr }] of results.entries()) {
    const name = languageNames[index];
    if (name === undefined) continue;
    if (exitCode === 0) versions.set(name, stdout.toString().trim().split('\n')[0] ?? '');
    else if (needed.includes(name))
      throw new SandboxError(`${name} does not run: ${status} ${stderr.toString().trim()}`, { transient: false });
  }
  return versions;
}
