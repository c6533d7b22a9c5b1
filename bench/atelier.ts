import { randomUUID } from 'node:crypto';
import type { RunRequest, RunResult, Sandbox, SandboxJob } from '../src/sandbox/sandbox.ts';
import type { Contender, ContenderName } from './contenders.ts';
import { limits, type Program } from './programs.ts';

const jobTimeoutMs = 60_000;

/** A job of `count` runs of one program in one sandbox. */
export function jobOf(program: Program, count = 1, isPrebooted = false): SandboxJob {
  const { argv, interpreter, files } = program;
  const run = (index: number): RunRequest => ({
    name: `case-${index + 1}`,
    argv,
    limits,
    ...(isPrebooted && interpreter !== null && { interpreter }),
  });
  return {
    label: { submissionId: randomUUID(), attempt: 1, deadline: new Date(Date.now() + jobTimeoutMs) },
    files,
    runs: Array.from({ length: count }, (_, index) => run(index)),
  };
}

export function runJobIn(sandbox: Sandbox, job: SandboxJob): Promise<readonly RunResult[]> {
  return sandbox.run(job, { signal: AbortSignal.timeout(jobTimeoutMs) });
}

/** Our own sandbox: a job of one run, from the call to its result. */
export function ours(name: ContenderName, sandbox: Sandbox, method: string): Contender {
  const isPrebooted = name === 'atelierPrebooted';
  return {
    name,
    method,
    can: ({ interpreter }) => !isPrebooted || interpreter !== null,
    async run(program) {
      const [result] = await runJobIn(sandbox, jobOf(program, 1, isPrebooted));
      if (result === undefined) throw new Error('the sandbox gave no result');
      return { exitCode: result.exitCode, stdout: result.stdout.toString(), stderr: result.stderr.toString() };
    },
  };
}
