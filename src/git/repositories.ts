import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { git } from './git.ts';

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
  pathOf(repositoryId: string): string;
}

/** @param folder absolute; made on first use. */
export function openRepositories(folder: string): Repositories {
  const pathOf = (repositoryId: string) => {
    if (!/^[0-9a-f-]{36}$/.test(repositoryId)) throw new Error('not a repository id');
    return join(folder, `${repositoryId}.git`);
  };
  return {
    folder,
    pathOf,
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
      const [starter, ...found] = await commitsOf(path, [starterRef, ...candidates]);
      const commit = found.find((id) => id !== null);
      return commit === undefined ? { status: 'missing' } : { status: 'found', commit, isStarter: commit === starter };
    },
    async commitFiles(repositoryId, submissionId, files) {
      const path = pathOf(repositoryId);
      const ref = submissionRef(submissionId);
      const seconds = Math.floor(Date.now() / 1000);
      const head = `commit ${ref}\nmark :1\ncommitter Atelier <atelier@localhost> ${seconds} +0000\n`;
      const parent = `from ${starterRef}^0\n`;
      const end = '\nget-mark :1\n';
      const parts = [Buffer.from(head), data('Submission'), Buffer.from(parent), ...files.flatMap(inlineFile), Buffer.from(end)];
      const output = await git(path, ['fast-import', '--quiet', '--force'], { input: Buffer.concat(parts) });
      return output.toString('utf8').trim();
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

/** The commits that these names stand for, in their order; null for a name without one. One process, as each costs some milliseconds. */
async function commitsOf(path: string, names: readonly string[]): Promise<(string | null)[]> {
  // Each name is a line of git's input; none of git's own holds a line end.
  if (names.some((name) => name.includes('\n'))) return names.map(() => null);
  const input = names.map((name) => `${name}^{commit}\n`).join('');
  const lines = (await git(path, ['cat-file', '--batch-check'], { input })).toString('utf8').split('\n');
  return names.map((_, index) => /^([0-9a-f]{40,64}) commit /.exec(lines[index] ?? '')?.[1] ?? null);
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
