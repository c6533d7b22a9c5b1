import { execFile } from 'node:child_process';
import { access, chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { git } from '../../src/git/git.ts';
import { waitFor } from '../support/wait.ts';
import { commandLines } from './processes.ts';
import { makeFolder, startServer } from './support.ts';

const execFileAsync = promisify(execFile);

let folder: Awaited<ReturnType<typeof makeFolder>>;

beforeEach(async () => {
  folder = await makeFolder();
});

afterEach(() => folder.remove());

const isThere = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

describe('the environment of git', () => {
  /** Configuration such as a user or a machine might have, each entry of which would leave `marker`. */
  async function plantConfiguration(): Promise<{ marker: string; environment: Record<string, string> }> {
    const marker = join(folder.path, 'marker');
    const hooks = join(folder.path, 'hooks');
    await mkdir(hooks);
    for (const hook of ['pre-commit', 'commit-msg', 'post-commit', 'reference-transaction', 'post-index-change']) {
      await writeFile(join(hooks, hook), `#!/bin/sh\ntouch ${marker}\n`);
      await chmod(join(hooks, hook), 0o755);
    }
    const config = join(folder.path, '.gitconfig');
    await writeFile(
      config,
      `[alias]\n evil = !touch ${marker}\n[core]\n hooksPath = ${hooks}\n fsmonitor = touch ${marker}\n[user]\n name = Eve\n`,
    );
    const environment = {
      PATH: process.env['PATH'] ?? '',
      HOME: folder.path,
      GIT_CONFIG_GLOBAL: config,
      GIT_CONFIG_SYSTEM: config,
      GIT_DIR: join(folder.path, 'elsewhere'),
      GIT_AUTHOR_NAME: 'Eve',
    };
    return { marker, environment };
  }

  /** Runs git commands one after the other through our `git` in a Node process with this environment; returns what each printed. */
  async function gitIn(
    environment: Record<string, string>,
    repository: string,
    commands: string[][],
  ): Promise<(string | null)[]> {
    const program = `
      const { git } = await import(${JSON.stringify(new URL('../../src/git/git.ts', import.meta.url).href)});
      const printed = [];
      for (const args of ${JSON.stringify(commands)}) {
        printed.push(await git(${JSON.stringify(repository)}, args).then((output) => output.toString().trim(), () => null));
      }
      process.stdout.write(JSON.stringify(printed));`;
    const { stdout } = await execFileAsync(process.execPath, ['--input-type=module', '--eval', program], { env: environment });
    return JSON.parse(stdout) as (string | null)[];
  }

  it('takes no configuration from the user, the machine or the environment of this process', async () => {
    const { marker, environment } = await plantConfiguration();
    const repository = join(folder.path, 'repository');
    await mkdir(repository);
    await writeFile(join(repository, 'file'), 'content');
    const printed = await gitIn(environment, repository, [
      ['init', '--quiet', '.'],
      ['add', 'file'],
      ['commit', '--quiet', '--message=work'],
      ['log', '--format=%an <%ae> %cn'],
      ['evil'],
      ['config', '--list', '--show-scope'],
    ]);
    expect(printed.slice(0, 5)).toEqual(['', '', '', 'Atelier <atelier@localhost> Atelier', null]);
    const scopes = printed[5]?.split('\n').map((line) => line.split('\t')[0]);
    expect(new Set(scopes)).toEqual(new Set(['local', 'command']));
    expect(await isThere(marker)).toBe(false);
  });

  it('would otherwise run what is planted: the trap of the test above works', async () => {
    const { marker, environment } = await plantConfiguration();
    await execFileAsync('git', ['evil'], { env: environment });
    expect(await isThere(marker)).toBe(true);
  });

  it('speaks http and https and nothing else', async () => {
    const marker = join(folder.path, 'marker');
    await git(folder.path, ['init', '--quiet', '--bare', 'there.git']);
    for (const url of [
      `ext::touch% ${marker}`,
      `file://${folder.path}/there.git`,
      `${folder.path}/there.git`,
      'ssh://localhost/x',
    ]) {
      await expect(git(folder.path, ['ls-remote', url])).rejects.toMatchObject({
        stderr: expect.stringMatching(/transport '\w+' not allowed/),
      });
    }
    expect(await isThere(marker)).toBe(false);
  });
});

describe('git', () => {
  it('tells the exit code, and keeps what git said out of the message', async () => {
    const failed = git(folder.path, ['rev-parse', '--verify', 'secret-branch']);
    await expect(failed).rejects.toMatchObject({ name: 'GitError', exitCode: 128, message: 'git rev-parse failed (128)' });
    await expect(failed).rejects.toMatchObject({ stderr: expect.stringContaining('not a git repository') });
  });

  it('ends a git that prints more than it may', async () => {
    const input = Buffer.alloc(2_000_000, 'x');
    const print = (maxOutputBytes: number) => git(folder.path, ['stripspace'], { input, maxOutputBytes });
    await expect(print(1_000_000)).rejects.toMatchObject({ name: 'GitError', exitCode: null });
    expect(await print(3_000_000)).toHaveLength(2_000_001);
  });

  describe('against a server that never answers', () => {
    const fetching = async (how: (url: string) => Promise<unknown>) => {
      const server = await startServer(folder.path, () => undefined);
      try {
        await how(`${server.origin}/x.git`);
        // git has a helper speak http: it must not stay behind either.
        await waitFor('the end of all git processes', async () =>
          (await commandLines()).some((line) => line.includes(server.origin)) ? null : true,
        );
      } finally {
        await server.close();
      }
    };

    it('ends at its time limit, with its helpers', async () => {
      await fetching((url) =>
        expect(git(folder.path, ['ls-remote', url], { timeoutMs: 300 })).rejects.toMatchObject({
          name: 'GitError',
          exitCode: null,
        }),
      );
    });

    it('ends when it is told to, with its helpers', async () => {
      await fetching(async (url) => {
        const stop = new AbortController();
        const listing = git(folder.path, ['ls-remote', url], { signal: stop.signal });
        listing.catch(() => undefined);
        await waitFor('the helper', async () =>
          (await commandLines()).some((line) => line.includes('remote-http') && line.includes(url)) ? true : null,
        );
        stop.abort();
        await expect(listing).rejects.toMatchObject({ name: 'AbortError' });
      });
    });
  });
});
