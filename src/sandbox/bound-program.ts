import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';

/** A program that cannot be left behind. */
export interface BoundProgram {
  readonly output: Readable;
  /** When nothing of it runs any more: null where it exited with 0, else its last words on standard error. Never rejects. */
  readonly ended: Promise<string | null>;
}

/**
 * The first process of the program's namespaces: with it the kernel ends all others in them. It ends with the program, or with its own
 * input, which nobody writes to.
 */
const keeper = 'exec 3<&0; "$@" 3<&- & program=$!; { cat <&3 >/dev/null; kill -KILL "$program"; } & wait "$program"';

/**
 * Starts a program in process and mount namespaces of its own, for root on Linux. It and all that it has started end when `signal` is
 * aborted, and with this process, whatever ends that; what it mounts is seen by itself alone, and gone with it.
 */
export function startBound(argv: readonly string[], signal: AbortSignal): BoundProgram {
  const child = spawn('unshare', ['--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', keeper, 'keeper', ...argv]);
  const { promise: ended, resolve } = Promise.withResolvers<string | null>();
  let lastWords = '';
  child.stderr.on('data', (chunk: Buffer) => {
    lastWords = (lastWords + chunk.toString()).slice(-2000);
  });
  // Killed from here, `unshare` would not wait for what it has started; without input that ends first.
  const end = () => child.stdin.destroy();
  if (signal.aborted) end();
  signal.addEventListener('abort', end);
  child.once('error', ({ message }) => resolve(message));
  child.once('close', (code) => {
    signal.removeEventListener('abort', end);
    resolve(code === 0 ? null : lastWords.trim() || `it ended with ${code ?? 'a signal'}`);
  });
  return { output: child.stdout, ended };
}
