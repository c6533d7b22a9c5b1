import { readFileSync, statSync } from 'node:fs';
import { get } from 'node:http';
import { messageOf } from './errors.ts';
import { ProgramFailed, runProgram } from './run-program.ts';

export interface SandboxProbeOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly dockerHost?: string | undefined;
  /** False forbids to install anything with the machine's package manager. */
  readonly install: boolean;
  readonly say: (text: string) => void;
}

const installCommand = 'apt-get install -y bubblewrap python3 gcc libc6-dev';

/**
 * Makes sure that student code can be run apart from this machine, and says with what.
 *
 * Without Docker and bubblewrap, root on a Debian-family machine installs bubblewrap from the distribution; else the academy starts
 * all the same and submissions wait, so the one command to run is said.
 *
 * @returns what was found, for the list of parts
 */
export async function ensureSandbox(options: SandboxProbeOptions): Promise<string> {
  const docker = await dockerAnswers(options.dockerHost);
  const before = await bubblewrapProblem(options.env);
  if (before === undefined) return docker ? 'Docker engine, and bubblewrap' : 'bubblewrap';
  if (docker) return 'Docker engine';
  if (canInstall(options.install)) {
    await install(options);
    const after = await bubblewrapProblem(options.env);
    if (after === undefined) return 'bubblewrap (just installed)';
    return waiting(after);
  }
  return waiting(before);
}

function waiting(problem: string): string {
  return `none: ${problem}. Submissions wait until there is one; the fix: ${process.getuid?.() === 0 ? '' : 'sudo '}${installCommand} (or start Docker)`;
}

/** What hinders bubblewrap: undefined when it runs `true` and its agent can be compiled. */
async function bubblewrapProblem(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  try {
    await runProgram('bwrap', ['--unshare-user', '--unshare-pid', '--ro-bind', '/', '/', 'true'], { env, timeoutMs: 5_000 });
    return (await hasCompiler(env)) ? undefined : 'bubblewrap is here, but no C compiler for its agent';
  } catch (error) {
    const words = error instanceof ProgramFailed ? error.output.trim().split('\n').at(-1) : undefined;
    return words ? `bubblewrap does not work here (${words})` : 'neither Docker nor bubblewrap answers';
  }
}

/** A compiler may be there without the C library's headers. */
async function hasCompiler(env: NodeJS.ProcessEnv): Promise<boolean> {
  try {
    await runProgram('cc', ['-E', '-include', 'stdio.h', '-x', 'c', '/dev/null'], { env, timeoutMs: 5_000 });
    return true;
  } catch {
    return false;
  }
}

function dockerAnswers(host: string | undefined): Promise<boolean> {
  const options = pingOptions(host);
  if (options === undefined) return Promise.resolve(false);
  return new Promise((resolve) => {
    const request = get({ ...options, path: '/_ping', timeout: 3_000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.once('timeout', () => request.destroy());
    request.once('error', () => resolve(false));
  });
}

function pingOptions(host: string | undefined): { socketPath: string } | { host: string; port: number } | undefined {
  if (host === undefined || host.startsWith('unix://'))
    return { socketPath: host?.slice('unix://'.length) || '/var/run/docker.sock' };
  const url = URL.parse(host.replace(/^tcp:/, 'http:'));
  return url?.protocol === 'http:' ? { host: url.hostname, port: Number(url.port || 2375) } : undefined;
}

function canInstall(allowed: boolean): boolean {
  if (!allowed || process.getuid?.() !== 0) return false;
  try {
    return /^ID(_LIKE)?=.*\b(debian|ubuntu)\b/m.test(readFileSync('/etc/os-release', 'utf8'));
  } catch {
    return false;
  }
}

async function install({ env, say }: SandboxProbeOptions): Promise<void> {
  const packages = [
    'bubblewrap',
    ...(statSync('/usr/bin/python3', { throwIfNoEntry: false }) ? [] : ['python3']),
    ...((await hasCompiler(env)) ? [] : ['gcc', 'libc6-dev']),
  ];
  say(`No sandbox for student code on this machine: installing ${packages.join(' and ')} (apt-get; --no-install forbids it).`);
  const apt = (...args: string[]) =>
    runProgram('apt-get', ['-o', 'DPkg::Lock::Timeout=60', '-q', ...args], {
      env: { ...env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  const installPackages = () => apt('install', '-y', '--no-install-recommends', ...packages);
  try {
    // Fresh machines and images come without package lists.
    await installPackages().catch(() => apt('update').then(installPackages));
  } catch (error) {
    say(messageOf(error));
  }
}
