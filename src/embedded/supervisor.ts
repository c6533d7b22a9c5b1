import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { codeOf } from './errors.ts';
import { identify, listMarked, processMark, signal as sendSignal, waitUntilGone } from './process-identity.ts';

/** A process to be kept running. */
export interface ChildPlan {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** How long it may take to stop after SIGTERM before it is killed. */
  readonly graceMs: number;
  /** Gives a Node process a channel by which it notices that we are gone (stop-with-parent.ts). */
  readonly channel?: boolean;
}

export type SupervisorEvent =
  | { readonly kind: 'exited'; readonly name: string; readonly how: string; readonly restartInMs: number; readonly log: string }
  | { readonly kind: 'restarted'; readonly name: string; readonly pid: number };

export interface SupervisorOptions {
  readonly dataFolder: string;
  readonly onEvent: (event: SupervisorEvent) => void;
  /** Waits between an unexpected exit and the next start, the last one from then on. */
  readonly backoffMs?: readonly number[];
  /** Having run that long, a process starts again at the first wait. */
  readonly healthyMs?: number;
  readonly largeLogBytes?: number;
}

interface Child {
  readonly plan: ChildPlan;
  process: ChildProcess | undefined;
  startedAtMs: number;
  failures: number;
  timer: NodeJS.Timeout | undefined;
  isStopping: boolean;
  exited: Promise<void>;
}

/**
 * Keeps processes of one data folder running: starts them again after an unexpected exit, collects their output in
 * `logs/<name>.log` and keeps their ids in `run/processes.json`.
 *
 * Each process leads a group of its own, so that Ctrl-C in a terminal reaches only us, and what it started can be killed with it.
 */
export class Supervisor {
  readonly #options: Required<SupervisorOptions>;
  readonly #children = new Map<string, Child>();
  readonly #recorded = new Map<string, number>();
  readonly #logTimer: NodeJS.Timeout;

  constructor(options: SupervisorOptions) {
    this.#options = { backoffMs: [1_000, 2_000, 4_000, 8_000, 15_000], healthyMs: 60_000, largeLogBytes: 10_000_000, ...options };
    mkdirSync(join(options.dataFolder, 'logs'), { recursive: true, mode: 0o700 });
    mkdirSync(join(options.dataFolder, 'run'), { recursive: true });
    this.#logTimer = setInterval(() => this.#rotateLogs(), 60_000).unref();
  }

  logFile(name: string): string {
    return join(this.#options.dataFolder, 'logs', `${name}.log`);
  }

  start(plan: ChildPlan): void {
    const child: Child = {
      plan,
      process: undefined,
      startedAtMs: 0,
      failures: 0,
      timer: undefined,
      isStopping: false,
      exited: Promise.resolve(),
    };
    this.#children.set(plan.name, child);
    this.#launch(child);
  }

  /**
   * Runs a process to its end, its output in its log.
   *
   * @param stop aborted, the process is asked to stop, and killed after its grace
   * @throws Error with its last lines when it does not succeed
   */
  async runOnce(plan: ChildPlan, stop: AbortSignal): Promise<void> {
    stop.throwIfAborted();
    const process = this.#spawn(plan);
    const { pid } = process;
    this.record(plan.name, pid);
    let timer: NodeJS.Timeout | undefined;
    const onAbort = () => {
      if (pid === undefined) return;
      sendSignal(pid, 'SIGTERM');
      timer = setTimeout(() => sendSignal(-pid, 'SIGKILL'), plan.graceMs);
    };
    stop.addEventListener('abort', onAbort);
    try {
      await new Promise<void>((resolve, reject) => {
        process.once('error', reject);
        process.once('exit', (code, signal) => {
          if (code === 0) resolve();
          else reject(new Error(`${plan.name} failed (${signal ?? `exit code ${code}`}):\n${this.lastLines(plan.name, 15)}`));
        });
      });
    } finally {
      stop.removeEventListener('abort', onAbort);
      clearTimeout(timer);
      this.record(plan.name, undefined);
    }
  }

  /** Process id of a child that runs. */
  pid(name: string): number | undefined {
    return this.#children.get(name)?.process?.pid;
  }

  /** How often in a row a child ended without having run for long. */
  failures(name: string): number {
    return this.#children.get(name)?.failures ?? 0;
  }

  /** Adds a process that is not our child (PostgreSQL, ourselves) to `run/processes.json`. */
  record(name: string, pid: number | undefined): void {
    if (this.#recorded.get(name) === pid) return;
    if (pid === undefined) this.#recorded.delete(name);
    else this.#recorded.set(name, pid);
    this.#save();
  }

  lastLines(name: string, count: number): string {
    try {
      return readFileSync(this.logFile(name), 'utf8').trimEnd().split('\n').slice(-count).join('\n');
    } catch {
      return '';
    }
  }

  /**
   * Stops these children side by side: SIGTERM, after the grace SIGKILL for all that is left of their groups.
   *
   * @param hurry aborted, what still runs is killed at once
   */
  async stop(names: readonly string[], hurry: AbortSignal): Promise<void> {
    await Promise.all(names.map((name) => this.#stopOne(name, hurry)));
  }

  /** Ends the supervisor itself, after all children were stopped. */
  close(): void {
    clearInterval(this.#logTimer);
    this.#recorded.clear();
    this.#save();
  }

  async #stopOne(name: string, hurry: AbortSignal): Promise<void> {
    const child = this.#children.get(name);
    if (!child) return;
    child.isStopping = true;
    clearTimeout(child.timer);
    const pid = child.process?.pid;
    if (pid !== undefined) {
      const kill = () => sendSignal(-pid, 'SIGKILL');
      const timer = setTimeout(kill, child.plan.graceMs);
      hurry.addEventListener('abort', kill);
      if (hurry.aborted) kill();
      else sendSignal(pid, 'SIGTERM');
      await child.exited;
      clearTimeout(timer);
      hurry.removeEventListener('abort', kill);
    }
    this.#children.delete(name);
    this.#save();
  }

  #launch(child: Child): void {
    const { plan } = child;
    const started = this.#spawn(plan);
    child.process = started;
    child.startedAtMs = Date.now();
    child.exited = new Promise((resolve) => {
      const onEnd = (how: string) => {
        if (child.process !== started) return;
        child.process = undefined;
        // What it started itself (a sandbox) must not outlive it.
        if (started.pid !== undefined) sendSignal(-started.pid, 'SIGKILL');
        if (!child.isStopping) this.#startAgain(child, how);
        this.#save();
        resolve();
      };
      started.once('error', (error) => onEnd(error.message));
      started.once('exit', (code, signal) => onEnd(signal ?? `exit code ${code}`));
    });
    this.#save();
  }

  #startAgain(child: Child, how: string): void {
    const { backoffMs, healthyMs, onEvent } = this.#options;
    const { name } = child.plan;
    if (Date.now() - child.startedAtMs >= healthyMs) child.failures = 0;
    const restartInMs = backoffMs[Math.min(child.failures, backoffMs.length - 1)] ?? 0;
    child.failures += 1;
    onEvent({ kind: 'exited', name, how, restartInMs, log: this.logFile(name) });
    child.timer = setTimeout(() => {
      this.#launch(child);
      const pid = child.process?.pid;
      if (pid !== undefined) onEvent({ kind: 'restarted', name, pid });
    }, restartInMs);
  }

  #spawn(plan: ChildPlan): ChildProcess {
    const file = this.logFile(plan.name);
    rotate(file, this.#options.largeLogBytes);
    // The file itself, not a pipe through us: a process that outlives us must not die of writing.
    const log = openSync(file, 'a', 0o600);
    try {
      return spawn(plan.command, plan.args, {
        env: { ...plan.env, ...processMark(plan.name, this.#options.dataFolder) },
        ...(plan.cwd === undefined ? {} : { cwd: plan.cwd }),
        detached: true,
        stdio: plan.channel ? ['ignore', log, log, 'ipc'] : ['ignore', log, log],
      });
    } finally {
      closeSync(log);
    }
  }

  #rotateLogs(): void {
    for (const name of this.#children.keys()) rotate(this.logFile(name), this.#options.largeLogBytes);
  }

  #save(): void {
    const children = [...this.#children].flatMap(([name, { process }]) =>
      process?.pid === undefined ? [] : [[name, process.pid]],
    );
    const file = join(this.#options.dataFolder, 'run', 'processes.json');
    try {
      writeFileSync(`${file}.new`, JSON.stringify(Object.fromEntries([...this.#recorded, ...children]), undefined, 2));
      renameSync(`${file}.new`, file);
    } catch (error) {
      // The data folder was deleted: no reason not to stop the rest in order.
      if (codeOf(error) !== 'ENOENT') throw error;
    }
  }
}

/**
 * Ends what a launcher that was killed left running for this data folder.
 *
 * @param except names that stay: PostgreSQL is adopted, not ended
 * @returns names of the processes that were ended
 */
export async function endLeftovers(dataFolder: string, except: readonly string[] = []): Promise<string[]> {
  const leftovers = listMarked(dataFolder).filter(({ name }) => !except.includes(name));
  await Promise.all(
    leftovers.map(async ({ pid, name }) => {
      const identity = identify(pid);
      if (!identity) return;
      // PostgreSQL waits for its clients on SIGTERM; SIGINT is its quick orderly way.
      sendSignal(pid, name === 'postgres' ? 'SIGINT' : 'SIGTERM');
      if (await waitUntilGone(identity, 10_000)) return;
      sendSignal(pid, 'SIGKILL');
      await waitUntilGone(identity, 2_000);
    }),
  );
  return [...new Set(leftovers.map(({ name }) => name))];
}

/** Copied and cut, not renamed: running processes keep writing to the same open file. */
function rotate(file: string, largeBytes: number): void {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size < largeBytes) return;
  copyFileSync(file, `${file}.1`);
  truncateSync(file);
}
