import { bubblewrapWeaknesses, openBubblewrap } from './bubblewrap.ts';
import { type DockerEngine, dockerEngine, DockerSandbox } from './docker.ts';
import { defaultRunner, ensureRunnerImage, findRunnerImage, type RunnerSettings } from './image.ts';
import { readLanguages } from './language-versions.ts';
import type { PoolSize } from './pool.ts';
import type { RunOptions, RunResult, Sandbox, SandboxJob } from './sandbox.ts';
import { cacheFolder as defaultCacheFolder } from './toolchain.ts';

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
  /** Sandboxes kept ready; whoever asks for some has to call `close`. Default: 0. */
  readonly pool?: PoolSize;
  /** Runtime of the Docker engine, such as `runsc`. Default: the engine's own. */
  readonly runtime?: string | undefined;
  /** What Docker's image is made of. Default: all languages on the usual base. */
  readonly runner?: RunnerSettings;
}

interface Settings {
  readonly cacheFolder: string;
  readonly pool: PoolSize;
  readonly runtime: string | undefined;
  readonly runner: RunnerSettings;
}

/** `probes`: why it is this one, and what would have to be done for the others. */
export interface OpenedSandbox {
  readonly sandbox: Sandbox | null;
  readonly probes: readonly SandboxProbe[];
}

const engineAnswerMs = 5_000;

const fixes = {
  docker: 'start the Docker engine (systemctl start docker) and let this user reach it (usermod -aG docker USER)',
  bubblewrap:
    'apt-get install -y bubblewrap python3 gcc libc6-dev; as an ordinary user, user namespaces have to be allowed as well',
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

async function attemptBubblewrap({ cacheFolder, pool }: Settings): Promise<Attempt> {
  try {
    const sandbox = await openBubblewrap(cacheFolder, pool);
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

/** Tried out before: engines may answer and still refuse our container's settings. */
async function openDocker(engine: DockerEngine, imageId: string, { pool, runtime }: Settings): Promise<DockerSandbox> {
  const named = runtime === undefined ? {} : { runtime };
  const languages = await readLanguages(new DockerSandbox(engine, imageId, named));
  return new DockerSandbox(engine, imageId, { pool, languages, ...named });
}

/** With `buildImage` waits for the runner image; else a missing one means no sandbox yet, but a usable engine. */
async function attemptDocker(settings: Settings, buildImage: ((message: string) => void) | null): Promise<Attempt> {
  const engine = dockerEngine();
  try {
    const version = await engineVersion(engine);
    const existing = await findRunnerImage(engine, settings.runner);
    if (existing === null && buildImage === null) {
      const reason = `Docker ${version} answers; the runner image is not built yet`;
      return { sandbox: null, probe: { kind: 'docker', usable: true, reason, fix: null } };
    }
    const onProgress = buildImage ?? (() => undefined);
    const imageId = existing ?? (await ensureRunnerImage({ engine, runner: settings.runner, onProgress }));
    const sandbox = await openDocker(engine, imageId, settings);
    return { sandbox, probe: { kind: 'docker', usable: true, reason: `Docker ${version}, image ${imageId}`, fix: null } };
  } catch (error) {
    return failed('docker', error);
  }
}

/** Tries out every technology without building or changing anything but bubblewrap's copy of the toolchain. Does not throw. */
export async function probeSandboxes(cacheFolder = defaultCacheFolder): Promise<readonly SandboxProbe[]> {
  const settings = { cacheFolder, pool: 0, runtime: undefined, runner: defaultRunner };
  const attempts = await Promise.all([attemptDocker(settings, null), attemptBubblewrap(settings)]);
  return attempts.map(({ probe }) => probe);
}

/**
 * Serves with one sandbox until a better one is ready. Read `identity` in the same turn in which `run` is called: that is the one that
 * runs the job.
 */
class ReplaceableSandbox implements Sandbox {
  #current: Sandbox;
  readonly #reapers: readonly Pick<Sandbox, 'reap'>[];

  /** `coming`: where a dead worker may have left something for which it is too long to wait until the better one is ready. */
  constructor(first: Sandbox, coming: Pick<Sandbox, 'reap'>) {
    this.#current = first;
    this.#reapers = [first, coming];
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
    // Its jobs go on; only what it keeps ready goes.
    void this.#current.close();
    this.#current = sandbox;
  }

  run(job: SandboxJob, options: RunOptions): Promise<readonly RunResult[]> {
    return this.#current.run(job, options);
  }

  async reap(now: Date): Promise<number> {
    const counts = await Promise.all(this.#reapers.map((reaper) => reaper.reap(now)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  close(): Promise<void> {
    return this.#current.close();
  }
}

async function openAny(settings: Settings, onMessage: (message: string) => void): Promise<OpenedSandbox> {
  const docker = await attemptDocker(settings, null);
  if (docker.sandbox !== null) return { sandbox: docker.sandbox, probes: [docker.probe] };
  const bubblewrap = await attemptBubblewrap(settings);
  const probes = [docker.probe, bubblewrap.probe];
  if (!docker.probe.usable) return { sandbox: bubblewrap.sandbox, probes };
  if (bubblewrap.sandbox === null) {
    const built = await attemptDocker(settings, onMessage);
    return { sandbox: built.sandbox, probes: [built.probe, bubblewrap.probe] };
  }

  // Reaping takes no image: what is ours bears a label.
  const sandbox = new ReplaceableSandbox(bubblewrap.sandbox, new DockerSandbox(dockerEngine(), ''));
  onMessage('bubblewrap serves while the runner image is built in the background');
  void attemptDocker(settings, onMessage).then((built) => {
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
  const { onMessage, cacheFolder = defaultCacheFolder, pool = 0, runtime, runner = defaultRunner } = options;
  const opened = await openPreferred(preference, { cacheFolder, pool, runtime, runner }, onMessage);
  for (const { kind, usable, reason, fix } of opened.probes) {
    onMessage(`${kind}: ${usable ? reason : `not usable: ${reason}`}${fix === null ? '' : ` — ${fix}`}`);
  }
  return opened;
}

async function openPreferred(
  preference: SandboxPreference,
  settings: Settings,
  onMessage: (message: string) => void,
): Promise<OpenedSandbox> {
  if (preference === 'none') return { sandbox: null, probes: [] };
  if (preference === 'auto') return openAny(settings, onMessage);
  const attempt = preference === 'docker' ? attemptDocker(settings, onMessage) : attemptBubblewrap(settings);
  const { sandbox, probe } = await attempt;
  return { sandbox, probes: [probe] };
}
