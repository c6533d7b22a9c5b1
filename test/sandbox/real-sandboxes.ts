import { describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { defaultRubric, type ProjectChecks, type RunLimits } from '../../src/domain/exercises.ts';
import { openSandbox } from '../../src/sandbox/choose.ts';
import type { RunOptions, RunRequest, RunResult, Sandbox, SandboxJob } from '../../src/sandbox/sandbox.ts';
import { runner, runtime } from '../support/runner.ts';

const mebibyte = 1024 * 1024;

export const limits: RunLimits = {
  cpuTimeMs: 10_000,
  wallTimeMs: 20_000,
  memoryBytes: 256 * mebibyte,
  processes: 64,
  outputBytes: 64 * 1024,
  diskBytes: 8 * mebibyte,
  fileCount: 4096,
};

/** Of a project whose tests share the process of the student's code. */
export function projectChecks(tests: ProjectChecks['tests']): ProjectChecks {
  return {
    kind: 'project',
    testStyle: 'shared-process',
    tests,
    command: null,
    lintConfig: '.atelier/lint.json',
    limits,
    rubric: defaultRubric,
    passPercent: null,
  };
}

export interface RealSandbox {
  readonly kind: Sandbox['kind'];
  readonly sandbox: Sandbox | null;
  readonly reason: string;
}

/** One that cannot be used here is reported by the suites as skipped; in CI, as failed. */
export const isRequired = process.env['CI'] === 'true';

/** Builds the runner image where it is missing, which takes a minute or more. */
export async function openReal(kind: Sandbox['kind']): Promise<RealSandbox> {
  const { sandbox, probes } = await openSandbox(kind, { onMessage: () => undefined, runner, runtime });
  return { kind, sandbox, reason: probes[0]?.reason ?? '' };
}

export function jobOf(files: Readonly<Record<string, string | Buffer>>, runs: readonly RunRequest[]): SandboxJob {
  return {
    label: { submissionId: randomUUID(), attempt: 1, deadline: new Date(Date.now() + 300_000) },
    files: Object.entries(files).map(([path, content]) => ({
      path,
      content: typeof content === 'string' ? Buffer.from(content) : content,
    })),
    runs,
  };
}

export const options = (signal = AbortSignal.timeout(60_000)): RunOptions => ({ signal });

/** Makes one run in a fresh sandbox. */
export async function runOne(
  sandbox: Sandbox,
  argv: readonly string[],
  { files = {}, ...changed }: Partial<RunLimits> & { readonly files?: Readonly<Record<string, string | Buffer>> } = {},
): Promise<RunResult> {
  const [result] = await sandbox.run(jobOf(files, [{ name: 'only', argv, limits: { ...limits, ...changed } }]), options());
  if (result === undefined) throw new Error('no result');
  return result;
}

/** The same tests with every sandbox that this machine has. */
export async function describeReal(tests: (sandbox: Sandbox) => void): Promise<void> {
  for (const { kind, sandbox, reason } of [await openReal('docker'), await openReal('bubblewrap')]) {
    if (sandbox !== null) {
      describe(kind, () => {
        tests(sandbox);
      });
      continue;
    }
    (isRequired ? describe : describe.skip)(`${kind} is not usable: ${reason}`, () => {
      test('required in CI', () => {
        expect(kind).toBe('usable');
      });
    });
  }
}
