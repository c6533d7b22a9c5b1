import { createHash } from 'node:crypto';
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack, type Pack } from 'tar-stream';
import { type Language, languageNames } from '../domain/check-runs.ts';
import type { DockerEngine } from './docker.ts';
import { follow, pull, selectOptionalImage } from './engine-images.ts';
import { languages, runnerFolder } from './languages.ts';
import { canBootstrap, ensureLocalBase } from './local-base.ts';
import { SandboxError } from './sandbox.ts';
import { readToolchain, type Toolchain, type ToolchainFile } from './toolchain.ts';

/** What a runner image is made of, beside the runner itself. */
export interface RunnerSettings {
  /** Those whose packages are installed; JavaScript, TypeScript and Python are always there, as the runner itself takes them. */
  readonly languages: readonly Language[];
  /** An image of the Debian family, pulled where it is missing. Null: Debian slim, or a local stand-in. */
  readonly base: string | null;
}

export const defaultRunner: RunnerSettings = { languages: languageNames, base: null };

export interface RunnerImageOptions {
  readonly engine: DockerEngine;
  /** Called with what is being done, a line at a time. */
  readonly onProgress: (message: string) => void;
  /** Default: all languages on the usual base. */
  readonly runner?: RunnerSettings;
}

/** Python, as the runner itself has programs in it; a name service module, as without a network nothing else resolves `localhost`. */
const commonPackages = ['python3', 'libnss-myhostname'];

function packagesOf({ languages: names }: RunnerSettings): readonly string[] {
  return [...new Set([...commonPackages, ...names.flatMap((name) => languages[name].packages)])].toSorted();
}

/** Name of the runner image of this version of the project and of Node; changes with every file of runner/ and with the settings. */
export function runnerImageTag(runner = defaultRunner, toolchain: Toolchain = readToolchain()): string {
  const contents = JSON.stringify([toolchain.hash, packagesOf(runner), runner.base]);
  return `atelier-runner:${createHash('sha256').update(contents).digest('hex').slice(0, 12)}`;
}

/** Id of the runner image that fits this process; null where it still has to be built. */
export async function findRunnerImage(engine: DockerEngine, runner = defaultRunner): Promise<string | null> {
  return selectOptionalImage(engine, runnerImageTag(runner));
}

/**
 * Returns the id of the runner image, which is built where it is missing: one to three minutes, by its languages; most of it for the base
 * where none can be pulled. Safe to call from several processes at once: they do the same work, and the last one's name wins.
 *
 * @throws SandboxError with the reason: no base image within reach, or the end of the failed build's output.
 */
export async function ensureRunnerImage({ engine, onProgress, runner = defaultRunner }: RunnerImageOptions): Promise<string> {
  const toolchain = readToolchain();
  const tag = runnerImageTag(runner, toolchain);
  const packages = packagesOf(runner);
  try {
    const existing = await selectOptionalImage(engine, tag);
    if (existing !== null) return existing;
    const base = await ensureBaseImage(engine, toolchain, runner, onProgress);
    onProgress(`building the runner image ${tag} on ${base} with ${packages.join(', ')}`);
    const context = buildContext(toolchain);
    const buildargs = { BASE: base, PACKAGES: packages.join(' ') };
    await follow(engine, await engine.buildImage(context, { t: tag, buildargs, forcerm: true }));
    const built = await selectOptionalImage(engine, tag);
    if (built === null) throw new Error('the build ended without an image');
    return built;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new SandboxError(`the runner image cannot be made: ${message}`, { cause: error, transient: true });
  }
}

/** On Linux the image is Debian with our own Node; elsewhere, where our Node is no Linux program, the base brings one. */
async function ensureBaseImage(
  engine: DockerEngine,
  toolchain: Toolchain,
  runner: RunnerSettings,
  onProgress: (message: string) => void,
): Promise<string> {
  const upstream = runner.base ?? (toolchain.isPortable ? 'debian:bookworm-slim' : 'node:24-bookworm-slim');
  if ((await selectOptionalImage(engine, upstream)) !== null) return upstream;
  onProgress(`pulling ${upstream}`);
  try {
    await pull(engine, upstream);
    return upstream;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const hasStandIn = runner.base === null && toolchain.isPortable && canBootstrap();
    if (!hasStandIn) throw new Error(`${upstream} cannot be pulled (${reason})`, { cause: error });
    onProgress(`${upstream} cannot be pulled (${reason.split('\n')[0]}); a base is made from this machine's package sources`);
  }
  return ensureLocalBase(engine, packagesOf(runner), onProgress);
}

/** The Dockerfile and what it copies, the toolchain and the agent's sources, as a stream: Node alone has 120 MB. */
function buildContext(toolchain: Toolchain): Readable {
  const context = pack();
  // A failure ends the stream with its error, and so the build.
  writeContext(context, toolchain).catch((error: Error) => context.destroy(error));
  return Readable.from(context);
}

async function writeContext(context: Pack, toolchain: Toolchain): Promise<void> {
  const { runnerFiles, agentSources, nativeFiles, isPortable, packages } = toolchain;
  for (const file of [...runnerFiles, ...(isPortable ? nativeFiles : [])]) await addFile(context, `.${runnerFolder}`, file);
  for (const file of agentSources) await addFile(context, '.', file);
  // Only read where the packages have to be installed in the image.
  context.entry({ name: `.${runnerFolder}/package.json` }, JSON.stringify({ private: true, dependencies: packages }));
  const dockerfile = runnerFiles.find(({ path }) => path === 'Dockerfile');
  if (dockerfile !== undefined) context.entry({ name: 'Dockerfile' }, readFileSync(dockerfile.source));
  context.finalize();
}

async function addFile(context: Pack, folder: string, { path, source, isExecutable }: ToolchainFile): Promise<void> {
  const header = { name: `${folder}/${path}`, mode: isExecutable ? 0o755 : 0o644, size: statSync(source).size };
  await pipeline(createReadStream(source), context.entry(header));
}
