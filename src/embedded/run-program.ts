import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { codeOf } from './errors.ts';
import { signal as sendSignal } from './process-identity.ts';

export interface ProgramOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** User and group it runs as; only root may choose. */
  readonly uid?: number;
  readonly gid?: number;
  readonly timeoutMs?: number;
  /** Aborted, the program and all it started are killed. */
  readonly signal?: AbortSignal;
  /** Each line of its output as it comes. */
  readonly onLine?: (line: string) => void;
}

/** A program could not be run or did not succeed; the message ends in its last lines. */
export class ProgramFailed extends Error {
  readonly output: string;

  constructor(program: string, why: string, output: string) {
    super(`${program} ${why}${output === '' ? '' : `:\n${output.trimEnd().split('\n').slice(-12).join('\n')}`}`);
    this.output = output;
  }
}

/**
 * Runs a program to its end and gives what it printed.
 *
 * It has a process group of its own: Ctrl-C in a terminal reaches the launcher only, which decides what stops when.
 *
 * @throws ProgramFailed, also when it is not there, takes too long or was aborted
 */
export function runProgram(program: string, args: readonly string[], options: ProgramOptions = {}): Promise<string> {
  const { timeoutMs, signal, onLine, ...identity } = options;
  return new Promise((resolve, reject) => {
    const stop = AbortSignal.any([
      ...(signal ? [signal] : []),
      ...(timeoutMs === undefined ? [] : [AbortSignal.timeout(timeoutMs)]),
    ]);
    if (stop.aborted) return reject(new ProgramFailed(program, 'was not started', ''));
    const child = spawn(program, args, { ...identity, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const onAbort = () => child.pid !== undefined && sendSignal(-child.pid, 'SIGKILL');
    stop.addEventListener('abort', onAbort);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      // A flood is cut at the front: what explains a failure comes last.
      stream.on('data', (chunk: string) => (output = (output + chunk).slice(-200_000)));
      if (onLine) createInterface({ input: stream }).on('line', onLine);
    }
    child.once('error', (error) => {
      stop.removeEventListener('abort', onAbort);
      reject(new ProgramFailed(program, `could not be run (${codeOf(error) ?? error.message})`, ''));
    });
    child.once('close', (code, killedBy) => {
      stop.removeEventListener('abort', onAbort);
      if (code === 0) return resolve(output);
      const why = signal?.aborted
        ? 'was interrupted'
        : stop.aborted
          ? 'took too long'
          : `failed (${killedBy ?? `exit code ${code}`})`;
      reject(new ProgramFailed(program, why, output));
    });
  });
}
