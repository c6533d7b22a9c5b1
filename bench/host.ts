import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { runnerFolder } from '../src/sandbox/languages.ts';
import type { Contender, Outcome } from './contenders.ts';
import type { Program } from './programs.ts';

/** Of this project: what lies at `runnerFolder` inside a sandbox. */
export const runnerSource = join(import.meta.dirname, '../runner');

const systemPath = '/usr/local/bin:/usr/bin:/bin';
/** The sandboxes' Node is this process's, their Python the system's; no version manager's shims come before them. */
export const hostPath = `${dirname(process.execPath)}:${systemPath}`;

export const environment = { HOME: '/tmp', LANG: 'C.UTF-8', PYTHONDONTWRITEBYTECODE: '1' };

/** The programs' files, each program's in a folder of its own that everybody may read. */
export class ProgramFolders {
  readonly #root = mkdtempSync(join(tmpdir(), 'atelier-bench-'));

  constructor(programs: readonly Program[]) {
    chmodSync(this.#root, 0o755);
    for (const program of programs) {
      mkdirSync(this.of(program));
      for (const { path, content } of program.files) {
        mkdirSync(dirname(join(this.of(program), path)), { recursive: true });
        writeFileSync(join(this.of(program), path), content);
      }
    }
  }

  of(program: Program): string {
    return join(this.#root, program.name);
  }

  remove(): void {
    rmSync(this.#root, { recursive: true, force: true });
  }
}

/** Starts a process and collects what it writes, until it and everybody who holds its output has ended. */
export async function spawnAndCollect(
  [command, ...args]: readonly [string, ...string[]],
  options: { readonly cwd?: string; readonly env: NodeJS.ProcessEnv; readonly hasReport: boolean },
): Promise<Outcome> {
  const { cwd, env, hasReport } = options;
  const child = hasReport
    ? spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] })
    : spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const { stdout: output, stderr: errors } = child;
  if (output === null || errors === null) throw new Error('no pipes');
  const report = child.stdio[3];
  if (report instanceof Readable) report.resume();
  const [stdout, stderr, [exitCode]] = await Promise.all([
    text(output),
    text(errors),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  return { exitCode, stdout, stderr };
}

/** The command line with the runner's files at another place. */
export function withRunnerAt(folder: string, { argv }: Program): readonly [string, ...string[]] {
  const [command, ...args] = argv;
  return [command, ...args.map((arg) => (arg.startsWith(`${runnerFolder}/`) ? folder + arg.slice(runnerFolder.length) : arg))];
}

/** A child process and nothing else. */
export function bareProcess(folders: ProgramFolders): Contender {
  return {
    name: 'bare',
    method: 'a child process of this one on the host, without any limit; its files are there already',
    can: () => true,
    run: (program) =>
      spawnAndCollect(withRunnerAt(runnerSource, program), {
        cwd: folders.of(program),
        env: { ...environment, PATH: hostPath },
        hasReport: program.hasReport,
      }),
  };
}

/** bwrap as somebody would call it by hand: all namespaces and no capability. */
export function rawBubblewrap(folders: ProgramFolders): Contender {
  const around = (program: Program) => [
    ...['--unshare-all', '--die-with-parent', '--new-session', '--cap-drop', 'ALL', '--hostname', 'box'],
    ...['--ro-bind', '/', '/', '--proc', '/proc', '--dev', '/dev', '--tmpfs', '/tmp'],
    ...['--ro-bind', runnerSource, '/tmp/runner', '--ro-bind', dirname(process.execPath), '/tmp/bin'],
    ...['--ro-bind', folders.of(program), '/tmp/work', '--chdir', '/tmp/work'],
  ];
  return {
    name: 'bubblewrap',
    method: 'bwrap with all namespaces and no capability, one command per run; no seccomp, no cgroup, no agent',
    can: () => true,
    run: (program) =>
      spawnAndCollect(['bwrap', ...around(program), '--', ...withRunnerAt('/tmp/runner', program)], {
        env: { ...environment, PATH: `/tmp/bin:${systemPath}` },
        hasReport: program.hasReport,
      }),
  };
}
