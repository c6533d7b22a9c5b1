import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const projectFolder = dirname(dirname(import.meta.dirname));
export const node24 = join(projectFolder, 'node_modules', '.bin', 'node');

/** A new folder that user `postgres`, too, may pass through, as the launcher makes data folders. */
export function makeFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'atelier-scripts-'));
  chmodSync(path, 0o711);
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export interface Command {
  readonly child: ChildProcess;
  /** All it printed so far. */
  output(): string;
  /** Standard output alone: what is in both comes in no order. */
  stdout(): string;
  readonly ended: Promise<number | NodeJS.Signals>;
}

/** Starts a program in a group of its own, as a terminal would. */
export function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv, cwd = projectFolder): Command {
  const child = spawn(program, args, { env, cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ended = new Promise<number | NodeJS.Signals>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'SIGKILL'));
  });
  return { child, output: () => output, stdout: () => stdout, ended };
}

/** Waits until a condition holds and gives its value. */
export async function until<T>(
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  what: string,
  timeoutMs = 15_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(30);
  }
}

/** Whether a process is there; one that ended and was not yet read by its parent counts as gone. */
export { identify as findProcess } from '../../src/embedded/process-identity.ts';
