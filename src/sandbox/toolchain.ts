import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { z } from 'zod';

/** A file below `runnerFolder` of every sandbox, and where it is on this machine. */
export interface ToolchainFile {
  /** Relative to `runnerFolder`. */
  readonly path: string;
  readonly source: string;
  readonly isExecutable: boolean;
}

/** What runs inside the sandboxes. */
export interface Toolchain {
  /** Plain text files, the same on every platform. */
  readonly runnerFiles: readonly ToolchainFile[];
  /** Node, the linters and the TypeScript compiler, as they are on this machine. */
  readonly nativeFiles: readonly ToolchainFile[];
  /** npm packages that come along, name → exact version. */
  readonly packages: Readonly<Record<string, string>>;
  /** Changes with the runner's files and with the versions of Node and the packages; 12 hexadecimal digits. */
  readonly hash: string;
  /** Whether the native files run on Debian: false on other platforms than Linux with glibc. */
  readonly isPortable: boolean;
}

const Manifest = z.object({ version: z.string() });
const PlatformReport = z.object({ header: z.object({ glibcVersionRuntime: z.string().optional() }) });

const runnerSource = join(import.meta.dirname, '../../runner');
/** The linters, and the TypeScript compiler with the types of Node's own modules. */
const packageNames = ['oxlint', '@astral-sh/ruff-wasm-nodejs', 'typescript', '@types/node', 'undici-types'];

function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}

function packageFolder(name: string): string {
  return dirname(realpathSync(createRequire(import.meta.url).resolve(`${name}/package.json`)));
}

function packageVersion(folder: string): string {
  const manifest: unknown = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return Manifest.parse(manifest).version;
}

/** The native parts of oxlint and TypeScript are packages of their own, named after the platform, beside them. */
function nativePackages(): readonly string[] {
  return ['oxlint', 'typescript'].flatMap((name) =>
    readdirSync(join(packageFolder(name), `../@${name}`)).map((native) => `@${name}/${native}`),
  );
}

function isLinuxWithGlibc(): boolean {
  if (process.platform !== 'linux') return false;
  return PlatformReport.parse(process.report.getReport()).header.glibcVersionRuntime !== undefined;
}

/** Collects the toolchain: this process's Node and this project's packages. Reads the contents of the runner only. */
export function readToolchain(): Toolchain {
  const isPortable = isLinuxWithGlibc();
  const packages = Object.fromEntries(packageNames.map((name) => [name, packageVersion(packageFolder(name))]));
  const runnerFiles = filesBelow(runnerSource).map((source) => plainFile(relative(runnerSource, source), source));
  const packageFiles = [...packageNames, ...nativePackages()].flatMap((name) => {
    const folder = packageFolder(name);
    return filesBelow(folder).map((source) => ({
      path: join('node_modules', name, relative(folder, source)),
      source,
      isExecutable: (statSync(source).mode & 0o100) !== 0,
    }));
  });

  const hash = createHash('sha256').update(JSON.stringify([process.version, process.arch, isPortable, packages]));
  for (const { path, source } of runnerFiles) hash.update(`\0${path}\0`).update(readFileSync(source));

  return {
    runnerFiles,
    nativeFiles: [...packageFiles, { path: 'bin/node', source: process.execPath, isExecutable: true }],
    packages,
    hash: hash.digest('hex').slice(0, 12),
    isPortable,
  };
}

function plainFile(path: string, source: string): ToolchainFile {
  return { path, source, isExecutable: false };
}
