import { execFileSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** Above this share of all cores, somebody else's work is in the samples. */
const busyShare = 0.15;
/** Long enough for the kernel's clock ticks of 10 ms, short enough to be repeated before each sample. */
const lookMs = 50;
/** A busy machine may stay so: then the sample is taken all the same, and counted as taken on a busy machine. */
const maxWaitMs = 1_000;

function cpuTimes(): { readonly idleMs: number; readonly allMs: number } {
  let idleMs = 0;
  let allMs = 0;
  for (const { times } of cpus()) {
    idleMs += times.idle;
    allMs += times.user + times.nice + times.sys + times.irq + times.idle;
  }
  return { idleMs, allMs };
}

/** Waits until the machine does nothing else, and counts how often it would not come to rest. */
export class Quiet {
  asked = 0;
  /** How often a sample began on a busy machine. */
  busy = 0;

  async wait(): Promise<void> {
    this.asked += 1;
    const deadline = performance.now() + maxWaitMs;
    do {
      const before = cpuTimes();
      await sleep(lookMs);
      const after = cpuTimes();
      if (1 - (after.idleMs - before.idleMs) / (after.allMs - before.allMs) < busyShare) return;
    } while (performance.now() < deadline);
    this.busy += 1;
  }
}

/** First line of what a program prints; null where it cannot be run. */
export function firstLineOf(program: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): string | null {
  try {
    return execFileSync(program, args, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'ignore'] }).split('\n')[0] ?? '';
  } catch {
    return null;
  }
}

/** What the figures depend on. */
export interface Machine {
  readonly cores: number;
  readonly processor: string;
  readonly memoryGigabytes: number;
  readonly kernel: string;
  /** Of the last minute, per core: above 0.5 the machine is not the benchmark's alone. */
  readonly loadPerCore: number;
}

export function readMachine(): Machine {
  const cores = cpus();
  const [load = 0] = loadavg();
  return {
    cores: cores.length,
    processor: cores[0]?.model.trim() ?? 'unknown',
    memoryGigabytes: Math.round(totalmem() / 1024 ** 3),
    kernel: `${process.platform} ${release()}`,
    loadPerCore: load / Math.max(1, cores.length),
  };
}
