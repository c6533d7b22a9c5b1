import type { ProgramRevision } from '../domain/exercises.ts';
import type { Judged, JudgingBench } from './judge.ts';
import { SandboxError, type SandboxFile } from './sandbox.ts';

/** Judges a program by its output for the inputs of its exercise. */
export function judgeProgram(
  _revision: ProgramRevision,
  _submitted: readonly SandboxFile[],
  _bench: JudgingBench,
): Promise<Judged> {
  return Promise.reject(new SandboxError('programs are not judged yet', { transient: false }));
}
