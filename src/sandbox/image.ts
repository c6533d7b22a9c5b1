import { execFile, spawn } from 'node:child_process';
import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { pack, type Pack } from 'tar-stream';
import type { DockerEngine } from './docker.ts';
import { runnerFolder } from './languages.ts';
import { SandboxError } from './sandbox.ts';
import { readToolchain, type Toolchain, type ToolchainFile } from './toolchain.ts';

export interface RunnerImageOptions {
  readonly engine: DockerEngine;
  /** Called with what is being done, a line at a time. */
  readonly onProgress: (message: string) => void;
  /** A Debian-family image, or one with Python; it is neither pulled nor made here. Default: Debian slim, or a local stand-in. */
  readonly baseImage?: string;
}

/** Without a way out a pull may hang instead of failing; nothing at all within this time counts as unreachable. */
const firstPullAnswerMs = 20_000;

/** Name of the runner image of this version of the project and of Node; changes with every file of runner/. */
export function runnerImageTag(toolchain: Toolchain = readToolchain()): string {
  return `atelier-runner:${toolchain.hash}`;
}

/** Id of the image `name`; null where the engine has none. */
async function selectOptionalImage(engine: DockerEngine, name: string): Promise<string | null> {
  try {
    return (await engine.getImage(name).inspect()).Id;
  } catch (error) {
    if (error instanceof Error && 'statusCode' in error && error.statusCode === 404) return null;
    throw error;
  }
}

/** Id of the runner image that fits this process; null where it still has to be built. */
export async function findRunnerImage(engine: DockerEngine): Promise<string | null> {
  return selectOptionalImage(engine, runnerImageTag());
}

/**
 * Returns the id of the runner image, which is built where it is missing: about a minute, half of it for the base where none can be
 * pulled. Safe to call from several processes at once: they do the same work, and the last one's name wins.
 *
 * @throws SandboxError with the reason: no base image within reach, or the end of the failed build's output.
 */
export async function ensureRunnerImage({ engine, onProgress, baseImage }: RunnerImageOptions): Promise<string> {
  const toolchain = readToolchain();
  const tag = runnerImageTag(toolchain);
  try {
    const existing = await selectOptionalImage(engine, tag);
    if (existing !== null) return existing;
    const base = baseImage ?? (await ensureBaseImage(engine, toolchain, onProgress));
    onProgress(`building the runner image ${tag} on ${base}`);
    const context = buildContext(toolchain);
    const output = await engine.buildImage(context, { t: tag, buildargs: { BASE: base }, forcerm: true });
    await follow(engine, output);
    const built = await selectOptionalImage(engine, tag);
    if (built === null) throw new Error('the build ended without an image');
    return built;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new SandboxError(`the runner image cannot be made: ${message}`, { cause: error, transient: true });
  }
}

/** Waits for the end of a build, pull or import. The engine answers 200 and tells of a failure in the stream. */
async function follow(engine: DockerEngine, output: NodeJS.ReadableStream): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const lastLines: string[] = [];
  engine.modem.followProgress(
    output,
    (error: Error | null) =>
      error === null ? resolve() : reject(new Error([...lastLines, error.message].join('\n'), { cause: error })),
    (event: { stream?: string }) => {
      if (event.stream !== undefined) lastLines.push(event.stream.trimEnd());
      lastLines.splice(0, lastLines.length - 10);
    },
  );
  return promise;
}

/** On Linux the image is Debian with our own Node; elsewhere, where our Node is no Linux program, the base brings one. */
async function ensureBaseImage(
  engine: DockerEngine,
  toolchain: Toolchain,
  onProgress: (message: string) => void,
): Promise<string> {
  const upstream = toolchain.isPortable ? 'debian:bookworm-slim' : 'node:24-bookworm-slim';
  if ((await selectOptionalImage(engine, upstream)) !== null) return upstream;
  onProgress(`pulling ${upstream}`);
  try {
    await pull(engine, upstream);
    return upstream;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (!toolchain.isPortable || !canBootstrap()) throw new Error(`${upstream} cannot be pulled (${reason})`, { cause: error });
    onProgress(`${upstream} cannot be pulled (${reason.split('\n')[0]}); a base is made from this machine's package sources`);
  }
  return ensureLocalBase(engine, onProgress);
}

async function pull(engine: DockerEngine, image: string): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error('no answer from the registry')), firstPullAnswerMs);
  try {
    const output = await Promise.race([engine.pull(image), late.promise]);
    output.once('data', () => clearTimeout(timer));
    await Promise.race([follow(engine, output), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

const debootstrap = '/usr/sbin/debootstrap';

function canBootstrap(): boolean {
  return process.getuid?.() === 0 && existsSync(debootstrap);
}

/** Release name and package mirror of this machine, as its own package manager uses them. */
function packageSource(): { readonly release: string; readonly mirror: string } {
  const release = /^VERSION_CODENAME=(\w+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  const folder = '/etc/apt/sources.list.d';
  const files = ['/etc/apt/sources.list', ...(existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [])];
  for (const file of files.filter((name) => existsSync(name))) {
    const text = readFileSync(file, 'utf8');
    for (const stanza of file.endsWith('.sources') ? text.split(/\n\s*\n/) : []) {
      const suites = /^Suites:(.*)$/m.exec(stanza)?.[1]?.trim().split(/\s+/) ?? [];
      const mirror = /^URIs:\s*(\S+)/m.exec(stanza)?.[1];
      if (release !== undefined && mirror !== undefined && suites.includes(release)) return { release, mirror };
    }
    const line = /^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+main\b/gm;
    for (const [, mirror, suite] of file.endsWith('.list') ? text.matchAll(line) : []) {
      if (release !== undefined && mirror !== undefined && suite === release) return { release, mirror };
    }
  }
  throw new Error("this machine's package sources name no mirror of its own release");
}

/** Folders that are of no use inside a container, or made anew there. */
const leftOut = [
  'dev',
  'proc',
  'sys',
  'var/cache/apt',
  'var/lib/apt/lists',
  'var/log',
  'usr/share/doc',
  'usr/share/man',
  'usr/share/info',
  'usr/share/locale',
];

/** Stand-in for the upstream base: same packages, from the machine's own sources, with Python, so that the build needs no network. */
async function ensureLocalBase(engine: DockerEngine, onProgress: (message: string) => void): Promise<string> {
  const { release, mirror } = packageSource();
  const name = `atelier-base:${release}`;
  if ((await selectOptionalImage(engine, name)) !== null) return name;
  onProgress(`installing a base system (${release}) with debootstrap from ${mirror}, about 250 MB in a temporary folder`);
  const root = await mkdtemp(join(tmpdir(), 'atelier-base-'));
  try {
    const packages = 'python3,ca-certificates,libnss-myhostname';
    await promisify(execFile)(debootstrap, ['--variant=minbase', `--include=${packages}`, release, root, mirror], {
      maxBuffer: 64 * 1024 * 1024,
    });
    const excludes = leftOut.map((folder) => `--exclude=./${folder}/*`);
    const tar = spawn('tar', ['-C', root, '--numeric-owner', '--one-file-system', ...excludes, '-c', '.'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [repo, tag] = name.split(':');
    await follow(engine, await engine.importImage(tar.stdout, { repo, tag }));
    return name;
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** The Dockerfile and what it copies, as a stream: Node alone has 120 MB. */
function buildContext(toolchain: Toolchain): Readable {
  const context = pack();
  // A failure ends the stream with its error, and so the build.
  writeContext(context, toolchain).catch((error: Error) => context.destroy(error));
  return Readable.from(context);
}

async function writeContext(context: Pack, { runnerFiles, nativeFiles, isPortable, linters }: Toolchain): Promise<void> {
  for (const file of [...runnerFiles, ...(isPortable ? nativeFiles : [])]) await addFile(context, file);
  // Only read where the linters have to be installed in the image.
  context.entry({ name: `.${runnerFolder}/package.json` }, JSON.stringify({ private: true, dependencies: linters }));
  const dockerfile = runnerFiles.find(({ path }) => path === 'Dockerfile');
  if (dockerfile !== undefined) context.entry({ name: 'Dockerfile' }, readFileSync(dockerfile.source));
  context.finalize();
}

async function addFile(context: Pack, { path, source, isExecutable }: ToolchainFile): Promise<void> {
  const header = { name: `.${runnerFolder}/${path}`, mode: isExecutable ? 0o755 : 0o644, size: statSync(source).size };
  await pipeline(createReadStream(source), context.entry(header));
}
