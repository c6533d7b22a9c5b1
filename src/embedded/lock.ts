import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { codeOf } from './errors.ts';
import { identify, isRunning } from './process-identity.ts';

const Holder = z.object({ pid: z.number().int(), startedAt: z.string(), what: z.string() });

/** The process that holds a lock, and what it said it is doing. */
export type LockHolder = z.output<typeof Holder>;

export interface Lock {
  /** False when somebody deleted the file: from then on another process may have taken it. */
  isHeld(): boolean;
  release(): void;
}

/** The lock is held by a process that runs. */
export class LockHeld extends Error {
  readonly holder: LockHolder;

  constructor(holder: LockHolder) {
    super(`held by process ${holder.pid}: ${holder.what}`);
    this.holder = holder;
  }
}

/**
 * Takes a lock file for this process. A lock whose holder no longer runs (killed, power loss, restarted container) is taken over.
 *
 * @param what told to whoever finds the lock held
 * @throws LockHeld
 */
export function takeLock(file: string, what: string): Lock {
  mkdirSync(dirname(file), { recursive: true });
  const mine = `${file}.${process.pid}`;
  writeFileSync(mine, JSON.stringify({ pid: process.pid, startedAt: identify(process.pid)?.startedAt, what }));
  try {
    // Twice at most in practice: once to find a stale lock, once to take it; more only when others race for it.
    for (let attempt = 0; attempt < 20; attempt += 1) {
      if (tryLink(mine, file)) return heldLock(file);
      const holder = readHolder(file);
      if (holder !== undefined && isRunning(holder)) throw new LockHeld(holder);
      moveStaleAside(file, `${mine}.stale`);
    }
    throw new Error(`${file} could not be taken`);
  } finally {
    rmSync(mine, { force: true });
  }
}

/** Takes a lock file, waiting while another process holds it. */
export async function waitForLock(
  file: string,
  what: string,
  onWait: (holder: LockHolder) => void,
  signal: AbortSignal,
): Promise<Lock> {
  for (let waited = 0; ; waited += 1) {
    try {
      return takeLock(file, what);
    } catch (error) {
      if (!(error instanceof LockHeld)) throw error;
      if (waited === 0) onWait(error.holder);
    }
    await sleep(500, undefined, { signal });
  }
}

function heldLock(file: string): Lock {
  const isHeld = () => readHolder(file)?.pid === process.pid;
  const release = () => {
    if (isHeld()) rmSync(file, { force: true });
  };
  return { isHeld, release };
}

/** Link, not open: the file appears with its content, so nobody reads a lock that is being written. */
function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Moved before it is removed: of two processes that saw the stale lock, one moves it; what is live after all goes back. */
function moveStaleAside(file: string, aside: string): void {
  try {
    renameSync(file, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  const moved = readHolder(aside);
  if (moved !== undefined && isRunning(moved)) tryLink(aside, file);
  rmSync(aside, { force: true });
}

function readHolder(file: string): LockHolder | undefined {
  try {
    return Holder.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    // Gone meanwhile, or cut off by a full disk: in both cases nobody holds it.
    return undefined;
  }
}
