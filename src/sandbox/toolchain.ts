import { execFileSync } from 'node:child_process';
import { createHash, type Hash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, sep } from 'node:path';
import { z } from 'zod';

/** A file for the sandboxes, and where it is on this machine. */
export interface ToolchainFile {
  /** Relative to `runnerFolder` of every sandbox; that of a source of the agent, which none has, to runner/. */
  readonly path: string;
  readonly source: string;
  readonly isExecutable: boolean;
}

/** What runs inside the sandboxes. */
export interface Toolchain {
  /** Plain text files, the same on every platform. */
  readonly runnerFiles: readonly ToolchainFile[];
  /** What the agent is compiled from, for where this machine's compiler cannot make one. */
  readonly agentSources: readonly ToolchainFile[];
  /** Node, the linters and the TypeScript compiler as they are on this machine, and the agent where its compiler can make one that needs no library. */
  readonly nativeFiles: readonly ToolchainFile[];
  /** npm packages that come along, name → exact version. */
  readonly packages: Readonly<Record<string, string>>;
  /** Changes with the runner's files, the agent's sources among them, and with the versions of Node and the packages; 12 hexadecimal digits. */
  readonly hash: string;
  /** Whether the native files run on Debian: false on other platforms than Linux with glibc. */
  readonly isPortable: boolean;
}

const Manifest = z.object({ version: z.string() });
const PlatformReport = z.object({ header: z.object({ glibcVersionRuntime: z.string().optional() }) });

const runnerSource = join(import.meta.dirname, '../../runner');
const agentSource = join(runnerSource, 'agent');
/** What is made from the project's sources for the sandboxes of this machine. */
export const cacheFolder = join(import.meta.dirname, '../../node_modules/.cache/atelier-sandbox');
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

/**
 * Compiles the agent (runner/agent) with this machine's C compiler, once: the result is kept under the hash of its sources. `static` runs
 * on every Linux of this processor, `dynamic` beside this machine's own C library.
 *
 * @returns the program; null where this machine cannot make it.
 */
export function compileAgent(linking: 'static' | 'dynamic'): ToolchainFile | null {
  const sources = readAgentSources();
  const hash = createHash('sha256');
  addFiles(hash, sources);
  const target = join(cacheFolder, `agent-${hash.digest('hex').slice(0, 12)}-${process.arch}-${linking}`);
  const file: ToolchainFile = { path: 'agent', source: target, isExecutable: true };
  if (existsSync(target)) return file;
  let draft: string | null = null;
  try {
    mkdirSync(cacheFolder, { recursive: true });
    draft = mkdtempSync(join(cacheFolder, 'draft-'));
    const output = join(draft, 'agent');
    const programs = sources.map(({ source }) => source).filter((source) => source.endsWith('.c'));
    execFileSync('cc', ['-O2', ...(linking === 'static' ? ['-static'] : []), '-s', '-o', output, ...programs], {
      stdio: 'ignore',
    });
    // Another process may be doing the same.
    renameSync(output, target);
    return file;
  } catch {
    return null;
  } finally {
    if (draft !== null) rmSync(draft, { recursive: true });
  }
}

/** Collects the toolchain: this process's Node and this project's packages. Reads the contents of the runner only. */
export function readToolchain(): Toolchain {
  const isPortable = isLinuxWithGlibc();
  const agent = compileAgent('static');
  const packages = Object.fromEntries(packageNames.map((name) => [name, packageVersion(packageFolder(name))]));
  const runnerFiles = filesBelow(runnerSource)
    .filter((source) => !source.startsWith(agentSource + sep))
    .map(plainFile);
  const agentSources = readAgentSources();
  const packageFiles = [...packageNames, ...nativePackages()].flatMap((name) => {
    const folder = packageFolder(name);
    return filesBelow(folder).map((source) => ({
      path: join('node_modules', name, relative(folder, source)),
      source,
      isExecutable: (statSync(source).mode & 0o100) !== 0,
    }));
  });

  const hash = createHash('sha256').update(JSON.stringify([process.version, process.arch, isPortable, packages]));
  addFiles(hash, [...runnerFiles, ...agentSources]);

  return {
    runnerFiles,
    agentSources,
    nativeFiles: [
      ...packageFiles,
      { path: 'bin/node', source: process.execPath, isExecutable: true },
      ...(agent === null ? [] : [agent]),
    ],
    packages,
    hash: hash.digest('hex').slice(0, 12),
    isPortable,
  };
}

function readAgentSources(): readonly ToolchainFile[] {
  return filesBelow(agentSource).map(plainFile);
}

function plainFile(source: string): ToolchainFile {
  return { path: relative(runnerSource, source), source, isExecutable: false };
}

function addFiles(hash: Hash, files: readonly ToolchainFile[]): void {
  for (const { path, source } of files) hash.update(`\0${path}\0`).update(readFileSync(source));
}
