/** NAME_MAX of Linux. */
const maxNameBytes = 255;
/** Well below PATH_MAX of Linux, which counts the work folder too. */
const maxPathBytes = 1000;

/** A path that cannot be written to a work folder, and why, as the end of a sentence about it. */
export interface PathProblem {
  readonly path: string;
  readonly problem: string;
}

const bytesOf = (text: string): number => new TextEncoder().encode(text).length;

/** All folders above a path, outermost first. */
export function foldersAbove(path: string): readonly string[] {
  const folders: string[] = [];
  // Slices share the path's memory: a deep path has hundreds.
  for (let end = path.indexOf('/'); end !== -1; end = path.indexOf('/', end + 1)) folders.push(path.slice(0, end));
  return folders;
}

function problemOf(path: string): string | null {
  const names = path.split('/');
  if (path.includes('\0')) return 'holds a NUL character';
  if (names.includes('')) return 'is absolute or has an empty part';
  if (names.some((name) => name === '.' || name === '..')) return 'has a part that is . or ..';
  if (names.some((name) => bytesOf(name) > maxNameBytes)) return `has a name of more than ${maxNameBytes} bytes`;
  if (bytesOf(path) > maxPathBytes) return `is longer than ${maxPathBytes} bytes`;
  return null;
}

/**
 * The first of these relative paths (with `/`) that could land outside a work folder, or that cannot be written there beside the
 * others; null where all can. The one rule for what is read from a student's commit and for what a sandbox takes: whatever passes the
 * first must pass the second, or a student's file would end as our trouble.
 */
export function findPathProblem(paths: readonly string[]): PathProblem | null {
  const folders = new Set(paths.flatMap(foldersAbove));
  const files = new Set<string>();
  for (const path of paths) {
    const problem = problemOf(path);
    if (problem !== null) return { path, problem };
    if (folders.has(path)) return { path, problem: 'is a file and a folder at once' };
    if (files.has(path)) return { path, problem: 'comes twice' };
    files.add(path);
  }
  return null;
}
