import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inBaseFolder } from './base-folder.ts';
import { startBound } from './bound-program.ts';
import type { DockerEngine } from './docker.ts';
import { follow, selectOptionalImage } from './engine-images.ts';

const debootstrap = '/usr/sbin/debootstrap';

/** Whether `ensureLocalBase` can be asked: it takes root, who may make namespaces, and debootstrap. */
export function canBootstrap(): boolean {
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

/**
 * Stand-in for the upstream base where none can be pulled: made by debootstrap from the machine's own package sources, with `packages`, so
 * that the build on it needs no network. One per set of packages.
 *
 * @returns its name on `engine`
 * @throws what debootstrap or the engine said; that it was stopped, where this process is asked to stop meanwhile.
 */
export async function ensureLocalBase(
  engine: DockerEngine,
  packages: readonly string[],
  onProgress: (message: string) => void,
): Promise<string> {
  const { release, mirror } = packageSource();
  const contents = createHash('sha256').update(packages.join(' ')).digest('hex').slice(0, 12);
  const name = `atelier-base:${release}-${contents}`;
  if ((await selectOptionalImage(engine, name)) !== null) return name;
  onProgress(
    `installing a base system (${release}, ${packages.join(' ')}) with debootstrap from ${mirror} in a temporary folder`,
  );
  await inBaseFolder(async (folder, signal) => {
    const root = join(folder, 'root');
    const settings = ['--variant=minbase', `--include=${packages.join(',')}`];
    // What went wrong it tells on its standard output.
    const argv = ['sh', '-c', 'exec "$@" >&2', 'sh', debootstrap, ...settings, release, root, mirror];
    const trouble = await startBound(argv, signal).ended;
    signal.throwIfAborted();
    if (trouble !== null) throw new Error(`debootstrap: ${trouble}`);
    await importFolder(engine, name, root, signal);
  }, onProgress);
  return name;
}

async function importFolder(engine: DockerEngine, name: string, root: string, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const excludes = leftOut.map((folder) => `--exclude=./${folder}/*`);
  const argv = ['tar', '-C', root, '--numeric-owner', '--one-file-system', ...excludes, '-c', '.'];
  const [repo, tag] = name.split(':');
  // The engine would take an archive that ends early for a whole one: the request is given up before its sender ends.
  const importing = { repo, tag, abortSignal: signal };
  const sender = startBound(argv, over.signal);
  try {
    await follow(engine, await engine.importImage(sender.output, importing));
  } catch (error) {
    over.abort();
    throw error;
  } finally {
    await sender.ended;
  }
}
