import { randomBytes } from 'node:crypto';
import { access, chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { git, GitError } from '../../src/git/git.ts';
import { openRepositories, type Repositories } from '../../src/git/repositories.ts';
import { isPush } from '../../src/git/smart-http.ts';
import { type GitServer, gitText, hasCommit, importCommit, makeFolder, starter, startServer } from './support.ts';

let folder: Awaited<ReturnType<typeof makeFolder>>;
let repositories: Repositories;
let server: GitServer;
let id: string;
let url: string;
let clone: string;

beforeEach(async () => {
  folder = await makeFolder();
  repositories = openRepositories(join(folder.path, 'repositories'));
  server = await startServer(repositories.folder);
  id = newId();
  await repositories.ensure(id, () => Promise.resolve(starter));
  url = `${server.origin}/${id}.git`;
  clone = join(folder.path, 'clone');
});

afterEach(async () => {
  await server.close();
  await folder.remove();
});

const hosted = (...args: string[]) => gitText(repositories.pathOf(id), ...args);

/** Clones, and commits one more file. Returns the commit's id. */
async function cloneWithWork(content: string | Buffer = 'mine'): Promise<string> {
  await git(folder.path, ['clone', '--quiet', url, clone]);
  await writeFile(join(clone, 'work.bin'), content);
  await git(clone, ['add', '.']);
  await git(clone, ['commit', '--quiet', '--message=work']);
  return gitText(clone, 'rev-parse', 'HEAD');
}

const push = (...args: string[]) => git(clone, ['push', '--quiet', 'origin', ...args]);

const uploadPack = {
  'Content-Type': 'application/x-git-upload-pack-request',
  Accept: 'application/x-git-upload-pack-result',
  'Git-Protocol': 'version=2',
};
/** `ls-refs` of protocol 2, as packet lines. */
const listRefs = Buffer.from('0014command=ls-refs\n0000');

describe('smart HTTP', () => {
  it('serves a clone with real git, by protocol 2', async () => {
    await git(folder.path, ['clone', '--quiet', url, clone]);
    expect(await readFile(join(clone, 'README.md'), 'utf8')).toBe('# Grüße\n');
    expect(server.seen[0]?.headers['git-protocol']).toBe('version=2');
    const answer = await fetch(`${url}/info/refs?service=git-upload-pack`, { headers: { 'Git-Protocol': 'version=2' } });
    expect(answer.headers.get('content-type')).toBe('application/x-git-upload-pack-advertisement');
    expect(await answer.text()).toContain('version 2');
  });

  it('takes a push, also a forced one and one that is sent in chunks', async () => {
    const first = await cloneWithWork();
    await push('main');
    expect(await hosted('rev-parse', 'main')).toBe(first);
    await writeFile(join(clone, 'work.bin'), randomBytes(3_000_000));
    await git(clone, ['commit', '--quiet', '--all', '--amend', '--message=larger']);
    await push('--force', 'main', 'HEAD:refs/heads/feature', 'HEAD:refs/tags/v1');
    const second = await gitText(clone, 'rev-parse', 'HEAD');
    expect(await hosted('rev-parse', 'main', 'feature', 'v1')).toBe([second, second, second].join('\n'));
    expect(server.seen.some(({ headers }) => headers['transfer-encoding'] === 'chunked')).toBe(true);
    await hosted('fsck', '--strict');
  });

  it('reads a request body that came gzip-ed, of known length and in chunks', async () => {
    const commit = await hosted('rev-parse', 'main');
    const bodies = [gzipSync(listRefs), new Blob([gzipSync(listRefs)]).stream()];
    for (const body of bodies) {
      const answer = await fetch(`${url}/git-upload-pack`, {
        method: 'POST',
        headers: { ...uploadPack, 'Content-Encoding': 'gzip' },
        body,
        duplex: 'half',
      });
      expect(answer.status).toBe(200);
      expect(await answer.text()).toContain(`${commit} refs/heads/main`);
    }
    expect(server.seen.map(({ headers }) => headers['transfer-encoding'])).toEqual([undefined, 'chunked']);
  });

  it('serves no repository that is not there, and none outside its folder', async () => {
    await git(folder.path, ['init', '--quiet', '--bare', 'outside.git']);
    for (const path of [
      `/${newId()}.git/info/refs`,
      '/../outside.git/info/refs',
      '/%2e%2e/outside.git/info/refs',
      '/info/refs',
    ]) {
      // Unlike fetch, this sends the path as it is.
      const status = await new Promise((resolve, reject) => {
        request({ port: new URL(server.origin).port, path: `${path}?service=git-upload-pack` }, (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        })
          .on('error', reject)
          .end();
      });
      expect([404, 500]).toContain(status);
    }
  });

  it('settles when the client goes away in the middle, and serves the next', async () => {
    await importCommit(repositories.pathOf(id), 'refs/heads/main', [
      { mode: '100644', path: 'large', content: randomBytes(12_000_000) },
    ]);
    const want = `0032want ${await hosted('rev-parse', 'main')}\n`;
    const leave = new AbortController();
    const answer = await fetch(`${url}/git-upload-pack`, {
      method: 'POST',
      headers: uploadPack,
      body: `0011command=fetch0001${want}0009done\n0000`,
      signal: leave.signal,
    });
    const reader = answer.body?.getReader();
    expect((await reader?.read())?.value?.length).toBeGreaterThan(0);
    leave.abort();
    expect(await Promise.allSettled(server.served)).toEqual([{ status: 'fulfilled', value: undefined }]);
    await git(folder.path, ['clone', '--quiet', url, clone]);
  });
});

describe('our own refs', () => {
  const submissionId = '0190f3a0-0000-7000-8000-000000000000';
  const submission = `refs/submissions/${submissionId}`;

  beforeEach(async () => {
    await repositories.pin(id, submissionId, await hosted('rev-parse', 'main'));
  });

  it('are not listed, by any version of the protocol', async () => {
    for (const version of ['0', '1', '2']) {
      const listed = await gitText(folder.path, '-c', `protocol.version=${version}`, 'ls-remote', url);
      expect(listed.split('\n').map((line) => line.split('\t')[1])).toEqual(['HEAD', 'refs/heads/main']);
    }
    const advertised = await fetch(`${url}/info/refs?service=git-receive-pack`);
    const text = await advertised.text();
    expect(text).toContain('refs/heads/main');
    expect(text).not.toMatch(/refs\/(?:atelier|submissions)/);
  });

  it('do not come with a mirror', async () => {
    await git(folder.path, ['clone', '--quiet', '--mirror', url, clone]);
    expect(await gitText(clone, 'for-each-ref', '--format=%(refname)')).toBe('refs/heads/main');
  });

  it('cannot be made, moved or deleted from outside', async () => {
    const before = await hosted('for-each-ref');
    await cloneWithWork();
    const attempts = [
      'HEAD:refs/atelier/starter',
      `HEAD:${submission}`,
      'HEAD:refs/submissions/made-up',
      'HEAD:refs/atelier/new',
      ':refs/atelier/starter',
      `:${submission}`,
    ];
    for (const attempt of attempts) {
      await expect(push('--force', attempt)).rejects.toMatchObject({ stderr: expect.stringContaining('hidden ref') });
    }
    expect(await hosted('for-each-ref')).toBe(before);
  });
});

describe('a push that goes too far', () => {
  it('is refused where it is larger than 32 MiB, and changes nothing', async () => {
    const before = await hosted('for-each-ref');
    const commit = await cloneWithWork(randomBytes(33 * 1024 * 1024));
    await expect(push('main')).rejects.toThrow(GitError);
    expect(await hosted('for-each-ref')).toBe(before);
    expect(await hasCommit(repositories.pathOf(id), commit)).toBe(false);
  });

  it('is refused where it holds what would harm who checks it out', async () => {
    await cloneWithWork();
    const blob = (await git(clone, ['hash-object', '-w', '--stdin'], { input: 'x' })).toString('utf8').trim();
    const inner = (await git(clone, ['mktree'], { input: `100644 blob ${blob}\tconfig\n` })).toString('utf8').trim();
    const entry = Buffer.concat([Buffer.from('40000 .git\0'), Buffer.from(inner, 'hex')]);
    const hash = await git(clone, ['hash-object', '-t', 'tree', '-w', '--stdin', '--literally'], { input: entry });
    const commit = await gitText(clone, 'commit-tree', '-m', 'evil', hash.toString('utf8').trim());
    await expect(push('--force', `${commit}:refs/heads/main`)).rejects.toMatchObject({
      stderr: expect.stringContaining('hasDotgit'),
    });
    expect(await hasCommit(repositories.pathOf(id), commit)).toBe(false);
  });

  it('runs no hook that lies in the repository', async () => {
    const marker = join(folder.path, 'marker');
    const hooks = join(repositories.pathOf(id), 'hooks');
    await mkdir(hooks, { recursive: true });
    const names = [
      'pre-receive',
      'update',
      'reference-transaction',
      'post-receive',
      'post-update',
      'proc-receive',
      'push-to-checkout',
    ];
    for (const name of names) {
      await writeFile(join(hooks, name), `#!/bin/sh\ntouch ${marker}\nexit 1\n`);
      await chmod(join(hooks, name), 0o755);
    }
    const commit = await cloneWithWork();
    await push('main');
    expect(await hosted('rev-parse', 'main')).toBe(commit);
    await expect(access(marker)).rejects.toThrow('ENOENT');
  });
});

describe('isPush', () => {
  it.each([
    ['/x.git/git-receive-pack', '', true],
    ['/x.git/info/refs', 'service=git-receive-pack', true],
    ['/x.git/info/refs', 'a=b&service=git%2Dreceive-pack', true],
    ['/x.git/git-upload-pack', '', false],
    ['/x.git/info/refs', 'service=git-upload-pack', false],
    ['/x.git/info/refs', '', false],
  ])('%s?%s: %s', (path, query, expected) => {
    expect(isPush(path, query)).toBe(expected);
  });
});
