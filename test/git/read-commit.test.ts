import { randomBytes } from 'node:crypto';
import { mkdir, readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { git, GitError } from '../../src/git/git.ts';
import { type CommitFile, readCommit, SourceProblem } from '../../src/git/read-commit.ts';
import { removeStaleFetches } from '../../src/git/stale-fetches.ts';
import { openRepositories, type Repositories } from '../../src/git/repositories.ts';
import { gitText, importCommit, makeFolder, starter } from './support.ts';

let folder: Awaited<ReturnType<typeof makeFolder>>;
let repositories: Repositories;
let id: string;

beforeEach(async () => {
  folder = await makeFolder();
  repositories = openRepositories(folder.path);
  id = newId();
  await repositories.ensure(id, () => Promise.resolve(starter));
});

afterEach(async () => {
  await folder.remove();
});

const read = (commit: string, signal = new AbortController().signal): Promise<CommitFile[]> =>
  readCommit(repositories.pathOf(id), commit, signal);

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

  it('finds no commit that is not there', async () => {
    const failure = await failureOf(read('d'.repeat(40)));
    expect(failure).toBeInstanceOf(SourceProblem);
    expect(failure).toHaveProperty('message', 'The commit is not there.');
  });

  it('takes a repository that is not there for our own trouble', async () => {
    const failure = await failureOf(readCommit(repositories.pathOf(newId()), 'd'.repeat(40), new AbortController().signal));
    expect(failure).toBeInstanceOf(GitError);
  });

  it('ends when it is told to', async () => {
    const stop = new AbortController();
    stop.abort();
    expect(await failureOf(read('d'.repeat(40), stop.signal))).toHaveProperty('name', 'AbortError');
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
