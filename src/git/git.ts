import { spawn } from 'node:child_process';

/** What every git process of ours gets: no configuration but ours, no prompt, no hooks, no credentials, no other protocol than http(s). */
export function gitEnvironment(): Record<string, string> {
  const settings: Record<string, string> = {
    'core.hooksPath': '/dev/null',
    'core.fsmonitor': 'false',
    'core.symlinks': 'false',
    'credential.helper': '',
    'http.followRedirects': 'false',
    'protocol.allow': 'never',
    'protocol.http.allow': 'always',
    'protocol.https.allow': 'always',
    // Repositories may belong to another user than this process (a container's volume, a data folder made by root).
    'safe.directory': '*',
    'gc.auto': '0',
    // What git says it has stored survives a power failure: by itself it leaves loose objects, which most pushes are, and refs to the
    // system's cache. All objects of a push share one flush of the disk.
    'core.fsync': 'all',
    'core.fsyncMethod': 'batch',
  };
  const environment: Record<string, string> = {
    PATH: '/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin',
    HOME: '/nonexistent',
    LANG: 'C.UTF-8',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ALLOW_PROTOCOL: 'http:https',
    GIT_LFS_SKIP_SMUDGE: '1',
    GIT_AUTHOR_NAME: 'Atelier',
    GIT_AUTHOR_EMAIL: 'atelier@localhost',
    GIT_COMMITTER_NAME: 'Atelier',
    GIT_COMMITTER_EMAIL: 'atelier@localhost',
    GIT_CONFIG_COUNT: String(Object.keys(settings).length),
  };
  Object.entries(settings).forEach(([key, value], index) => {
    environment[`GIT_CONFIG_KEY_${index}`] = key;
    environment[`GIT_CONFIG_VALUE_${index}`] = value;
  });
  return environment;
}

/** git ended with an error; `stderr` is for logs, never for users. */
export class GitError extends Error {
  readonly exitCode: number | null;
  readonly stderr: string;
  /** Whether it was killed because it printed more than it may. */
  readonly isOutputTooLarge: boolean;

  constructor(command: string, exitCode: number | null, stderr: string, isOutputTooLarge = false) {
    super(`git ${command} failed (${exitCode ?? 'killed'})`);
    this.name = 'GitError';
    this.exitCode = exitCode;
    this.stderr = stderr;
    this.isOutputTooLarge = isOutputTooLarge;
  }
}

export interface GitOptions {
  readonly input?: string | Buffer;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  /** More output than this ends the process; in bytes. */
  readonly maxOutputBytes?: number;
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * Runs git with arguments that are never read by a shell, and returns its stdout.
 *
 * @throws GitError where it fails, runs longer than `timeoutMs` (60 s) or prints more than `maxOutputBytes` (64 MiB); the reason of
 * `signal` where that ended it.
 */
export async function git(folder: string, args: readonly string[], options: GitOptions = {}): Promise<Buffer> {
  const { input = '', timeoutMs = 60_000, maxOutputBytes = 64 * 1024 * 1024, signal } = options;
  signal?.throwIfAborted();
  const child = spawn('git', ['-C', folder, ...args], {
    env: { ...gitEnvironment(), ...options.environment },
    stdio: ['pipe', 'pipe', 'pipe'],
    // A process group of its own: git's helpers (one speaks http) outlive a killed git and hold its output open.
    detached: true,
  });
  const kill = () => killGroup(child.pid);
  const timer = setTimeout(kill, timeoutMs);
  signal?.addEventListener('abort', kill);
  const output: Buffer[] = [];
  let outputBytes = 0;
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    outputBytes += chunk.length;
    if (outputBytes > maxOutputBytes) kill();
    else output.push(chunk);
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    if (stderr.length < 10_000) stderr += chunk;
  });
  // A process that ends before it has read its input is reported by its exit code.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  try {
    const exitCode = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    signal?.throwIfAborted();
    if (exitCode !== 0) throw new GitError(args[0] ?? '', exitCode, stderr, outputBytes > maxOutputBytes);
    return Buffer.concat(output);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', kill);
  }
}

function killGroup(leader: number | undefined): void {
  try {
    if (leader !== undefined) process.kill(-leader, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
