import { join } from 'node:path';
import { bubblewrapWeaknesses, openBubblewrap } from './bubblewrap.ts';
import { type DockerEngine, dockerEngine, DockerSandbox } from './docker.ts';
import { defaultRunner, ensureRunnerImage, findRunnerImage, type RunnerSettings } from './image.ts';
import { type RunOptions, type RunResult, type Sandbox, SandboxError, type SandboxJob } from './sandbox.ts';

/** Whether one technology can run code on this machine, as tried out. */
export interface SandboxProbe {
  readonly kind: Sandbox['kind'];
  readonly usable: boolean;
  /** What was found, for people. */
  readonly reason: string;
  /** A command or a piece of advice, on one line; null where nothing is to be done. */
  readonly fix: string | null;
}

export type SandboxPreference = 'auto' | 'docker' | 'bubblewrap' | 'none';

export interface OpenSandboxOptions {
  /** Called with what was chosen and what is going on, a line at a time; also after `openSandbox` has returned. */
  readonly onMessage: (message: string) => void;
  /** Holds bubblewrap's copy of the toolchain, about 150 MB. Default: node_modules/.cache of this project. */
  readonly cacheFolder?: string;
  /** What Docker's image is made of. Default: all languages on the usual base. */
  readonly runner?: RunnerSettings;
}

/** `probes`: why it is this one, and what would have to be done for the others. */
export interface OpenedSandbox {
  readonly sandbox: Sandbox | null;
  readonly probes: readonly SandboxProbe[];
}

const defaultCacheFolder = join(import.meta.dirname, '../../node_modules/.cache/atelier-sandbox');
const engineAnswerMs = 5_000;

const fixes = {
  docker: 'start the Docker engine (systemctl start docker) and let this user reach it (usermod -aG docker USER)',
  bubblewrap: 'apt-get install -y bubblewrap python3; as an ordinary user, user namespaces have to be allowed as well',
} as const;

interface Attempt {
  readonly sandbox: Sandbox | null;
  readonly probe: SandboxProbe;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function failed(kind: Sandbox['kind'], error: unknown): Attempt {
  return { sandbox: null, probe: { kind, usable: false, reason: messageOf(error), fix: fixes[kind] } };
}

async function attemptBubblewrap(cacheFolder: string): Promise<Attempt> {
  try {
    const sandbox = await openBubblewrap(cacheFolder);
    const reason = `${sandbox.identity}; not enforced: ${bubblewrapWeaknesses.join('; ')}`;
    return { sandbox, probe: { kind: 'bubblewrap', usable: true, reason, fix: null } };
  } catch (error) {
    return failed('bubblewrap', error);
  }
}

/** Version of the engine. A socket may accept and never answer. */
async function engineVersion(engine: DockerEngine): Promise<string> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error('the Docker engine gives no answer')), engineAnswerMs);
  try {
    const { Version } = await Promise.race([engine.version(), late.promise]);
    return Version;
  } finally {
    clearTimeout(timer);
  }
}

/** A job that does nothing: engines may answer and still refuse our container's settings. */
async function openDocker(engine: DockerEngine, imageId: string): Promise<DockerSandbox> {
  const sandbox = new DockerSandbox(engine, imageId);
  const mebibyte = 1024 * 1024;
  const job: SandboxJob = {
    label: { submissionId: 'probe', attempt: 0, deadline: new Date(Date.now() + 60_000) },
    files: [],
    runs: [
      {
        name: 'probe',
        argv: ['true'],
        limits: {
          cpuTimeMs: 10_000,
          wallTimeMs: 30_000,
          memoryBytes: 64 * mebibyte,
          processes: 16,
          outputBytes: 10_000,
          diskBytes: mebibyte,
          fileCount: 100,
        },
      },
    ],
  };
  const [result] = await sandbox.run(job, { signal: AbortSignal.timeout(60_000) });
  if (result?.exitCode !== 0) {
    throw new SandboxError(`the runner image does not work: ${result?.stderr.toString().trim()}`, { transient: false });
  }
  return sandbox;
}

/** With `buildImage` waits for the runner image; else a missing one means no sandbox yet, but a usable engine. */
async function attemptDocker(
  engine: DockerEngine,
  runner: RunnerSettings,
  buildImage: ((message: string) => void) | null,
): Promise<Attempt> {
  try {
    const version = await engineVersion(engine);
    const existing = await findRunnerImage(engine, runner);
    if (existing === null && buildImage === null) {
      const reason = `Docker ${version} answers; the runner image is not built yet`;
      return { sandbox: null, probe: { kind: 'docker', usable: true, reason, fix: null } };
    }
    const imageId = existing ?? (await ensureRunnerImage({ engine, runner, onProgress: buildImage ?? (() => undefined) }));
    const sandbox = await openDocker(engine, imageId);
    return { sandbox, probe: { kind: 'docker', usable: true, reason: `Docker ${version}, image ${imageId}`, fix: null } };
  } catch (error) {
    return failed('docker', error);
  }
}

/** Tries out every technology without building or changing anything but bubblewrap's copy of the toolchain. Does not throw. */
export async function probeSandboxes(cacheFolder = defaultCacheFolder): Promise<readonly SandboxProbe[]> {
  const attempts = await Promise.all([attemptDocker(dockerEngine(), defaultRunner, null), attemptBubblewrap(cacheFolder)]);
  return attempts.map(({ probe }) => probe);
}

/**
 * Serves with one sandbox until a better one is ready. Read `identity` in the same turn in which `run` is called: that is the one that
 * runs the job.
 */
class ReplaceableSandbox implements Sandbox {
  #current: Sandbox;

  constructor(first: Sandbox) {
    this.#current = first;
  }

  get kind(): Sandbox['kind'] {
    return this.#current.kind;
  }

  get identity(): string {
    return this.#current.identity;
  }

  get languages(): Sandbox['languages'] {
    return this.#current.languages;
  }

  replaceBy(sandbox: Sandbox): void {
    this.#current = sandbox;
  }

  run(job: SandboxJob, options: RunOptions): Promise<readonly RunResult[]> {
    return this.#current.run(job, options);
  }

  reap(now: Date): Promise<number> {
    return this.#current.reap(now);
  }

  close(): Promise<void> {
    return this.#current.close();
  }
}

async function openAny(
  engine: DockerEngine,
  { onMessage, cacheFolder = defaultCacheFolder, runner = defaultRunner }: OpenSandboxOptions,
): Promise<OpenedSandbox> {
  const docker = await attemptDocker(engine, runner, null);
  if (docker.sandbox !== null) return { sandbox: docker.sandbox, probes: [docker.probe] };
  const bubblewrap = await attemptBubblewrap(cacheFolder);
  const probes = [docker.probe, bubblewrap.probe];
  if (!docker.probe.usable) return { sandbox: bubblewrap.sandbox, probes };
  if (bubblewrap.sandbox === null) {
    const built = await attemptDocker(engine, runner, onMessage);
    return { sandbox: built.sandbox, probes: [built.probe, bubblewrap.probe] };
  }

  const sandbox = new ReplaceableSandbox(bubblewrap.sandbox);
  onMessage('bubblewrap serves while the runner image is built in the background');
  void attemptDocker(engine, runner, onMessage).then((built) => {
    if (built.sandbox === null) return onMessage(`bubblewrap goes on serving: ${built.probe.reason}`);
    sandbox.replaceBy(built.sandbox);
    return onMessage(`Docker serves from now on: ${built.probe.reason}`);
  });
  return { sandbox, probes };
}

/**
 * Opens the sandbox of this process. `auto`: Docker where an engine answers, else bubblewrap; while the runner image is being built,
 * bubblewrap serves. `docker` waits for the image. Does not throw: without a sandbox `probes` says why and what to do.
 */
export async function openSandbox(preference: SandboxPreference, options: OpenSandboxOptions): Promise<OpenedSandbox> {
  const opened = await openPreferred(preference, options);
  for (const { kind, usable, reason, fix } of opened.probes) {
    options.onMessage(`${kind}: ${usable ? reason : `not usable: ${reason}`}${fix === null ? '' : ` — ${fix}`}`);
  }
  return opened;
}

async function openPreferred(preference: SandboxPreference, options: OpenSandboxOptions): Promise<OpenedSandbox> {
  if (preference === 'none') return { sandbox: null, probes: [] };
  if (preference === 'auto') return openAny(dockerEngine(), options);
  const { onMessage, cacheFolder = defaultCacheFolder, runner = defaultRunner } = options;
  const attempt = preference === 'docker' ? attemptDocker(dockerEngine(), runner, onMessage) : attemptBubblewrap(cacheFolder);
  const { sandbox, probe } = await attempt;
  return { sandbox, probes: [probe] };
}
