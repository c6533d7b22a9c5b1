import { type RunResult, SandboxError } from './sandbox.ts';

/** @throws SandboxError, transient, where the run is missing. */
export function resultOf(results: readonly RunResult[], name: string): RunResult {
  const result = results.find((candidate) => candidate.name === name);
  if (result === undefined) throw new SandboxError(`the sandbox returned no ${name} run`, { transient: true });
  return result;
}
