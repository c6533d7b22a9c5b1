/** Meters of what the processes of one run use: the container's own cgroup where it can be read, /proc elsewhere. */
import { existsSync, readdirSync, readFileSync, statfsSync } from 'node:fs';

/** USER_HZ, the unit of times in /proc; fixed by the kernel's interface on every platform that Node supports. */
const ticksPerSecond = 100;
/** 64 KiB pages are a build option of arm64 kernels; the default of all distributions is 4 KiB. */
const pageBytes = 4096;
/** What one file without content costs the kernel on a tmpfs, measured. */
const inodeBytes = 1024;

function read(path) {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // The process ended between the listing and the reading.
  }
}

function counter(text, key) {
  return Number(new RegExp(`^${key} (\\d+)`, 'm').exec(text)?.[1] ?? 0);
}

/** Fields of /proc/PID/stat, from the third (state) on: the second may contain spaces and brackets. */
function statFields(pid) {
  const text = read(`/proc/${pid}/stat`);
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

const ticksToMs = (...ticks) => (ticks.reduce((sum, value) => sum + Number(value ?? 0), 0) * 1000) / ticksPerSecond;

/** Identifiers of all processes except the sandbox's first one and the agent: those of the run, as runs are made one by one. */
export function runProcesses() {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && name !== '1' && name !== String(process.pid));
}

function ownCpuMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/**
 * Counts exactly, orphans included. The agent's own use is taken off. Page cache is left out: who reads a file first would pay for
 * all others.
 */
function cgroupMeter({ cpuMs, memoryStat, anonymousKey, oomFile }) {
  const memoryBytes = () => {
    const text = read(memoryStat);
    return counter(text, anonymousKey) + counter(text, 'shmem');
  };
  const oomKills = () => counter(read(oomFile), 'oom_kill');
  return () => {
    const start = { cpuMs: cpuMs() - ownCpuMs(), memoryBytes: memoryBytes(), oomKills: oomKills() };
    return {
      cpuMs: () => cpuMs() - ownCpuMs() - start.cpuMs,
      memoryBytes: () => Math.max(0, memoryBytes() - start.memoryBytes),
      oomKills: () => oomKills() - start.oomKills,
    };
  };
}

/** CPU time of all that the agent has waited for, and what that had waited for. */
const finishedChildrenMs = () => ticksToMs(...statFields('self').slice(13, 15));

/** Pages, names and detached System V segments below the writable folders: memory that no process shows as resident. */
function kernelHeldBytes(tmpfsFolders) {
  let bytes = 0;
  for (const folder of tmpfsFolders) {
    const { blocks, bfree, bsize, files, ffree } = statfsSync(folder);
    bytes += (blocks - bfree) * bsize + (files - ffree) * inodeBytes;
  }
  for (const line of read('/proc/sysvipc/shm').split('\n').slice(1)) bytes += Number(line.trim().split(/\s+/)[14] ?? 0);
  return bytes;
}

/**
 * Samples: memory shared between processes counts once per process, and what appears and vanishes between two samples is missed.
 * CPU time is exact to a tick for all that was waited for; of orphans, the last sample counts.
 */
function procMeter(tmpfsFolders) {
  return () => {
    const startMs = finishedChildrenMs();
    const startHeldBytes = kernelHeldBytes(tmpfsFolders);
    let seen = new Map();
    let orphansMs = 0;

    const sample = () => {
      const now = new Map();
      let residentBytes = 0;
      for (const pid of runProcesses()) {
        const fields = statFields(pid);
        now.set(pid, { parent: fields[1], cpuMs: ticksToMs(...fields.slice(11, 15)) });
        residentBytes += Number(fields[21] ?? 0) * pageBytes;
      }
      for (const [pid, { parent, cpuMs }] of seen) if (parent === '1' && !now.has(pid)) orphansMs += cpuMs;
      seen = now;
      return residentBytes;
    };
    return {
      cpuMs: () => {
        sample();
        let runningMs = 0;
        for (const { cpuMs } of seen.values()) runningMs += cpuMs;
        return finishedChildrenMs() - startMs + orphansMs + runningMs;
      },
      memoryBytes: () => sample() + Math.max(0, kernelHeldBytes(tmpfsFolders) - startHeldBytes),
      oomKills: () => 0,
    };
  };
}

/**
 * A function that starts a meter for one run: `{cpuMs(), memoryBytes(), oomKills()}`, each since the start of the meter. `hasCgroup`:
 * the kernel enforces the memory limit; without it the agent has to watch.
 */
export function openMeter(tmpfsFolders) {
  const v1 = '/sys/fs/cgroup/memory/memory.oom_control';
  const v2 = '/sys/fs/cgroup/memory.events';
  if (existsSync(v1)) {
    const startMeter = cgroupMeter({
      cpuMs: () => Number(read('/sys/fs/cgroup/cpuacct/cpuacct.usage')) / 1e6,
      memoryStat: '/sys/fs/cgroup/memory/memory.stat',
      anonymousKey: 'rss',
      oomFile: v1,
    });
    return { startMeter, hasCgroup: true };
  }
  if (existsSync(v2)) {
    const startMeter = cgroupMeter({
      cpuMs: () => counter(read('/sys/fs/cgroup/cpu.stat'), 'usage_usec') / 1000,
      memoryStat: '/sys/fs/cgroup/memory.stat',
      anonymousKey: 'anon',
      oomFile: v2,
    });
    return { startMeter, hasCgroup: true };
  }
  return { startMeter: procMeter(tmpfsFolders), hasCgroup: false };
}
