import { execFileSync } from 'node:child_process';
import { access, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { git, GitError } from '../../src/git/git.ts';
import { openRepositories, type Repositories } from '../../src/git/repositories.ts';
import { gitText, hasCommit, importCommit, makeFolder, starter } from './support.ts';

let folder: Awaited<ReturnType<typeof makeFolder>>;
let repositories: Repositories;

beforeEach(async () => {
  folder = await makeFolder();
  repositories = openRepositories(join(folder.path, 'repositories'));
});

afterEach(() => folder.remove());

const ensure = (id: string, from = repositories) => from.ensure(id, () => Promise.resolve(starter));

async function ensured(): Promise<{ id: string; path: string }> {
  const id = newId();
  await ensure(id);
  return { id, path: repositories.pathOf(id) };
}

const work = (content: string) => [{ mode: '100644', path: 'work.txt', content }] as const;

describe('ensure', () => {
  it('makes a repository whose main branch holds the starter files', async () => {
    const { path } = await ensured();
    expect(await gitText(path, 'ls-tree', '-r', '--name-only', 'main')).toBe('README.md\nsrc/main.js');
    expect((await git(path, ['show', 'main:README.md'])).toString('utf8')).toBe('# Grüße\n');
    expect((await git(path, ['show', 'main:src/main.js'])).toString('utf8')).toBe('export const answer = 42;\n');
    expect(await gitText(path, 'symbolic-ref', 'HEAD')).toBe('refs/heads/main');
    await git(path, ['fsck', '--strict']);
  });

  it('gives the same files the same commit id in every repository', async () => {
    const [one, other] = [await ensured(), await ensured()];
    expect(await gitText(one.path, 'rev-parse', 'main')).toBe(await gitText(other.path, 'rev-parse', 'main'));
  });

  it('leaves a repository that is there as it is, and does not ask for the starter again', async () => {
    const { id, path } = await ensured();
    const pushed = await importCommit(path, 'refs/heads/main', work('mine'));
    await repositories.ensure(id, () => Promise.reject(new Error('asked again')));
    expect(await gitText(path, 'rev-parse', 'main')).toBe(pushed);
  });

  it('makes one whole repository however many ask at once', async () => {
    const id = newId();
    const others = openRepositories(repositories.folder);
    await Promise.all(Array.from({ length: 8 }, (_, index) => ensure(id, index % 2 === 0 ? repositories : others)));
    expect(await readdir(repositories.folder)).toEqual([`${id}.git`]);
    expect(await repositories.resolve(id, 'main')).toMatchObject({ status: 'found', isStarter: true });
  });

  it('is not misled by what a crash left behind', async () => {
    await mkdir(join(repositories.folder, '.new-crash', 'objects'), { recursive: true });
    await writeFile(join(repositories.folder, '.new-crash', 'HEAD'), 'half');
    const { id } = await ensured();
    expect(await repositories.resolve(id, 'main')).toMatchObject({ status: 'found' });
  });

  it('leaves nothing where the starter cannot be read, and works the next time', async () => {
    const id = newId();
    await expect(repositories.ensure(id, () => Promise.reject(new Error('no database')))).rejects.toThrow('no database');
    expect(await readdir(repositories.folder)).toEqual([]);
    await ensure(id);
    expect(await repositories.resolve(id, 'main')).toMatchObject({ status: 'found' });
  });

  it.each(['../elsewhere', '', 'a/../../b', `${'a'.repeat(36)}/x`, 'A'.repeat(36)])('takes %j for no repository', async (id) => {
    await expect(ensure(id)).rejects.toThrow('not a repository id');
  });
});

describe('resolve', () => {
  it('finds a branch, a tag of either kind and a full commit id', async () => {
    const { id, path } = await ensured();
    const commit = await importCommit(path, 'refs/heads/feature/x', work('mine'));
    await git(path, ['tag', 'light', commit]);
    await git(path, ['tag', '--annotate', '--message=done', 'annotated', commit]);
    for (const ref of ['feature/x', 'light', 'annotated', commit]) {
      expect(await repositories.resolve(id, ref)).toEqual({ status: 'found', commit, isStarter: false });
    }
  });

  it('takes the branch where a tag has the same name', async () => {
    const { id, path } = await ensured();
    const branch = await importCommit(path, 'refs/heads/v1', work('branch'));
    await git(path, ['tag', 'v1', await importCommit(path, 'refs/heads/other', work('tagged'))]);
    expect(await repositories.resolve(id, 'v1')).toMatchObject({ commit: branch });
  });

  it('tells the untouched starter from work, by whatever name it is asked for', async () => {
    const { id, path } = await ensured();
    const commit = await gitText(path, 'rev-parse', 'main');
    for (const ref of ['main', commit]) {
      expect(await repositories.resolve(id, ref)).toEqual({ status: 'found', commit, isStarter: true });
    }
    await importCommit(path, 'refs/heads/main', work('mine'));
    expect(await repositories.resolve(id, 'main')).toMatchObject({ status: 'found', isStarter: false });
    expect(await repositories.resolve(id, commit)).toMatchObject({ status: 'found', isStarter: true });
  });

  it.each([
    ['an unknown branch', 'nothing'],
    ['an unknown commit', 'd'.repeat(40)],
    ['an unknown SHA-256 commit', 'd'.repeat(64)],
    ['nothing', ''],
    ['one of our own refs', 'refs/atelier/starter'],
    ['a way out to our own refs', '../atelier/starter'],
    ['HEAD', 'HEAD'],
    ['a range', 'main..main'],
    ['an exclusion', '^main'],
    ['a file of a commit', 'main:README.md'],
    ['a glob', 'm*'],
  ])('finds nothing for %s', async (_case, ref) => {
    const { id } = await ensured();
    expect(await repositories.resolve(id, ref)).toEqual({ status: 'missing' });
  });

  it('finds no tree or file by its id', async () => {
    const { id, path } = await ensured();
    for (const object of ['main^{tree}', 'main:README.md']) {
      expect(await repositories.resolve(id, await gitText(path, 'rev-parse', object))).toEqual({ status: 'missing' });
    }
  });

  it('reads no option and runs nothing', async () => {
    const { id } = await ensured();
    const marker = join(folder.path, 'marker');
    for (const ref of ['-x', '--all', '--help', `--upload-pack=touch ${marker}`, `--output=${marker}`, `$(touch ${marker})`]) {
      expect(await repositories.resolve(id, ref)).toEqual({ status: 'missing' });
    }
    await expect(access(marker)).rejects.toThrow('ENOENT');
  });
});

describe('pin', () => {
  it('keeps a commit that was pushed over, through garbage collection; one that is not pinned goes', async () => {
    const { id, path } = await ensured();
    const submissionId = newId();
    const pinned = await importCommit(path, 'refs/heads/main', work('submitted'));
    await repositories.pin(id, submissionId, pinned);
    await repositories.pin(id, submissionId, pinned);
    const forgotten = await importCommit(path, 'refs/heads/main', work('forgotten'));
    await importCommit(path, 'refs/heads/main', work('newest'));
    expect(await hasCommit(repositories.pathOf(id), forgotten)).toBe(true);
    await git(path, ['gc', '--quiet', '--prune=now']);
    expect(await hasCommit(repositories.pathOf(id), pinned)).toBe(true);
    expect((await git(path, ['show', `${pinned}:work.txt`])).toString('utf8')).toBe('submitted');
    expect(await hasCommit(repositories.pathOf(id), forgotten)).toBe(false);
  });

  it('fails for a commit that is not there', async () => {
    const { id } = await ensured();
    await expect(repositories.pin(id, newId(), 'd'.repeat(40))).rejects.toThrow(GitError);
  });
});

/** How often git flushed is told by 2.37 and newer. */
const [, major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(execFileSync('git', ['--version'], { encoding: 'utf8' })) ?? []).map(
  Number,
);

(major > 2 || minor >= 37 ? describe : describe.skip)(`a power failure (git 2.37 or newer; here is ${major}.${minor})`, () => {
  /** How often this command had what it wrote flushed to the disk. */
  async function flushesOf(repository: string, args: readonly string[], input = ''): Promise<number> {
    const trace = join(folder.path, `trace-${newId()}`);
    await git(repository, args, { input, environment: { GIT_TRACE2_EVENT: trace } });
    const counts = (await readFile(trace, 'utf8')).matchAll(/"key":"fsync\/hardware-flush","value":"(\d+)"/g);
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  }

  it('takes neither objects nor refs that git said it has stored', async () => {
    const { path } = await ensured();
    const head = await gitText(path, 'rev-parse', 'refs/heads/main');
    expect(await flushesOf(path, ['update-ref', 'refs/heads/kept', head])).toBeGreaterThan(0);
    expect(await flushesOf(path, ['hash-object', '-w', '--stdin'], 'a file of a push')).toBeGreaterThan(0);
  });
});
