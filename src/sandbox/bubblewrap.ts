import { execFile, spawn } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Language } from '../domain/check-runs.ts';
import { abortOf, Agent, checkFiles } from './agent-client.ts';
import { searchPath } from './agent-protocol.ts';
import { readLanguages } from './language-versions.ts';
import { runnerFolder } from './languages.ts';
import { LayerFolders } from './layer-folders.ts';
import { pythonPackages } from './layer.ts';
import { Pool, type PoolMember, type PoolSize } from './pool.ts';
import { type RunOptions, type RunResult, type Sandbox, SandboxError, type SandboxJob } from './sandbox.ts';
import { seccompFilter } from './seccomp-filter.ts';
import { type SandboxShape, shapeOf } from './shape.ts';
import { compileAgent, readToolchain } from './toolchain.ts';

const mebibyte = 1024 * 1024;
/** An idle agent ends within milliseconds. */
const leaveMs = 1000;
/** bwrap's own environment, which code of the same user could read: nothing of ours is in it. */
const environment = { PATH: '/usr/local/bin:/usr/bin:/bin' };

const filter = seccompFilter(process.arch);

/** What bubblewrap does not enforce as Docker does; to be told to whoever runs the installation. */
export const bubblewrapWeaknesses = [
  'memory is sampled every 20 ms and not capped by the kernel',
  'CPU time of children whose parent does not wait for them is seen in samples only',
  'the number of files below /tmp is bounded by the memory limit alone',
  'programs below /tmp can be executed by every run',
  ...(filter === null ? ['system calls are not filtered on this processor'] : []),
  ...(process.getuid?.() === 0
    ? []
    : ['student code runs as the same user as the agent that watches it (start as root to separate them)']),
] as const;

export interface BubblewrapSandboxOptions {
  /** Sets of namespaces kept ready. Default: 0. */
  readonly pool?: PoolSize;
  readonly languages?: ReadonlyMap<Language, string>;
}

/** System folders are links into /usr on merged systems, folders elsewhere. */
function systemFolders(): readonly string[] {
  const args = ['--ro-bind', '/usr', '/usr'];
  for (const folder of ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32']) {
    if (!existsSync(folder)) continue;
    if (lstatSync(folder).isSymbolicLink()) args.push('--symlink', readlinkSync(folder), folder);
    else args.push('--ro-bind', folder, folder);
  }
  // Debian keeps what its Java cannot start without in a folder of /etc.
  const java = readdirSync('/etc').filter((name) => /^java-\d+-openjdk$/.test(name));
  for (const name of ['alternatives', 'ld.so.cache', ...java]) args.push('--ro-bind-try', `/etc/${name}`, `/etc/${name}`);
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

function bwrapArguments(toolchainFolder: string, shape: SandboxShape, layers: LayerFolders): readonly string[] {
  const places = shape.layerKey === null ? [] : layers.placesOf(shape.layerKey);
  return [
    privileges(),
    // The agent is the first process: it collects what it has to count.
    ['--as-pid-1', '--die-with-parent', '--new-session', '--hostname', 'box', '--clearenv', '--setenv', 'PATH', searchPath],
    shape.layerKey === null ? [] : ['--setenv', 'PYTHONPATH', pythonPackages],
    filter === null ? [] : ['--seccomp', String(filterDescriptor)],
    // Made by hand, as bubblewrap makes missing parents for its own user only.
    ['--perms', '0755', '--dir', '/etc', '--perms', '0755', '--dir', '/opt'],
    systemFolders(),
    ['--ro-bind', toolchainFolder, runnerFolder],
    ['--ro-bind', join(toolchainFolder, 'hosts'), '/etc/hosts'],
    ...places.map(({ folder, place }) => ['--ro-bind', folder, place]),
    ['--proc', '/proc', '--dev', '/dev'],
    memoryFolder('/tmp', shape.diskBytes, '1777'),
    memoryFolder('/dev/shm', 16 * mebibyte, '1777'),
    memoryFolder('/box', shape.workBytes, '0755'),
    // They are memory file systems without a size of their own.
    ['--remount-ro', '/dev', '--remount-ro', '/'],
    ['--', `${runnerFolder}/agent`],
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
  const hasAgent = nativeFiles.some(({ path }) => path === 'agent');
  const agent = hasAgent ? null : compileAgent('dynamic');
  if (!hasAgent && agent === null) throw new SandboxError('there is no C compiler for the agent', { transient: false });
  await mkdir(cacheFolder, { recursive: true });
  const draft = await mkdtemp(join(cacheFolder, 'draft-'));
  try {
    for (const { path, source, isExecutable } of [...runnerFiles, ...nativeFiles, ...(agent === null ? [] : [agent])]) {
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

interface PooledNamespaces extends PoolMember {
  readonly agent: Agent;
}

const farAway = new Date(8.64e15);

/** Sets of namespaces for one job each, over the machine's own system folders, read-only. */
export class BubblewrapSandbox implements Sandbox {
  readonly kind = 'bubblewrap';
  readonly identity: string;
  readonly languages: ReadonlyMap<Language, string>;
  readonly #toolchainFolder: string;
  readonly #pool: Pool<PooledNamespaces>;
  readonly #layers: LayerFolders;

  constructor(identity: string, toolchainFolder: string, { pool = 0, languages = new Map() }: BubblewrapSandboxOptions = {}) {
    this.identity = identity;
    this.languages = languages;
    this.#toolchainFolder = toolchainFolder;
    this.#layers = new LayerFolders(join(dirname(toolchainFolder), 'layers'));
    this.#pool = new Pool((shape) => this.#open(shape), pool);
  }

  async run(job: SandboxJob, options: RunOptions): Promise<readonly RunResult[]> {
    checkFiles(job);
    options.signal.throwIfAborted();
    if (job.runs.length === 0) return [];
    if (job.layer !== undefined) await Promise.race([this.#layers.ensure(job.layer), abortOf(options.signal)]);
    const member = await this.#pool.take(shapeOf(job), job.label.deadline, options.signal);
    try {
      const results = await member.agent.runJob(job, options);
      void this.#pool.end(member);
      return results;
    } catch (error) {
      await this.#pool.end(member);
      throw error;
    }
  }

  /** Nothing that runs outlives the process that started it: there is nothing to remove but old layers. */
  async reap(now: Date): Promise<number> {
    await this.#layers.removeOld(now);
    return 0;
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  async #open(shape: SandboxShape): Promise<PooledNamespaces> {
    const child = spawn('bwrap', bwrapArguments(this.#toolchainFolder, shape, this.#layers), {
      env: environment,
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    });
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    // Where it could not be started there is no `close`, but its output is closed.
    child.once('close', () => resolve()).once('error', () => resolve());
    let lastWords = '';
    child.stderr.on('data', (chunk: Buffer) => {
      lastWords = (lastWords + chunk.toString()).slice(-2000);
    });
    const filterPipe = child.stdio[filterDescriptor];
    if (filterPipe instanceof Writable) filterPipe.on('error', () => undefined).end(filter);
    const destroy = async (): Promise<void> => {
      // Without input the agent ends by itself. Of a killed sandbox, an orphan would be left to this machine's first process.
      child.stdin.destroy();
      await Promise.race([ended, sleep(leaveMs, undefined, { ref: false })]);
      // Its first process dies with it, and all others with that one.
      child.kill('SIGKILL');
      child.stdout.destroy();
      child.stderr.destroy();
      await ended;
    };
    const agent = new Agent({ input: child.stdin, output: child.stdout, lastWords: () => lastWords });
    try {
      await agent.prepare(shape);
      return { agent, usableUntil: farAway, ended, destroy };
    } catch (error) {
      await destroy();
      throw error;
    }
  }
}

/**
 * Makes the toolchain ready and tries it out: bubblewrap has to be installed and permitted, a C compiler for the agent and the machine's
 * own Python present.
 *
 * @throws SandboxError, not transient, whose message says what is missing.
 */
export async function openBubblewrap(cacheFolder: string, pool: PoolSize): Promise<BubblewrapSandbox> {
  let bwrapVersion: string;
  try {
    bwrapVersion = (await promisify(execFile)('bwrap', ['--version'], { env: environment })).stdout.trim();
  } catch (error) {
    throw new SandboxError('bubblewrap is not installed', { cause: error, transient: false });
  }
  const { folder, hash } = await stageToolchain(cacheFolder);
  const languages = await readLanguages(new BubblewrapSandbox('probe', folder));
  const identity = [bwrapVersion, ...languages.values(), `runner ${hash}`].join(', ');
  return new BubblewrapSandbox(identity, folder, { pool, languages });
}
