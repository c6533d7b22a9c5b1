import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import Docker from 'dockerode';
import type { Language } from '../domain/check-runs.ts';
import { abortOf, Agent, type AgentConnection, checkFiles, SandboxEnded } from './agent-client.ts';
import { searchPath } from './agent-protocol.ts';
import { runnerFolder } from './languages.ts';
import { LayerImages } from './layer-images.ts';
import { pythonPackages } from './layer.ts';
import { Pool, type PoolMember, type PoolSize } from './pool.ts';
import { type RunOptions, type RunRequest, type RunResult, type Sandbox, SandboxError, type SandboxJob } from './sandbox.ts';
import { type SandboxShape, shapeOf } from './shape.ts';

export type DockerEngine = Docker;

/** A client for the engine at `socketPath`, else of `DOCKER_HOST`, else of the default socket. Does not connect yet. */
export function dockerEngine(socketPath?: string): DockerEngine {
  return new Docker(socketPath === undefined ? {} : { socketPath });
}

export interface DockerSandboxOptions {
  /** Containers kept ready. Default: 0. */
  readonly pool?: PoolSize;
  /** One of the engine's runtimes, such as `runsc`. Default: the engine's own. */
  readonly runtime?: string;
  readonly languages?: ReadonlyMap<Language, string>;
}

const mebibyte = 1024 * 1024;
/** The agent and what the kernel keeps of a container: 2 to 3 MB, measured. */
const agentMemoryBytes = 4 * mebibyte;

/**
 * What a runtime of its own, such as gVisor, takes beside what runs in it: it counts as the container's. The agent holds each run to its
 * limit by what it sees from inside.
 */
const runtimeMemoryBytes = 128 * mebibyte;

/** Removing takes 0.1 s on an idle machine. */
const removeTimeoutMs = 20_000;
/** How long after its stream a container ends, where its end is looked at. */
const endTimeoutMs = 5_000;
/** How long a container that is started in advance may be used: longer than it waits in the pool and any judging takes. */
const lifeMs = 30 * 60_000;

const labels = { pool: 'atelier.pool', deadline: 'atelier.deadline' } as const;

/** Giving a name takes the engine longer than a short job takes, which nobody will have to look for. */
const namingDelayMs = 100;
/** Name of a job's container. A label would have to be there before the job is. */
const namePrefix = (submissionId: string) => `atelier-${submissionId}-`;

const seccompProfile = readFileSync(join(import.meta.dirname, '../../runner/seccomp.json'), 'utf8');

/**
 * The agent reads its meters where the container's cgroup is: an engine on cgroup version 2 may be set to show the machine's instead. The
 * client's types do not have it.
 */
const ownCgroup = { CgroupnsMode: 'private' } as const;

interface EngineError extends Error {
  readonly statusCode?: number;
}

function isEngineError(error: unknown): error is EngineError {
  return error instanceof Error;
}

function statusOf(error: unknown): number | undefined {
  return isEngineError(error) ? error.statusCode : undefined;
}

/** Engine down or overloaded: try again. Image missing or a refused request: trying again changes nothing. */
function toSandboxError(error: unknown): SandboxError {
  if (error instanceof SandboxError) return error;
  const status = statusOf(error);
  const isRefused = status !== undefined && status >= 400 && status < 500;
  const message = error instanceof Error ? error.message : String(error);
  return new SandboxError(`the Docker engine could not run the job: ${message}`, { cause: error, transient: !isRefused });
}

interface ContainerSettings {
  readonly image: string;
  readonly shape: SandboxShape;
  readonly runtime: string | undefined;
  readonly poolId: string;
  readonly deadline: Date;
}

/** The container's own limits are those of the job's largest run, as a wall around all of them. */
export function containerOptions({ image, shape, runtime, poolId, deadline }: ContainerSettings): Docker.ContainerCreateOptions {
  const ownMemoryBytes = agentMemoryBytes + (runtime === undefined ? 0 : runtimeMemoryBytes);
  const memoryBytes = shape.memoryBytes + shape.workBytes + ownMemoryBytes;
  const execution = shape.mayExecute ? 'exec' : 'noexec';
  return {
    Image: image,
    Cmd: [`${runnerFolder}/agent`],
    User: '0:0',
    WorkingDir: '/',
    Hostname: 'box',
    Env: [`PATH=${searchPath}`, ...(shape.layerKey === null ? [] : [`PYTHONPATH=${pythonPackages}`])],
    // Saves the engine the set-up of a network that `NetworkMode: none` would then leave empty.
    NetworkDisabled: true,
    OpenStdin: true,
    // The agent's input ends with this process, whatever ends it, and the container with its agent.
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    StopSignal: 'SIGKILL',
    Labels: { [labels.pool]: poolId, [labels.deadline]: deadline.toISOString() },
    HostConfig: {
      NetworkMode: 'none',
      ReadonlyRootfs: true,
      IpcMode: 'none',
      ...ownCgroup,
      Privileged: false,
      Init: false,
      AutoRemove: false,
      RestartPolicy: { Name: 'no' },
      Tmpfs: {
        // One name is the folder's own.
        '/tmp': `rw,nosuid,nodev,${execution},size=${shape.diskBytes},nr_inodes=${shape.fileCount + 1},mode=1777`,
        '/box': `rw,nosuid,nodev,${execution},size=${shape.workBytes},nr_inodes=${shape.workNames},mode=0755`,
        // The engine's own would keep the queues of a run, and what they hold, for the next one.
        '/dev/mqueue': 'ro,nosuid,nodev,noexec,size=4k,nr_inodes=1,mode=0555',
        // Semaphores and shared memory of Python's multiprocessing.
        '/dev/shm': `rw,nosuid,nodev,noexec,size=${16 * mebibyte},nr_inodes=256,mode=1777`,
      },
      CapDrop: ['ALL'],
      CapAdd: ['SETUID', 'SETGID', 'KILL'],
      SecurityOpt: ['no-new-privileges', `seccomp=${seccompProfile}`],
      // And the agent itself.
      PidsLimit: shape.processes + 1,
      Memory: memoryBytes,
      MemorySwap: memoryBytes,
      NanoCpus: 1e9,
      OomScoreAdj: 500,
      Ulimits: [
        { Name: 'nofile', Soft: 512, Hard: 512 },
        { Name: 'core', Soft: 0, Hard: 0 },
      ],
      // A flood of output would otherwise fill the engine's disk.
      LogConfig: { Type: 'none', Config: {} },
      ...(runtime === undefined ? {} : { Runtime: runtime }),
    },
  };
}

type EngineStream = NodeJS.ReadWriteStream & { destroy?(): void };

/** Splits the engine's stream; the agent's standard error is its last words, kept for the message. */
function connectionOf(engine: DockerEngine, stream: EngineStream): AgentConnection & { readonly ended: Promise<void> } {
  const output = new PassThrough();
  const errors = new PassThrough();
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  let lastWords = '';
  errors.on('data', (chunk: Buffer) => {
    lastWords = (lastWords + chunk.toString()).slice(-2000);
  });
  engine.modem.demuxStream(stream, output, errors);
  for (const event of ['end', 'close', 'error']) {
    stream.on(event, () => {
      output.end();
      resolve();
    });
  }
  return { input: stream, output, lastWords: () => lastWords, ended };
}

/** Whether memory was short in a container that has ended; false where the engine does not say. */
async function hasRunOutOfMemory(container: Docker.Container): Promise<boolean> {
  try {
    // The stream ends a moment before the container does.
    await Promise.race([container.wait(), sleep(endTimeoutMs, undefined, { ref: false })]);
    return (await container.inspect()).State.OOMKilled;
  } catch {
    return false;
  }
}

/** What is known of a run that took its sandbox with it. */
const memoryLimitResult = ({ name, limits }: RunRequest, wallTimeMs: number): RunResult => ({
  name,
  status: 'memory-limit',
  exitCode: null,
  signal: 'SIGKILL',
  wallTimeMs,
  cpuTimeMs: 0,
  memoryPeakBytes: limits.memoryBytes,
  stdout: Buffer.alloc(0),
  stderr: Buffer.alloc(0),
  report: null,
  artifact: null,
  hitProcessLimit: false,
});

interface PooledContainer extends PoolMember {
  readonly agent: Agent;
  readonly container: Docker.Container;
}

/** Single-use, hardened containers, started before their job where there is a pool. */
export class DockerSandbox implements Sandbox {
  readonly kind = 'docker';
  readonly identity: string;
  readonly languages: ReadonlyMap<Language, string>;
  readonly #engine: DockerEngine;
  readonly #runtime: string | undefined;
  /** Value of the label `atelier.pool` of all its containers. */
  readonly poolId = randomUUID();
  readonly #pool: Pool<PooledContainer>;
  readonly #layers: LayerImages;

  /** `imageId`: the content address of a runner image (`ensureRunnerImage`) that is present on `engine`. */
  constructor(engine: DockerEngine, imageId: string, { pool = 0, runtime, languages = new Map() }: DockerSandboxOptions = {}) {
    this.#engine = engine;
    this.identity = imageId;
    this.languages = languages;
    this.#runtime = runtime;
    this.#layers = new LayerImages(engine, imageId);
    this.#pool = new Pool((shape, until, signal) => this.#open(shape, until, signal), pool);
  }

  async run(job: SandboxJob, options: RunOptions): Promise<readonly RunResult[]> {
    checkFiles(job);
    options.signal.throwIfAborted();
    if (job.runs.length === 0) return [];
    const { submissionId, attempt, deadline } = job.label;
    if (job.layer !== undefined) await Promise.race([this.#layers.ensure(job.layer), abortOf(options.signal)]);
    if (attempt > 1) await this.#removeOlderAttempts(submissionId, attempt);
    const member = await this.#pool.take(shapeOf(job), deadline, options.signal);
    const name = `${namePrefix(submissionId)}${attempt}-${randomUUID().slice(0, 8)}`;
    // Without its name the container is still found by its deadline.
    const naming = setTimeout(() => void member.container.rename({ name }).catch(() => undefined), namingDelayMs);
    try {
      const results = await member.agent.runJob(job, options);
      void this.#pool.end(member);
      return results;
    } catch (error) {
      // The engine says it of the container's whole life: after an earlier run at its limit it says nothing of this one.
      const isTold = error instanceof SandboxEnded && error.results.every(({ status }) => status !== 'memory-limit');
      if (isTold && (await hasRunOutOfMemory(member.container))) {
        void this.#pool.end(member);
        return await this.#goOnAfter(error, job, options);
      }
      // What cannot be removed now, because the engine is gone or hangs, is found by `reap` through its label.
      await Promise.race([this.#pool.end(member), sleep(removeTimeoutMs, undefined, { ref: false })]);
      throw error;
    } finally {
      clearTimeout(naming);
    }
  }

  /**
   * The kernel takes the student's processes where memory is short, and the agent, or what a runtime such as gVisor is made of, only where
   * that is not enough. It is the run's doing all the same: its memory limit. What follows it is made in another sandbox.
   */
  async #goOnAfter(ended: SandboxEnded, job: SandboxJob, options: RunOptions): Promise<readonly RunResult[]> {
    const made = ended.results.length;
    const run = job.runs[made];
    if (run === undefined) throw ended;
    const result = memoryLimitResult(run, ended.wallTimeMs);
    const results = [...ended.results, result];
    const goesOn = options.shouldGoOn?.(result) !== false;
    const files = [...job.files, ...job.runs.slice(0, made + 1).flatMap((earlier) => earlier.files ?? [])];
    const rest = goesOn ? await this.run({ ...job, files, runs: job.runs.slice(made + 1) }, options) : [];
    return [...results, ...rest];
  }

  /** Those whose deadline has passed, and those that have ended: nobody has a use for them. Old images of layers, too. */
  async reap(now: Date): Promise<number> {
    const removed = await this.#removeAll({ label: [labels.deadline] }, ({ State, Labels }) => {
      return State === 'exited' || State === 'dead' || new Date(Labels[labels.deadline] ?? '') < now;
    });
    await this.#layers.removeOld(now);
    return removed;
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  /** A worker that hangs must not go on with what another one does now. */
  async #removeOlderAttempts(submissionId: string, attempt: number): Promise<void> {
    const prefix = namePrefix(submissionId);
    await this.#removeAll({ label: [labels.deadline], name: [prefix] }, ({ Names }) =>
      Names.some((name) => name.startsWith(`/${prefix}`) && Number.parseInt(name.slice(prefix.length + 1), 10) < attempt),
    );
  }

  /** @throws SandboxError where the engine gives no list, or one of them stays; the others are removed all the same. */
  async #removeAll(filters: Record<string, string[]>, isMeant: (container: Docker.ContainerInfo) => boolean): Promise<number> {
    try {
      const listed = await this.#engine.listContainers({ all: true, filters });
      const meant = listed.filter(isMeant);
      const removals = await Promise.allSettled(meant.map(({ Id }) => this.#remove(this.#engine.getContainer(Id))));
      const failed = removals.find((removal) => removal.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      return meant.length;
    } catch (error) {
      throw toSandboxError(error);
    }
  }

  async #open(shape: SandboxShape, until: Date | null, signal: AbortSignal): Promise<PooledContainer> {
    const usableUntil = until ?? new Date(Date.now() + lifeMs);
    let container: Docker.Container | null = null;
    let stream: EngineStream | null = null;
    const destroy = async (): Promise<void> => {
      // The engine would wait for a reader that does not read (moby issue 41827).
      stream?.destroy?.();
      if (container !== null) await this.#remove(container);
    };
    try {
      const image = shape.layerKey === null ? this.identity : this.#layers.tagOf(shape.layerKey);
      const settings = { image, shape, runtime: this.#runtime, poolId: this.poolId, deadline: usableUntil };
      container = await this.#engine.createContainer(containerOptions(settings));
      signal.throwIfAborted();
      // Before the start, or the agent's first words are lost.
      stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
      signal.throwIfAborted();
      const connection = connectionOf(this.#engine, stream);
      await container.start();
      const agent = new Agent(connection);
      await agent.prepare(shape);
      return { agent, container, usableUntil, ended: connection.ended, destroy };
    } catch (error) {
      await destroy().catch(() => undefined);
      // Another process has just removed the layer's image as too old: the next attempt makes it again.
      if (shape.layerKey !== null && container === null && statusOf(error) === 404) {
        throw new SandboxError('the image of a dependency layer is gone', { cause: error, transient: true });
      }
      throw toSandboxError(error);
    }
  }

  /** Kills and removes; a container that is gone, or being removed by another, is no error. */
  async #remove(container: Docker.Container): Promise<void> {
    try {
      await container.remove({ force: true, v: true });
    } catch (error) {
      const status = statusOf(error);
      if (status !== 404 && status !== 409) throw error;
    }
  }
}
