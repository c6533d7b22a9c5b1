import { execFile, type ExecFileException } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative, sep } from 'node:path';
import { promisify } from 'node:util';
import type { DependencyList } from '../domain/exercises.ts';
import type { BlobStore } from '../storage/blobs.ts';
import { LayerError, type LayerFile, LayerFiles, layerFolders, packLayer } from './layer-tar.ts';

/** Registries answer within seconds; a company's one may have to fetch everything first. */
const installTimeoutMs = 5 * 60_000;

interface Installer {
  readonly program: string;
  /** Installs into a folder `target` of the current one, in which the list's files are. Runs no code of a package. */
  readonly argv: readonly string[];
  readonly target: string;
  readonly missing: string;
  /** Traces of this machine and of the installation, by path in `target`. */
  readonly isTrace: (path: string) => boolean;
}

/**
 * Only what is the same on every machine: no install scripts, no package for one kind of processor, no programs with the path of this
 * machine's Python. What has to be compiled belongs into the runner image.
 */
const installers: Record<DependencyList['installer'], Installer> = {
  npm: {
    program: 'npm',
    argv: ['ci', '--ignore-scripts', '--omit=dev', '--omit=optional', '--no-bin-links', '--no-audit', '--no-fund', '--prefix=.'],
    target: 'node_modules',
    missing: 'npm is not installed on this machine; install it',
    isTrace: (path) => path === '.package-lock.json',
  },
  pip: {
    program: 'python3',
    argv: [
      ...['-m', 'pip', 'install', '--no-deps', '--require-hashes', '--only-binary=:all:', '--no-compile'],
      ...['--platform=any', '--implementation=py', '--abi=none', '--target=packages', '--requirement=requirements.txt'],
      ...['--no-input', '--disable-pip-version-check', '--progress-bar=off'],
    ],
    target: 'packages',
    missing: 'Python with pip is not installed on this machine; install it (apt-get install -y python3-pip)',
    isTrace: (path) => /^bin\/|\.dist-info\/(?:RECORD|REQUESTED|INSTALLER)$/.test(path),
  },
};

/**
 * Makes what builds layers: installs the packages of a list in a temporary folder, from the registry that this user's npm or pip is set
 * up for, and stores them as a tar file. No code of a package is run. Returns the key of the blob.
 *
 * @param env of the installers, which find the user's configuration by it.
 */
export function createLayerBuilder(blobs: BlobStore, env: NodeJS.ProcessEnv): (list: DependencyList) => Promise<string> {
  return async (list) => blobs.put(await packLayer(await install(list, env)));
}

/** @throws LayerError that says what to do. */
async function install(list: DependencyList, env: NodeJS.ProcessEnv): Promise<readonly LayerFile[]> {
  const { program, argv, target, missing, isTrace } = installers[list.installer];
  const folder = await mkdtemp(join(tmpdir(), 'atelier-layer-'));
  try {
    for (const [name, text] of Object.entries(list.files)) await writeFile(join(folder, name), text);
    await promisify(execFile)(program, argv, { cwd: folder, env, timeout: installTimeoutMs, maxBuffer: 16 * 1024 * 1024 });
    return await collect(join(folder, target), layerFolders[list.installer], isTrace);
  } catch (error) {
    const names = list.packages.slice(0, 5).join(', ') + (list.packages.length > 5 ? ' and others' : '');
    throw new LayerError(`${names} cannot be installed: ${reasonOf(error, missing)}. Nothing was published.`, { cause: error });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What a failed installer said last, or why there was none. */
function reasonOf(error: unknown, missing: string): string {
  if (error instanceof LayerError) return error.message;
  const { code, stderr = '', message } = error as ExecFileException;
  if (code === 'ENOENT' || stderr.includes('No module named pip')) return missing;
  const lines = stderr.split('\n').filter((line) => /\berr(?:or)?\b/i.test(line));
  const said = lines.slice(0, 6).join('\n') || stderr.trim().slice(-1000) || message;
  return `${said}\n(publishing needs a registry that this user's npm or pip reaches, and packages without compiled parts)`;
}

async function collect(root: string, place: string, isTrace: (path: string) => boolean): Promise<readonly LayerFile[]> {
  const files = new LayerFiles();
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue;
    const source = join(entry.parentPath, entry.name);
    const path = relative(root, source).replaceAll(sep, '/');
    if (isTrace(path)) continue;
    if (!entry.isFile()) throw new LayerError(`${path} is no regular file`);
    const { mode } = await stat(source);
    files.add({ path: `${place}/${path}`, content: await readFile(source), isExecutable: (mode & 0o100) !== 0 });
  }
  return files.list();
}
