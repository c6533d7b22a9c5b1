import { join } from 'node:path';
import type { containerOptions, DockerEngine } from '../src/sandbox/docker.ts';
import type { Contender } from './contenders.ts';
import { environment, type ProgramFolders, runnerSource, spawnAndCollect } from './host.ts';

type ContainerOptions = ReturnType<typeof containerOptions>;

/**
 * The sandbox's own container without its agent: one program as an ordinary user without any capability. What is compared is then what
 * is done with the same container, not how hard it is.
 */
export function withoutAgent(options: ContainerOptions, argv: readonly string[]): ContainerOptions {
  return {
    ...options,
    Cmd: [...argv],
    User: '10001:10001',
    OpenStdin: false,
    StdinOnce: false,
    AttachStdin: false,
    HostConfig: { ...options.HostConfig, CapAdd: [] },
  };
}

/**
 * Flags of `docker run` for a container's settings. `NetworkDisabled` has no flag: `--network none` is as near as it gets.
 *
 * @throws Error for a setting without a flag here: a container less hard than ours would be no comparison.
 */
export function dockerRunFlags(options: ContainerOptions): readonly string[] {
  const flags: string[] = [];
  const translate = <Settings extends object>(settings: Settings, table: Flags<Settings>) => {
    for (const [name, value] of Object.entries(settings) as [keyof Settings & string, never][]) {
      const flag = table[name];
      if (flag === undefined) throw new Error(`no flag of docker run is known for ${name}`);
      flags.push(...flag(value));
    }
  };
  const { HostConfig: host = {}, ...container } = options;
  translate(container, containerFlags);
  translate(host, hostFlags);
  return flags;
}

/** How each setting is said on the command line; an empty list where it is the default of `docker run --rm`. */
type Flags<Settings> = { readonly [Name in keyof Settings]?: (value: NonNullable<Settings[Name]>) => readonly string[] };

const none = () => [];
const each = (flag: string, values: readonly string[]) => values.flatMap((value) => [flag, value]);

const containerFlags: Flags<ContainerOptions> = {
  Image: none,
  Cmd: none,
  NetworkDisabled: none,
  OpenStdin: none,
  StdinOnce: none,
  AttachStdin: none,
  AttachStdout: none,
  AttachStderr: none,
  Tty: none,
  User: (user) => ['--user', user],
  WorkingDir: (folder) => ['--workdir', folder],
  Hostname: (name) => ['--hostname', name],
  StopSignal: (signal) => ['--stop-signal', signal],
  Env: (variables) => each('--env', variables),
  Labels: (labels) =>
    each(
      '--label',
      Object.entries(labels).map((pair) => pair.join('=')),
    ),
};

/** The client's types do not have all of it. */
type HostConfig = NonNullable<ContainerOptions['HostConfig']> & { readonly CgroupnsMode?: string };

const hostFlags: Flags<HostConfig> = {
  Privileged: none,
  Init: none,
  AutoRemove: none,
  RestartPolicy: none,
  NetworkMode: (mode) => ['--network', mode],
  ReadonlyRootfs: () => ['--read-only'],
  IpcMode: (mode) => ['--ipc', mode],
  CgroupnsMode: (mode) => ['--cgroupns', mode],
  Runtime: (runtime) => ['--runtime', runtime],
  Binds: (binds) => each('--volume', binds),
  Tmpfs: (folders: Readonly<Record<string, string>>) =>
    each(
      '--tmpfs',
      Object.entries(folders).map((pair) => pair.join(':')),
    ),
  CapAdd: (names: readonly string[]) => each('--cap-add', names),
  CapDrop: (names: readonly string[]) => each('--cap-drop', names),
  // The engine takes the profile, the command line the file that holds it.
  SecurityOpt: (settings: readonly string[]) =>
    each(
      '--security-opt',
      settings.map((setting) => (setting.startsWith('seccomp=') ? `seccomp=${join(runnerSource, 'seccomp.json')}` : setting)),
    ),
  PidsLimit: (count) => ['--pids-limit', String(count)],
  Memory: (bytes) => ['--memory', String(bytes)],
  MemorySwap: (bytes) => ['--memory-swap', String(bytes)],
  NanoCpus: (billionths) => ['--cpus', String(billionths / 1e9)],
  OomScoreAdj: (score) => ['--oom-score-adj', String(score)],
  Ulimits: (ulimits) =>
    each(
      '--ulimit',
      ulimits.map(({ Name, Soft, Hard }) => `${Name}=${Soft}:${Hard}`),
    ),
  LogConfig: ({ Type }) => ['--log-driver', Type],
};

/** A hardened container per run, by the command line, as most judges do it. */
export function dockerRun(folders: ProgramFolders, optionsFor: () => ContainerOptions): Contender {
  return {
    name: 'dockerRun',
    method: '`docker run --rm` with the flags of our own container, without its agent; the files come by a read-only volume',
    can: () => true,
    run(program) {
      const options = withoutAgent(optionsFor(), []);
      const flags = dockerRunFlags({
        ...options,
        WorkingDir: '/box/work',
        Env: [...(options.Env ?? []), ...Object.entries(environment).map(([key, value]) => `${key}=${value}`)],
        HostConfig: { ...options.HostConfig, Binds: [`${folders.of(program)}:/box/work:ro`] },
      });
      const argv = program.hasReport ? ['sh', '-c', 'exec "$@" 3>/dev/null', 'sh', ...program.argv] : program.argv;
      return spawnAndCollect(['docker', 'run', '--rm', ...flags, options.Image ?? '', ...argv], {
        env: { PATH: process.env['PATH'], HOME: process.env['HOME'], DOCKER_HOST: process.env['DOCKER_HOST'] },
        hasReport: false,
      });
    },
  };
}

/** The whole life of one hardened container that runs `true`, through the engine's API: the least that a container per job costs. */
export async function liveOnce(engine: DockerEngine, optionsFor: () => ContainerOptions): Promise<void> {
  const container = await engine.createContainer(withoutAgent(optionsFor(), ['true']));
  try {
    await container.start();
    const { StatusCode } = (await container.wait()) as { StatusCode: number };
    if (StatusCode !== 0) throw new Error(`a raw container ended with ${StatusCode}`);
  } finally {
    await container.remove({ force: true, v: true });
  }
}
