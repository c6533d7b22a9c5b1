import { randomBytes } from 'node:crypto';
import { mkdir, readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { git, GitError } from '../../src/git/git.ts';
import { type CommitFile, isMissingCommit, readCommit, removeStaleFetches, SourceProblem } from '../../src/git/read-commit.ts';
import { openRepositories, type Repositories } from '../../src/git/repositories.ts';
import { waitFor } from '../support/wait.ts';
import { commandLines } from './processes.ts';
import { type GitServer, gitText, importCommit, makeFolder, starter, startServer } from './support.ts';

const token = 'job-token-that-nobody-may-see';

let folder: Awaited<ReturnType<typeof makeFolder>>;
let repositories: Repositories;
let server: GitServer;
let id: string;

beforeEach(async () => {
  folder = await makeFolder();
  repositories = openRepositories(folder.path);
  server = await startServer(folder.path);
  id = newId();
  await repositories.ensure(id, () => Promise.resolve(starter));
});

afterEach(async () => {
  await server.close();
  await folder.remove();
});

const read = (commit: string, options: { origin?: string; signal?: AbortSignal } = {}): Promise<CommitFile[]> =>
  readCommit({
    url: `${options.origin ?? server.origin}/${id}.git`,
    token,
    commit,
    scratchFolder: folder.path,
    signal: options.signal ?? new AbortController().signal,
  });

const failureOf = (reading: Promise<unknown>): Promise<unknown> =>
  reading.then(
    () => new Error('it was read'),
    (error: unknown) => error,
  );

const commitOf = (...entries: Parameters<typeof importCommit>[2][number][]) =>
  importCommit(repositories.pathOf(id), 'refs/heads/main', entries);

/** A commit with this root tree. */
async function commitTree(tree: string): Promise<string> {
  const path = repositories.pathOf(id);
  const commit = await gitText(path, 'commit-tree', '-m', 'work', tree);
  await git(path, ['update-ref', 'refs/heads/main', commit]);
  return commit;
}

async function expectNothingLeft(): Promise<void> {
  expect((await readdir(folder.path)).filter((name) => name.startsWith('fetch-'))).toEqual([]);
}

describe('readCommit', () => {
  it('reads regular files byte for byte, whatever is in them', async () => {
    const files = [
      { path: 'empty', content: Buffer.alloc(0) },
      { path: 'src/binary.bin', content: Buffer.concat([Buffer.from([0, 255, 10, 13, 0]), randomBytes(70_000)]) },
      { path: 'src/deep/er/Grüße 你好.txt', content: Buffer.from('no newline at the end') },
      { path: 'windows.txt', content: Buffer.from('one\r\ntwo\r\n') },
    ];
    const commit = await commitOf(...files.map((file) => ({ mode: '100644', ...file }) as const));
    const found = await read(commit);
    expect(found.map(({ path }) => path).toSorted()).toEqual(files.map(({ path }) => path).toSorted());
    for (const { path, content } of files) {
      expect(found.find((file) => file.path === path)?.content.equals(content)).toBe(true);
    }
    await expectNothingLeft();
  });

  it('reads executables, and leaves out symbolic links and submodules', async () => {
    const commit = await commitOf(
      { mode: '100755', path: 'run.sh', content: '#!/bin/sh\n' },
      { mode: '120000', path: 'passwords', content: '/etc/passwd' },
      { mode: '160000', path: 'vendored', content: 'd'.repeat(40) },
      { mode: '100644', path: 'zoo.txt', content: 'last' },
    );
    const found = await read(commit);
    expect(found.map(({ path, content }) => [path, content.toString('utf8')])).toEqual([
      ['run.sh', '#!/bin/sh\n'],
      ['zoo.txt', 'last'],
    ]);
  });

  it('reads a commit that was pushed over, by its id', async () => {
    const submitted = await commitOf({ mode: '100644', path: 'work', content: 'submitted' });
    await repositories.pin(id, newId(), submitted);
    await commitOf({ mode: '100644', path: 'work', content: 'newer' });
    const [file] = await read(submitted);
    expect(file?.content.toString('utf8')).toBe('submitted');
  });

  it('reads an empty commit as no files', async () => {
    expect(await read(await commitOf())).toEqual([]);
  });

  it('takes 2,000 files and refuses one more', async () => {
    const files = Array.from({ length: 2_000 }, (_, index) => ({ mode: '100644', path: `f/${index}`, content: 'x' }) as const);
    expect(await read(await commitOf(...files))).toHaveLength(2_000);
    const tooMany = await commitOf(...files, { mode: '100644', path: 'one-more', content: 'x' });
    const failure = await failureOf(read(tooMany));
    expect(failure).toBeInstanceOf(SourceProblem);
    expect(failure).toHaveProperty('message', 'The commit has more than 2000 files.');
    await expectNothingLeft();
  });

  it('refuses files that are larger than 16 MiB together', async () => {
    const half = Buffer.alloc(8 * 1024 * 1024, 'a');
    const entries = [
      { mode: '100644', path: 'one', content: half },
      { mode: '100644', path: 'two', content: half },
    ] as const;
    expect(await read(await commitOf(...entries))).toHaveLength(2);
    const failure = await failureOf(read(await commitOf(...entries, { mode: '100644', path: 'more', content: 'x' })));
    expect(failure).toBeInstanceOf(SourceProblem);
    expect(failure).toHaveProperty('message', expect.stringContaining('16 MiB'));
  });

  it('refuses a tiny commit that unfolds into millions of files', async () => {
    const path = repositories.pathOf(id);
    const blob = (await git(path, ['hash-object', '-w', '--stdin'], { input: 'x' })).toString('utf8').trim();
    let entry = `100644 blob ${blob}`;
    for (let level = 0; level < 7; level++) {
      const input = Array.from({ length: 10 }, (_, index) => `${entry}\tname-${index}\n`).join('');
      entry = `040000 tree ${(await git(path, ['mktree'], { input })).toString('utf8').trim()}`;
    }
    const failure = await failureOf(read(await commitTree(entry.slice('040000 tree '.length))));
    expect(failure).toBeInstanceOf(SourceProblem);
    await expectNothingLeft();
  });

  it('refuses files in more than 2,000 folders', async () => {
    const deep = (index: number) => `${index}/${'d/'.repeat(199)}file`;
    const files = Array.from({ length: 11 }, (_, index) => ({ mode: '100644', path: deep(index), content: 'x' }) as const);
    expect(await read(await commitOf(...files.slice(1)))).toHaveLength(10);
    const failure = await failureOf(read(await commitOf(...files)));
    expect(failure).toBeInstanceOf(SourceProblem);
    expect(failure).toHaveProperty('message', 'The commit has more than 2000 folders.');
  });

  it('refuses a file name that is not UTF-8', async () => {
    const path = repositories.pathOf(id);
    const blob = (await git(path, ['hash-object', '-w', '--stdin'], { input: 'x' })).toString('utf8').trim();
    const input = Buffer.concat([Buffer.from(`100644 blob ${blob}\t`), Buffer.from([0xe9, 0x0a])]);
    const tree = (await git(path, ['mktree'], { input })).toString('utf8').trim();
    expect(await failureOf(read(await commitTree(tree)))).toBeInstanceOf(SourceProblem);
  });

  describe('refuses a path that no sandbox takes, and says so', () => {
    /** A tree of one file at this path, made without the checks of `fast-import`. */
    async function treeOf(...names: string[]): Promise<string> {
      const path = repositories.pathOf(id);
      let entry = `100644 blob ${await blobOf('x')}`;
      for (const name of names.toReversed()) {
        const tree = (await git(path, ['mktree', '-z'], { input: `${entry}\t${name}\0` })).toString('utf8').trim();
        entry = `040000 tree ${tree}`;
      }
      return entry.slice('040000 tree '.length);
    }
    const blobOf = async (content: string) =>
      (await git(repositories.pathOf(id), ['hash-object', '-w', '--stdin'], { input: content })).toString('utf8').trim();

    it.each([
      ['a long name', ['src', 'n'.repeat(256)], 'has a name of more than 255 bytes'],
      ['a long name in bytes', ['ü'.repeat(128)], 'has a name of more than 255 bytes'],
      ['a long path', [...Array.from({ length: 5 }, () => 'n'.repeat(200)), 'end'], 'is longer than 1000 bytes'],
      ['..', ['..', 'passwd'], 'has a part that is . or ..'],
      ['.', ['src', '.', 'a'], 'has a part that is . or ..'],
    ])('%s', async (_, names, problem) => {
      const failure = await failureOf(read(await commitTree(await treeOf(...names))));
      expect(failure).toBeInstanceOf(SourceProblem);
      expect(failure).toHaveProperty('message', expect.stringMatching(new RegExp(`^The commit has a file .* ${problem}\\.$`)));
      expect((failure as Error).message.length).toBeLessThan(400);
      await expectNothingLeft();
    });

    it('a file and a folder of one name', async () => {
      const entries = `100644 blob ${await blobOf('x')}\ta\n040000 tree ${await treeOf('b')}\ta\n`;
      const tree = (await git(repositories.pathOf(id), ['mktree'], { input: entries })).toString('utf8').trim();
      const failure = await failureOf(read(await commitTree(tree)));
      expect(failure).toBeInstanceOf(SourceProblem);
      expect(failure).toHaveProperty('message', expect.stringContaining('"a" is a file and a folder at once'));
    });

    it('but takes the longest, and odd characters', async () => {
      for (const names of [['n'.repeat(255)], Array.from({ length: 5 }, () => 'n'.repeat(199)), ['Icon\r', 'a\nb "c" \\d']]) {
        const found = await read(await commitTree(await treeOf(...names)));
        expect(found.map(({ path }) => path)).toEqual([names.join('/')]);
      }
    });
  });

  it('sends the token as the password of Basic authentication, and shows it in no process list', async () => {
    const commit = await gitText(repositories.pathOf(id), 'rev-parse', 'main');
    const basic = Buffer.from(`judge:${token}`).toString('base64');
    const lists: Promise<string[]>[] = [];
    // Looked at while git waits for the answer.
    const watched = await startServer(folder.path, (request, response) => {
      lists.push(commandLines());
      void lists.at(-1)?.then(() => response.writeHead(307, { Location: `${server.origin}${request.url}` }).end());
    });
    await failureOf(read(commit, { origin: watched.origin }));
    await watched.close();
    expect(watched.seen.map(({ headers }) => headers.authorization)).toEqual([`Basic ${basic}`]);
    const lines = (await Promise.all(lists)).flat();
    expect(lines.filter((line) => line.includes(watched.origin))).not.toHaveLength(0);
    expect(lines.filter((line) => line.includes(token) || line.includes(basic))).toEqual([]);
  });

  it('follows no redirect: the token goes to the address it is for and nowhere else', async () => {
    const commit = await gitText(repositories.pathOf(id), 'rev-parse', 'main');
    for (const status of [301, 302, 307, 308]) {
      const redirecting = await startServer(folder.path, (request, response) => {
        response.writeHead(status, { Location: `${server.origin}${request.url}` }).end();
      });
      const failure = await failureOf(read(commit, { origin: redirecting.origin }));
      await redirecting.close();
      expect(failure).toBeInstanceOf(GitError);
      expect(isMissingCommit(failure)).toBe(false);
    }
    expect(server.seen).toEqual([]);
  });

  it('ends when it is told to, and leaves nothing behind', async () => {
    const silent = await startServer(folder.path, () => undefined);
    const stop = new AbortController();
    const reading = failureOf(read('d'.repeat(40), { origin: silent.origin, signal: stop.signal }));
    await waitFor('the request', async () => (silent.seen.length > 0 ? true : null));
    stop.abort();
    expect(await reading).toHaveProperty('name', 'AbortError');
    await expectNothingLeft();
    await waitFor('the end of all git processes', async () =>
      (await commandLines()).some((line) => line.includes(silent.origin)) ? null : true,
    );
    await silent.close();
  });
});

describe('removeStaleFetches', () => {
  it('removes the old folders of fetches and nothing else', async () => {
    const now = Date.now();
    const old = new Date(now - 20 * 60_000);
    for (const name of ['fetch-old', 'fetch-young', 'other-old']) {
      await mkdir(join(folder.path, name, 'objects'), { recursive: true });
      if (name.endsWith('old')) await utimes(join(folder.path, name), old, old);
    }
    const before = new Date(now - 15 * 60_000);
    expect(await removeStaleFetches(folder.path, before)).toBe(1);
    expect(await removeStaleFetches(folder.path, before)).toBe(0);
    expect(await readdir(folder.path)).toEqual(expect.arrayContaining(['fetch-young', 'other-old']));
    expect(await readdir(folder.path)).not.toContain('fetch-old');
  });
});

describe('isMissingCommit', () => {
  it('holds for a commit that the repository does not have', async () => {
    const failure = await failureOf(read('d'.repeat(40)));
    expect(failure).toBeInstanceOf(GitError);
    expect(isMissingCommit(failure)).toBe(true);
    await expectNothingLeft();
  });

  it('holds where there is no such repository', async () => {
    const none = await startServer(folder.path, (_request, response) => void response.writeHead(404).end());
    expect(isMissingCommit(await failureOf(read('d'.repeat(40), { origin: none.origin })))).toBe(true);
    await none.close();
  });

  it.each([401, 403, 429, 500, 502, 503])('does not hold where the server answers %i', async (status) => {
    const failing = await startServer(folder.path, (_request, response) => void response.writeHead(status).end('not our ref'));
    const failure = await failureOf(read('d'.repeat(40), { origin: failing.origin }));
    await failing.close();
    expect(failure).toBeInstanceOf(GitError);
    expect(isMissingCommit(failure)).toBe(false);
  });

  it('does not hold where nobody answers', async () => {
    await server.close();
    const failure = await failureOf(read('d'.repeat(40)));
    expect(failure).toBeInstanceOf(GitError);
    expect(isMissingCommit(failure)).toBe(false);
  });
});
