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
} as const;

/** What is wrong with the student's commit itself, in words for the student. */
export class SourceProblem extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'SourceProblem';
  }
}

/** How much of a path a message quotes. */
const maxQuotedLength = 200;

/** On one line, and cut: a path may hold line ends and be very long. */
function quoted(path: string): string {
  return JSON.stringify(path.length > maxQuotedLength ? `${path.slice(0, maxQuotedLength)}…`.toWellFormed() : path);
}

/**
 * Reads the regular files of a commit in one of our own repositories; nothing is ever checked out. Symbolic links and submodules are
 * left out.
 *
 * @param repository path of a bare repository.
 * @throws SourceProblem where the commit is not there, is larger than `commitLimits`, or has a path that no sandbox takes.
 */
export async function readCommit(repository: string, commit: string, signal: AbortSignal): Promise<CommitFile[]> {
  const tooManyFiles = new SourceProblem(`The commit has more than ${commitLimits.files} files.`);
  const listing = await git(repository, ['ls-tree', '-r', '-z', '-l', '--full-tree', commit], {
    signal,
    maxOutputBytes: commitLimits.listingBytes,
  }).catch((error: unknown) => {
    if (!(error instanceof GitError)) throw error;
    if (error.isOutputTooLarge) throw tooManyFiles;
    if (/not a (?:valid object name|tree object)/i.test(error.stderr)) throw new SourceProblem('The commit is not there.');
    throw error;
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
  const contents = await git(repository, ['cat-file', '--batch'], {
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
