import { type Language, languageNames } from '../domain/check-runs.ts';
import type { RunLimits } from '../domain/exercises.ts';
import { languages } from './languages.ts';
import { type Sandbox, SandboxError, type SandboxJob } from './sandbox.ts';

const mebibyte = 1024 * 1024;
/** Shown on one line. */
const maxVersionLength = 80;
/** A Java compiler takes the most. */
const limits: RunLimits = {
  cpuTimeMs: 20_000,
  wallTimeMs: 60_000,
  memoryBytes: 512 * mebibyte,
  processes: 128,
  outputBytes: 10_000,
  diskBytes: 16 * mebibyte,
  fileCount: 1000,
};

/** Of the linters and the test runners: a sandbox without them judges nothing. */
const needed: readonly Language[] = ['javascript', 'python'];

/**
 * Asks the tools of every language for their version, in one job, which tries out the sandbox, too.
 *
 * @returns the languages that this sandbox can run, each with its version as shown to students.
 * @throws SandboxError, not transient, where one is missing that nothing works without.
 */
export async function readLanguages(sandbox: Pick<Sandbox, 'run'>): Promise<ReadonlyMap<Language, string>> {
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
    const [version = ''] = stdout.toString().trim().split('\n');
    if (exitCode === 0 && version !== '') versions.set(name, version.slice(0, maxVersionLength));
    else if (needed.includes(name))
      throw new SandboxError(`${name} does not run: ${status} ${stderr.toString().trim()}`, { transient: false });
  }
  return versions;
}
