import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { findPathProblem, foldersAbove } from '../domain/file-paths.ts';
import { git, GitError } from './git.ts';

/** A regular file of a commit. */
export interface CommitFile {
  readonly path: string;
  readonly content: Buffer;
}

/** Bounds of what is taken from a commit: a project exercise is small, whatever a repository holds. */
const commitLimits = {
  files: 2_000,
  // Of long paths, each file could bring hundreds, which a sandbox would have to make.
  folders: 2_000,
  totalBytes: 16 * 1024 * 1024,
  // Trees that hold one tree many times make a tiny commit of billions of files.
  listingBytes: 8 * 1024 * 1024,
  fetchTimeoutMs: 60_000,
} as const;

/** Names of the throw-away repositories in the scratch folder start so. */
const fetchPrefix = 'fetch-';

/** What is wrong with the student's commit itself, in words for the student. */
export class SourceProblem extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'SourceProblem';
  }
}

/**
 * Fetches one commit into a throw-away bare repository and reads its regular files; nothing is ever checked out. Symbolic links and
 * submodules are left out.
 *
 * @param input.url an http(s) address of a repository that lets the commit be fetched by its id.
 * @param input.token sent as the password of HTTP Basic authentication.
 * @throws SourceProblem where the commit is larger than `commitLimits`, or has a path that no sandbox takes.
 * @throws GitError where fetching fails: the server is down, or the commit is not there.
 */
export async function readCommit(input: {
  url: string;
  token: string;
  commit: string;
  scratchFolder: string;
  signal: AbortSignal;
}): Promise<CommitFile[]> {
  const folder = await mkdtemp(join(input.scratchFolder, fetchPrefix));
  try {
    await git(folder, ['init', '--quiet', '--bare', '.']);
    const authorization = `Authorization: Basic ${Buffer.from(`judge:${input.token}`).toString('base64')}`;
    await git(folder, ['fetch', '--quiet', '--depth=1', '--no-tags', '--no-recurse-submodules', '--', input.url, input.commit], {
      signal: input.signal,
      timeoutMs: commitLimits.fetchTimeoutMs,
      // By the environment, not the command line: process lists show arguments.
      environment: extraSetting('http.extraHeader', authorization),
    });
    return await readCommitFiles(folder, input.commit, input.signal);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** How much of a path a message quotes. */
const maxQuotedLength = 200;

/** On one line, and cut: a path may hold line ends and be very long. */
function quoted(path: string): string {
  return JSON.stringify(path.length > maxQuotedLength ? `${path.slice(0, maxQuotedLength)}…`.toWellFormed() : path);
}

/**
 * Removes the throw-away repositories of `readCommit` that a dead process left: those that nobody has touched since `before`, which
 * must be longer ago than a fetch may take. Returns how many.
 */
export async function removeStaleFetches(scratchFolder: string, before: Date): Promise<number> {
  let removed = 0;
  for (const name of await readdir(scratchFolder)) {
    if (!name.startsWith(fetchPrefix)) continue;
    const folder = join(scratchFolder, name);
    // Gone where its own process, or another worker on the same folder, was faster.
    const stats = await stat(folder).catch(() => null);
    if (stats === null || stats.mtime >= before) continue;
    await rm(folder, { recursive: true, force: true });
    removed += 1;
  }
  return removed;
}

/** GIT_CONFIG_PARAMETERS quotes like a shell: each setting is `'key'='value'`. */
function extraSetting(key: string, value: string): Record<string, string> {
  return { GIT_CONFIG_PARAMETERS: `'${key}'='${value.replaceAll("'", String.raw`'\''`)}'` };
}

/**
 * Reads all regular files of a commit in a local bare repository.
 *
 * @throws SourceProblem where the commit is larger than `commitLimits`, or has a path that no sandbox takes.
 */
export async function readCommitFiles(folder: string, commit: string, signal: AbortSignal): Promise<CommitFile[]> {
  const tooManyFiles = new SourceProblem(`The commit has more than ${commitLimits.files} files.`);
  const listing = await git(folder, ['ls-tree', '-r', '-z', '-l', '--full-tree', commit], {
    signal,
    maxOutputBytes: commitLimits.listingBytes,
  }).catch((error: unknown) => {
    throw error instanceof GitError && error.isOutputTooLarge ? tooManyFiles : error;
  });
  const entries = parseListing(listing);
  const totalBytes = entries.reduce((sum, entry) => sum + entry.size, 0);
  if (entries.length > commitLimits.files) throw tooManyFiles;
  if (new Set(entries.flatMap((entry) => foldersAbove(entry.path))).size > commitLimits.folders) {
    throw new SourceProblem(`The commit has more than ${commitLimits.folders} folders.`);
  }
  const refused = findPathProblem(entries.map((entry) => entry.path));
  if (refused !== null) {
    throw new SourceProblem(`The commit has a file that cannot be checked: its path ${quoted(refused.path)} ${refused.problem}.`);
  }
  if (totalBytes > commitLimits.totalBytes) {
    throw new SourceProblem(`The commit's files are larger than ${commitLimits.totalBytes / 1024 / 1024} MiB together.`);
  }
  const contents = await git(folder, ['cat-file', '--batch'], {
    signal,
    input: entries.map((entry) => `${entry.object}\n`).join(''),
    maxOutputBytes: commitLimits.totalBytes + entries.length * 100,
  });
  let offset = 0;
  return entries.map((entry) => {
    // Each object: "<id> blob <size>\n", its bytes, "\n".
    const start = contents.indexOf('\n', offset) + 1;
    offset = start + entry.size + 1;
    return { path: entry.path, content: contents.subarray(start, start + entry.size) };
  });
}

interface TreeEntry {
  readonly object: string;
  readonly size: number;
  readonly path: string;
}

/** Regular files (modes 100644 and 100755) of `ls-tree -r -z -l`; a path that is not UTF-8 is refused. */
function parseListing(listing: Buffer): TreeEntry[] {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(listing);
  } catch {
    throw new SourceProblem('The commit has a file name that is not UTF-8.');
  }
  return text
    .split('\0')
    .map((line) => /^100(?:644|755) blob ([0-9a-f]+) +(\d+)\t(.+)$/s.exec(line))
    .filter((match) => match !== null)
    .map(([, object = '', size = '0', path = '']) => ({ object, size: Number(size), path }));
}

/** Whether fetching failed because the server does not give out this commit (as opposed to not answering). */
export function isMissingCommit(error: unknown): boolean {
  return error instanceof GitError && /not our ref|couldn't find remote ref|repository .* not found/i.test(error.stderr);
}
