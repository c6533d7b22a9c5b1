import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, lstatSync, readlinkSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Language } from '../domain/check-runs.ts';
import type { RunLimits } from '../domain/exercises.ts';
import { checkFiles, runJob, workFolderNeeds } from './agent-client.ts';
import { runnerFolder } from './languages.ts';
import { type RunOptions, type RunResult, type Sandbox, SandboxError, type SandboxJob } from './sandbox.ts';
import { seccompFilter } from './seccomp-filter.ts';
import { readToolchain } from './toolchain.ts';

const mebibyte = 1024 * 1024;
/** An idle agent ends within milliseconds. */
const leaveMs = 1000;

/** bwrap's own environment, which code of the same user could read: nothing of ours is in it. */
const environment = { PATH: '/usr/local/bin:/usr/bin:/bin' };

const filter = seccompFilter(process.arch);

/** What bubblewrap does not enforce as Docker does; to be told to whoever runs the installation. */
export const bubblewrapWeaknesses = [
  'memory is sampled every 20 ms and not capped by the kernel',
  ...(filter === null ? ['system calls are not filtered on this processor'] : []),
  ...(process.getuid?.() === 0
    ? []
    : ['student code runs as the same user as the agent that watches it (start as root to separate them)']),
] as const;

/** System folders are links into /usr on merged systems, folders elsewhere. */
function systemFolders(): readonly string[] {
  const args = ['--ro-bind', '/usr', '/usr'];
  for (const folder of ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32']) {
    if (!existsSync(folder)) continue;
    if (lstatSync(folder).isSymbolicLink()) args.push('--symlink', readlinkSync(folder), folder);
    else args.push('--ro-bind', folder, folder);
  }
  for (const file of ['/etc/alternatives', '/etc/ld.so.cache']) args.push('--ro-bind-try', file, file);
  return args;
}

/**
 * Root keeps the three capabilities with which the agent gives each run a user of its own. An ordinary user gets a user namespace, in
 * which there is only one user and no capability.
 */
function privileges(): readonly string[] {
  const namespaces = ['--unshare-ipc', '--unshare-pid', '--unshare-net', '--unshare-uts', '--unshare-cgroup-try'];
  if (process.getuid?.() !== 0) return [...namespaces, '--unshare-user', '--uid', '10001', '--gid', '10001'];
  const kept = ['CAP_SETUID', 'CAP_SETGID', 'CAP_KILL'].flatMap((capability) => ['--cap-add', capability]);
  return [...namespaces, '--cap-drop', 'ALL', ...kept];
}

function memoryFolder(path: string, bytes: number, mode: string): readonly string[] {
  return ['--perms', mode, '--size', String(bytes), '--tmpfs', path];
}

/** The descriptor from which bubblewrap reads the seccomp filter. */
const filterDescriptor = 3;

function bwrapArguments(toolchainFolder: string, job: SandboxJob): readonly string[] {
  const diskBytes = Math.max(...job.runs.map((run) => run.limits.diskBytes));
  return [
    privileges(),
    ['--die-with-parent', '--new-session', '--hostname', 'box', '--clearenv'],
    filter === null ? [] : ['--seccomp', String(filterDescriptor)],
    // Made by hand, as bubblewrap makes missing parents for its own user only.
    ['--perms', '0755', '--dir', '/etc', '--perms', '0755', '--dir', '/opt'],
    systemFolders(),
    ['--ro-bind', toolchainFolder, runnerFolder],
    ['--ro-bind', join(toolchainFolder, 'hosts'), '/etc/hosts'],
    ['--proc', '/proc', '--dev', '/dev'],
    memoryFolder('/tmp', diskBytes, '1777'),
    memoryFolder('/dev/shm', 16 * mebibyte, '1777'),
    memoryFolder('/box', workFolderNeeds(job).bytes, '0755'),
    // They are memory file systems without a size of their own.
    ['--remount-ro', '/dev', '--remount-ro', '/'],
    ['--', `${runnerFolder}/bin/node`, `${runnerFolder}/agent.mjs`],
  ].flat();
}

/**
 * Copies the toolchain to a folder named after its content, with modes that let every user inside read it: the project may lie where
 * others have no access. Safe to call from several processes at once: what is complete is renamed into place.
 */
async function stageToolchain(cacheFolder: string): Promise<{ readonly folder: string; readonly hash: string }> {
  const { runnerFiles, nativeFiles, hash } = readToolchain();
  const folder = join(cacheFolder, hash);
  if (existsSync(folder)) return { folder, hash };
  await mkdir(cacheFolder, { recursive: true });
  const draft = await mkdtemp(join(cacheFolder, 'draft-'));
  try {
    for (const { path, source, isExecutable } of [...runnerFiles, ...nativeFiles]) {
      const target = join(draft, path);
      await mkdir(dirname(target), { recursive: true });
      await copyFile(source, target);
      await chmod(target, isExecutable ? 0o755 : 0o644);
    }
    await openFolders(draft);
    await rename(draft, folder);
  } catch (error) {
    // Another process was faster.
    if (!existsSync(folder)) throw error;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return { folder, hash };
}

/** Lets everybody in, whatever this process's umask is. */
async function openFolders(root: string): Promise<void> {
  await chmod(root, 0o755);
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) await chmod(join(entry.parentPath, entry.name), 0o755);
  }
}

/** One set of namespaces per job, over the machine's own system folders, read-only. */
export class BubblewrapSandbox implements Sandbox {
  readonly kind = 'bubblewrap';
  readonly identity: string;
  readonly languages: ReadonlyMap<Language, string> = new Map();
  readonly #toolchainFolder: string;

  constructor(identity: string, toolchainFolder: string) {
    this.identity = identity;
    this.#toolchainFolder = toolchainFolder;
  }

  async run(job: SandboxJob, options: RunOptions): Promise<readonly RunResult[]> {
    checkFiles(job);
    options.signal.throwIfAborted();
    if (job.runs.length === 0) return [];
    const child = spawn('bwrap', bwrapArguments(this.#toolchainFolder, job), {
      env: environment,
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    });
    const ended = endOf(child);
    let lastWords = '';
    child.stderr.on('data', (chunk: Buffer) => {
      lastWords = (lastWords + chunk.toString()).slice(-2000);
    });
    const filterPipe = child.stdio[filterDescriptor];
    if (filterPipe instanceof Writable) filterPipe.on('error', () => undefined).end(filter);
    try {
      const results = await runJob({ input: child.stdin, output: child.stdout }, job, options);
      // Without input the agent leaves by itself. Of a killed sandbox, an orphan is left to this machine's first process.
      child.stdin.end();
      await Promise.race([ended, sleep(leaveMs, undefined, { ref: false })]);
      return results;
    } catch (error) {
      if (!(error instanceof SandboxError)) throw error;
      throw new SandboxError(`${error.message}; ${lastWords}`, { cause: error, transient: error.transient });
    } finally {
      // Its first process dies with it, and all others with that one.
      child.kill('SIGKILL');
      await ended;
    }
  }

  /** Nothing outlives the process that started it: there is nothing to remove. */
  reap(): Promise<number> {
    return Promise.resolve(0);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Resolves at the end of the process; also where it could not be started, which its closed output tells. */
function endOf(child: ChildProcess): Promise<unknown> {
  return once(child, 'close').catch(() => undefined);
}

const probeLimits: RunLimits = {
  cpuTimeMs: 10_000,
  wallTimeMs: 30_000,
  memoryBytes: 256 * mebibyte,
  processes: 64,
  outputBytes: 10_000,
  diskBytes: mebibyte,
  fileCount: 100,
};

/**
 * Makes the toolchain ready and tries it out: bubblewrap has to be installed and permitted, and the machine's own Python present.
 *
 * @throws SandboxError, not transient, whose message says what is missing.
 */
export async function openBubblewrap(cacheFolder: string): Promise<BubblewrapSandbox> {
  let bwrapVersion: string;
  try {
    bwrapVersion = (await promisify(execFile)('bwrap', ['--version'], { env: environment })).stdout.trim();
  } catch (error) {
    throw new SandboxError('bubblewrap is not installed', { cause: error, transient: false });
  }
  const { folder, hash } = await stageToolchain(cacheFolder);
  const job: SandboxJob = {
    label: { submissionId: 'probe', attempt: 0, deadline: new Date(Date.now() + 60_000) },
    files: [],
    runs: [
      { name: 'node', argv: ['node', '--version'], limits: probeLimits },
      { name: 'python', argv: ['python3', '--version'], limits: probeLimits },
    ],
  };
  const results = await new BubblewrapSandbox('probe', folder).run(job, { signal: AbortSignal.timeout(60_000) });
  for (const { name, exitCode, stderr } of results) {
    const problem = stderr.toString().trim();
    if (exitCode !== 0) throw new SandboxError(`${name} does not run in bubblewrap: ${problem}`, { transient: false });
  }
  const versions = results.map(({ name, stdout }) => `${name} ${/[\d.]+/.exec(stdout.toString())?.[0]}`);
  return new BubblewrapSandbox([bwrapVersion, ...versions, `runner ${hash}`].join(', '), folder);
}
