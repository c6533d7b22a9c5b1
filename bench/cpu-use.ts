import { readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** USER_HZ, the unit of times in /proc; the same on every platform that Node supports. */
const ticksPerSecond = 100;

interface ProcessStat {
  readonly parent: number;
  /** Its own and that of the children it has waited for. */
  readonly cpuMs: number;
}

function readProcesses(): ReadonlyMap<number, ProcessStat> {
  const processes = new Map<number, ProcessStat>();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    let text: string;
    try {
      text = readFileSync(`/proc/${name}/stat`, 'latin1');
    } catch {
      continue; // It ended between the listing and the reading.
    }
    // The second field, the name, may contain spaces and brackets.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    processes.set(Number(name), { parent: Number(fields[1]), cpuMs: (ticks * 1000) / ticksPerSecond });
  }
  return processes;
}

function busyMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
}

/** Processor time since the machine started, by name; each of `roots` with all that it has started. */
export type CpuUse = Readonly<Record<string, number>>;

/** What is in no tree of `roots`: the engine, the containers, the benchmark, and whatever else runs here. */
const everythingElse = 'engine, containers, all else';

/** Null where the system does not tell (only Linux does). */
export function readCpuUse(roots: Readonly<Record<string, number>>): CpuUse | null {
  if (process.platform !== 'linux') return null;
  const processes = readProcesses();
  const names = new Map(Object.entries(roots).map(([name, pid]) => [pid, name]));
  const used: Record<string, number> = Object.fromEntries(Object.keys(roots).map((name) => [name, 0]));
  let named = 0;
  for (const [pid, { cpuMs }] of processes) {
    let ancestor = pid;
    while (!names.has(ancestor) && ancestor > 1) ancestor = processes.get(ancestor)?.parent ?? 0;
    const name = names.get(ancestor);
    if (name === undefined) continue;
    used[name] = (used[name] ?? 0) + cpuMs;
    named += cpuMs;
  }
  return { ...used, [everythingElse]: busyMs() - named };
}

/** What each used between the two readings, for each of `count` things that were done. */
export function cpuPerThing(before: CpuUse | null, after: CpuUse | null, count: number): CpuUse | null {
  if (before === null || after === null || count === 0) return null;
  return Object.fromEntries(Object.entries(after).map(([name, cpuMs]) => [name, (cpuMs - (before[name] ?? 0)) / count]));
}
