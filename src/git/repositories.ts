import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { git, GitError } from './git.ts';

/** A text file of a starter repository; `path` is relative, with `/`. */
export interface StarterFile {
  readonly path: string;
  readonly content: string;
}

/** Why a ref has no commit to submit. */
export type ResolvedRef =
  | { readonly status: 'found'; readonly commit: string; readonly isStarter: boolean }
  | { readonly status: 'missing' };

const starterRef = 'refs/atelier/starter';
/** Keeps a submission's commit. */
export const submissionRef = (submissionId: string) => `refs/submissions/${submissionId}`;

/** The branch that is submitted unless the student names another. */
export const defaultBranch = 'main';

/** Students see branches and tags; our own refs are neither listed nor writable from outside. */
const hiddenRefs = ['refs/atelier', 'refs/submissions'];

/** Atelier's own bare repositories, one a task, below one folder. The id is the task's. */
export interface Repositories {
  readonly folder: string;
  /** Makes the repository from the starter files unless it is there; safe to repeat and to race. */
  ensure(repositoryId: string, starter: () => Promise<readonly StarterFile[]>): Promise<void>;
  /** The commit that a branch, a tag or a full commit id stands for now. */
  resolve(repositoryId: string, ref: string): Promise<ResolvedRef>;
  /** Keeps a submission's commit whatever the student pushes later. Safe to repeat. */
  pin(repositoryId: string, submissionId: string, commit: string): Promise<void>;
  /**
   * Makes a commit of the starter with these files on top, and keeps it for the submission. Repeated, it makes another one.
   *
   * @throws GitError where git does not take a path.
   */
  commitFiles(repositoryId: string, submissionId: string, files: readonly StarterFile[]): Promise<string>;
  /** Whether the commit is there. @throws GitError where the repository is not: that is our trouble. */
  has(repositoryId: string, commit: string): Promise<boolean>;
  pathOf(repositoryId: string): string;
}

/** @param folder absolute; made on first use. */
export function openRepositories(folder: string): Repositories {
  const pathOf = (repositoryId: string) => {
    if (!/^[0-9a-f-]{36}$/.test(repositoryId)) throw new Error('not a repository id');
    return join(folder, `${repositoryId}.git`);
  };
  const has = (repositoryId: string, commit: string) =>
    git(pathOf(repositoryId), ['cat-file', '-e', `${commit}^{commit}`]).then(
      () => true,
      (error: unknown) => {
        if (error instanceof GitError && /not a valid object name/i.test(error.stderr)) return false;
        throw error;
      },
    );
  return {
    folder,
    pathOf,
    has,
    async ensure(repositoryId, starter) {
      const path = pathOf(repositoryId);
      if (await exists(path)) return;
      await mkdir(folder, { recursive: true, mode: 0o700 });
      // Made apart and moved into place, so that a crash leaves no half repository and of two makers one wins.
      const partial = await mkdtemp(join(folder, '.new-'));
      try {
        await git(partial, ['init', '--quiet', '--bare', `--initial-branch=${defaultBranch}`, '.']);
        await git(partial, ['fast-import', '--quiet'], { input: starterStream(await starter()) });
        for (const [key, value] of repositorySettings) await git(partial, ['config', '--add', key, value]);
        await rename(partial, path);
      } catch (error) {
        if (!(await exists(path))) throw error;
      } finally {
        await rm(partial, { recursive: true, force: true });
      }
    },
    async resolve(repositoryId, ref) {
      const path = pathOf(repositoryId);
      const candidates = /^[0-9a-f]{40}([0-9a-f]{24})?$/.test(ref) ? [ref] : [`refs/heads/${ref}`, `refs/tags/${ref}`];
      for (const candidate of candidates) {
        const commit = await revParse(path, candidate);
        if (commit !== null) return { status: 'found', commit, isStarter: commit === (await revParse(path, starterRef)) };
      }
      return { status: 'missing' };
    },
    async commitFiles(repositoryId, submissionId, files) {
      const path = pathOf(repositoryId);
      const ref = submissionRef(submissionId);
      const starter = await revParse(path, starterRef);
      const seconds = Math.floor(Date.now() / 1000);
      const head = `commit ${ref}\ncommitter Atelier <atelier@localhost> ${seconds} +0000\n`;
      const parent = starter === null ? '' : `from ${starter}\n`;
      const input = Buffer.concat([Buffer.from(head), data('Submission'), Buffer.from(parent), ...files.flatMap(inlineFile)]);
      await git(path, ['fast-import', '--quiet', '--force'], { input });
      const commit = await revParse(path, ref);
      if (commit === null) throw new Error('git made no commit');
      return commit;
    },
    async pin(repositoryId, submissionId, commit) {
      await git(pathOf(repositoryId), ['update-ref', submissionRef(submissionId), commit]);
    },
  };
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

async function revParse(path: string, name: string): Promise<string | null> {
  try {
    const output = await git(path, ['rev-parse', '--verify', '--quiet', '--end-of-options', `${name}^{commit}`]);
    return output.toString('utf8').trim();
  } catch (error) {
    if (error instanceof GitError) return null;
    throw error;
  }
}

/** How large one push may be, in bytes. */
const maxPushBytes = 32 * 1024 * 1024;

const repositorySettings: readonly (readonly [string, string])[] = [
  ['http.receivepack', 'true'],
  ['receive.maxInputSize', String(maxPushBytes)],
  ['receive.fsckObjects', 'true'],
  ['receive.denyCurrentBranch', 'ignore'],
  ...hiddenRefs.map((ref) => ['transfer.hideRefs', ref] as const),
];

/** A fast-import stream of one commit; its date is fixed, so the same files give the same commit id. */
function starterStream(files: readonly StarterFile[]): Buffer {
  return Buffer.concat([
    Buffer.from(`commit refs/heads/${defaultBranch}\ncommitter Atelier <atelier@localhost> 1767225600 +0000\n`),
    data('Starter'),
    ...files.flatMap(inlineFile),
    Buffer.from(`reset ${starterRef}\nfrom refs/heads/${defaultBranch}\n\n`),
  ]);
}

/** A `data` command of a fast-import stream. */
function data(content: string): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([Buffer.from(`data ${bytes.length}\n`), bytes, Buffer.from('\n')]);
}

/** The commands that put a file into the commit that is being made. */
const inlineFile = ({ path, content }: StarterFile): Buffer[] => [
  Buffer.from(`M 100644 inline ${quotedPath(path)}\n`),
  data(content),
];

/** C-style quotes, as fast-import reads them; other bytes stand for themselves. */
const quotedPath = (path: string) => `"${path.replaceAll(/[\\"]/g, '\\$&').replaceAll('\n', '\\n')}"`;
