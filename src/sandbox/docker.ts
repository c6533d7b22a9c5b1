import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import Docker from 'dockerode';
import type { Language } from '../domain/check-runs.ts';
import type { RunLimits } from '../domain/exercises.ts';
import { abortOf, type AgentConnection, checkFiles, runJob, workFolderNeeds } from './agent-client.ts';
import { runnerFolder } from './languages.ts';
import { type RunOptions, type RunResult, type Sandbox, SandboxError, type SandboxJob } from './sandbox.ts';

export type DockerEngine = Docker;

/** A client for the engine at `socketPath`, else of `DOCKER_HOST`, else of the default socket. Does not connect yet. */
export function dockerEngine(socketPath?: string): DockerEngine {
  return new Docker(socketPath === undefined ? {} : { socketPath });
}

const mebibyte = 1024 * 1024;
/** The agent's own: 12 MB after its start, 57 MB after four runs with 1 MB of each output and report, measured. */
const agentMemoryBytes = 64 * mebibyte;
const agentMemoryPerOutputByte = 16;
/** The agent's threads and the first process: 8 measured on two cores (Node 24); more cores bring some more. */
const agentProcesses = 24;

/** Removing takes 0.1 s on an idle machine. */
const removeTimeoutMs = 20_000;

const labels = { submission: 'atelier.submission', attempt: 'atelier.attempt', deadline: 'atelier.deadline' } as const;

const seccompProfile = readFileSync(join(import.meta.dirname, '../../runner/seccomp.json'), 'utf8');

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
  const status = statusOf(error);
  const isRefused = status !== undefined && status >= 400 && status < 500;
  const message = error instanceof Error ? error.message : String(error);
  return new SandboxError(`the Docker engine could not run the job: ${message}`, { cause: error, transient: !isRefused });
}

/** Limits hold per run inside; the container's own are those of its largest run, as a wall around all of them. */
export function containerOptions(image: string, job: SandboxJob): Docker.ContainerCreateOptions {
  const { label, runs } = job;
  const largest = (limit: keyof RunLimits): number => Math.max(...runs.map((run) => run.limits[limit]));
  const work = workFolderNeeds(job);
  const agentBytes = agentMemoryBytes + agentMemoryPerOutputByte * largest('outputBytes');
  const memoryBytes = largest('memoryBytes') + work.bytes + agentBytes;
  return {
    Image: image,
    // A shell as the first process, as it collects orphans, which Node does not.
    Cmd: ['/bin/sh', '-c', `${runnerFolder}/bin/node ${runnerFolder}/agent.mjs; exit $?`],
    User: '0:0',
    WorkingDir: '/',
    Hostname: 'box',
    Env: [`PATH=${runnerFolder}/bin:/usr/local/bin:/usr/bin:/bin`],
    // Saves the engine the set-up of a network that `NetworkMode: none` would then leave empty.
    NetworkDisabled: true,
    OpenStdin: true,
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    StopSignal: 'SIGKILL',
    Labels: {
      [labels.submission]: label.submissionId,
      [labels.attempt]: String(label.attempt),
      [labels.deadline]: label.deadline.toISOString(),
    },
    HostConfig: {
      NetworkMode: 'none',
      ReadonlyRootfs: true,
      IpcMode: 'none',
      Privileged: false,
      Init: false,
      AutoRemove: false,
      RestartPolicy: { Name: 'no' },
      Tmpfs: {
        '/tmp': `rw,nosuid,nodev,noexec,size=${largest('diskBytes')},nr_inodes=4k,mode=1777`,
        '/box': `rw,nosuid,nodev,noexec,size=${work.bytes},nr_inodes=${work.names},mode=0755`,
        // Semaphores and shared memory of Python's multiprocessing.
        '/dev/shm': `rw,nosuid,nodev,noexec,size=${16 * mebibyte},nr_inodes=256,mode=1777`,
      },
      CapDrop: ['ALL'],
      CapAdd: ['SETUID', 'SETGID', 'KILL'],
      SecurityOpt: ['no-new-privileges', `seccomp=${seccompProfile}`],
      PidsLimit: largest('processes') + agentProcesses,
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
    },
  };
}

/** Splits the engine's stream; the agent's standard error is its last words, kept for the message. */
function connectionOf(engine: DockerEngine, stream: NodeJS.ReadWriteStream): AgentConnection & { lastWords(): string } {
  const output = new PassThrough();
  const errors = new PassThrough();
  let lastWords = '';
  errors.on('data', (chunk: Buffer) => {
    lastWords = (lastWords + chunk.toString()).slice(-2000);
  });
  engine.modem.demuxStream(stream, output, errors);
  for (const event of ['end', 'close', 'error']) stream.on(event, () => output.end());
  return { input: stream, output, lastWords: () => lastWords };
}

/** One single-use, hardened container per job. */
export class DockerSandbox implements Sandbox {
  readonly kind = 'docker';
  readonly identity: string;
  readonly languages: ReadonlyMap<Language, string> = new Map();
  readonly #engine: DockerEngine;

  /** `imageId`: the content address of a runner image (`ensureRunnerImage`) that is present on `engine`. */
  constructor(engine: DockerEngine, imageId: string) {
    this.#engine = engine;
    this.identity = imageId;
  }

  async run(job: SandboxJob, options: RunOptions): Promise<readonly RunResult[]> {
    checkFiles(job);
    options.signal.throwIfAborted();
    if (job.runs.length === 0) return [];
    const container = await this.#create(job, options.signal);
    try {
      return await this.#runIn(container, job, options);
    } finally {
      // What cannot be removed now, because the engine is gone or hangs, is found by `reap` through its label.
      const removed = this.#remove(container).catch(() => undefined);
      await Promise.race([removed, sleep(removeTimeoutMs, undefined, { ref: false })]);
    }
  }

  async reap(now: Date): Promise<number> {
    try {
      const containers = await this.#engine.listContainers({ all: true, filters: { label: [labels.deadline] } });
      const late = containers.filter((container) => new Date(container.Labels[labels.deadline] ?? '') < now);
      // One that cannot be removed must not keep the others.
      const removals = await Promise.allSettled(late.map(({ Id }) => this.#remove(this.#engine.getContainer(Id))));
      const failed = removals.find((removal) => removal.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      return late.length;
    } catch (error) {
      throw toSandboxError(error);
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #create(job: SandboxJob, signal: AbortSignal): Promise<Docker.Container> {
    const created = this.#engine.createContainer(containerOptions(this.identity, job));
    try {
      return await Promise.race([created, abortOf(signal)]);
    } catch (error) {
      // The engine goes on making what nobody waits for any more. Not awaited: it may hang.
      created.then((container) => this.#remove(container)).catch(() => undefined);
      signal.throwIfAborted();
      throw toSandboxError(error);
    }
  }

  async #runIn(container: Docker.Container, job: SandboxJob, options: RunOptions): Promise<readonly RunResult[]> {
    let stream: NodeJS.ReadWriteStream & { destroy?(): void };
    let connection: ReturnType<typeof connectionOf>;
    try {
      // Before the start, or the agent's first words are lost.
      stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
      connection = connectionOf(this.#engine, stream);
      await Promise.race([container.start(), abortOf(options.signal)]);
    } catch (error) {
      options.signal.throwIfAborted();
      throw toSandboxError(error);
    }
    try {
      return await runJob(connection, job, options);
    } catch (error) {
      if (!(error instanceof SandboxError)) throw error;
      throw new SandboxError(`${error.message}; ${connection.lastWords()}`, { cause: error, transient: error.transient });
    } finally {
      // The engine would wait for a reader that does not read (moby issue 41827).
      stream.destroy?.();
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
