import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf } from './errors.ts';

/**
 * One process for good: process ids are used again, above all after a restart of a machine or container, so the id alone proves
 * nothing.
 */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startedAt: string;
}

/** Identity of a running process; undefined when there is none. The same rule as in scripts/bootstrap.js, which Node 20 runs. */
export function identify(pid: number): ProcessIdentity | undefined {
  const startedAt = process.platform === 'linux' ? startOnLinux(pid) : ps(pid, ['-o', 'lstart=']);
  return startedAt === undefined ? undefined : { pid, startedAt };
}

/** Whether that very process still runs. */
export function isRunning(identity: ProcessIdentity): boolean {
  return identify(identity.pid)?.startedAt === identity.startedAt;
}

/** The mark a process of a data folder carries in its environment, as does all that it starts itself. */
export function processMark(name: string, dataFolder: string): { ATELIER_PROCESS: string } {
  return { ATELIER_PROCESS: `${name}:${dataFolder}` };
}

/** Running processes that carry the mark of a data folder, whoever started them; a remembered process id alone could be anybody's. */
export function listMarked(dataFolder: string): { pid: number; name: string }[] {
  return readEnvironments().flatMap(({ pid, environment }) => {
    const mark = environment.find((entry) => entry.startsWith('ATELIER_PROCESS='))?.slice('ATELIER_PROCESS='.length) ?? '';
    const name = mark.slice(0, mark.indexOf(':'));
    return pid !== process.pid && name !== '' && mark === `${name}:${dataFolder}` ? [{ pid, name }] : [];
  });
}

/** Command line of a running process, joined by blanks. */
export function commandLine(pid: number): string | undefined {
  if (process.platform === 'linux') return readOptional(`/proc/${pid}/cmdline`)?.replaceAll('\0', ' ').trim();
  return ps(pid, ['-ww', '-o', 'command=']);
}

/** Waits until a process that is not our child is gone; false when it still runs after that time. */
export async function waitUntilGone(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (isRunning(identity)) {
    if (Date.now() >= deadline) return false;
    await sleep(50);
  }
  return true;
}

/** Sends a signal; a process that is gone already is not an error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error;
  }
}

/** Boot id and clock ticks since boot; a zombie counts as gone: it holds nothing and only waits to be read by its parent. */
function startOnLinux(pid: number): string | undefined {
  const stat = readOptional(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (state === 'Z') return undefined;
  return `${readOptional('/proc/sys/kernel/random/boot_id')?.trim()}/${fields[18]}`;
}

/** Of the processes whose environment we may read: our own, or all for root. */
function readEnvironments(): { pid: number; environment: string[] }[] {
  if (process.platform === 'linux') {
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    return pids.map((pid) => ({ pid: Number(pid), environment: (readOptional(`/proc/${pid}/environ`) ?? '').split('\0') }));
  }
  const listing = execFileSync('ps', ['-axEww', '-o', 'pid=,command='], { encoding: 'utf8', maxBuffer: 50_000_000 });
  return listing.split('\n').map((line) => ({ pid: Number.parseInt(line, 10), environment: line.trim().split(' ').slice(1) }));
}

function ps(pid: number, options: string[]): string | undefined {
  try {
    return (
      execFileSync('ps', ['-p', String(pid), ...options], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim() ||
      undefined
    );
  } catch {
    return undefined;
  }
}

function readOptional(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
