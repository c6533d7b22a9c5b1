import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { identify, isRunning } from '../embedded/process-identity.ts';

const prefix = 'atelier-base-';
const ownerFile = 'owner';
const stopSignals = ['SIGHUP', 'SIGINT', 'SIGTERM'] as const;

/**
 * Does `work` in a new folder among the temporary files, which is removed whatever happens. `signal` is aborted where this process is
 * asked to stop: it then ends when the folder is gone, or at once when it is asked again. Folders that killed processes left are removed
 * first.
 */
export async function inBaseFolder<T>(
  work: (folder: string, signal: AbortSignal) => Promise<T>,
  onProgress: (message: string) => void,
): Promise<T> {
  const place = await realpath(tmpdir());
  await removeLeftBases(place, onProgress);
  const stop = listenForStop();
  try {
    const folder = await mkdtemp(join(place, prefix));
    try {
      await writeFile(join(folder, ownerFile), ownName());
      return await work(folder, stop.signal);
    } finally {
      await removeUnmounted(folder);
    }
  } finally {
    stop.end();
  }
}

/** Removes the folders in `place` whose process is gone. One of which something stays mounted is left as it is. Does not throw. */
export async function removeLeftBases(place: string, onProgress: (message: string) => void): Promise<void> {
  for (const name of await readdir(place)) {
    if (!name.startsWith(prefix)) continue;
    const folder = join(place, name);
    try {
      if (await isLeft(folder)) await removeUnmounted(folder);
    } catch (error) {
      onProgress(`${folder}, left by a process that is gone, stays: ${String(error)}`);
    }
  }
}

/** A process id alone may be somebody else's by now. */
function ownName(): string {
  const identity = identify(process.pid);
  if (identity === undefined) throw new Error('this process does not find itself in /proc');
  return `${identity.pid} ${identity.startedAt}`;
}

/** Of a folder that does not say whose it is, as it has just been made, nobody knows. */
async function isLeft(folder: string): Promise<boolean> {
  const owner = await readFile(join(folder, ownerFile), 'utf8').catch(() => '');
  const [, pid, startedAt] = /^(\d+) (\S+)$/.exec(owner) ?? [];
  return pid !== undefined && startedAt !== undefined && !isRunning({ pid: Number(pid), startedAt });
}

/** @throws where something cannot be unmounted: removing would reach through it. */
async function removeUnmounted(folder: string): Promise<void> {
  // What lies on top of another was mounted after it.
  for (const mounted of mountsIn(folder).toReversed()) await promisify(execFile)('umount', [mounted]);
  await rm(folder, { recursive: true, force: true });
}

/** Oldest first. */
function mountsIn(folder: string): readonly string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) =>
      (line.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(parseInt(code, 8))),
    )
    .filter((place) => place === folder || place.startsWith(`${folder}/`));
}

/** Until `end`, a signal does not end this process; `end` lets it do so where nobody else here listens to it. */
function listenForStop(): { readonly signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  let heldBack: NodeJS.Signals | null = null;
  const forget = () => {
    for (const name of stopSignals) process.removeListener(name, onStop);
  };
  const onStop = (name: NodeJS.Signals) => {
    forget();
    if (process.listenerCount(name) === 0) heldBack = name;
    controller.abort(new Error(`stopped by ${name}`));
  };
  // First, while those that listen once are still to be counted.
  for (const name of stopSignals) process.prependListener(name, onStop);
  return {
    signal: controller.signal,
    end() {
      forget();
      if (heldBack !== null) process.kill(process.pid, heldBack);
    },
  };
}
