import { buffer } from 'node:stream/consumers';
import { extract, pack, type Pack } from 'tar-stream';
import { findPathProblem, foldersAbove } from '../domain/file-paths.ts';

/** Where a layer's packages are, below the root of a sandbox: Node finds them there by itself, Python by PYTHONPATH. */
export const layerFolders = { npm: 'node_modules', pip: 'opt/python-packages' } as const;

/** Caps of one layer: far above what exercises need, low enough that hundreds of them fit on a judging host. */
const maxLayerBytes = 64 * 1024 * 1024;
const maxLayerFiles = 20_000;

/** A regular file; a layer has no others. Its path, relative to the root of a sandbox, is below one of the `layerFolders`. */
export interface LayerFile {
  readonly path: string;
  readonly content: Buffer;
  readonly isExecutable: boolean;
}

/** A layer that cannot be used, or not be made. The message says what is wrong with it, or what to do. */
export class LayerError extends Error {
  override readonly name = 'LayerError';
}

/** Takes files of a layer one after the other, and refuses what must not be in one. */
export class LayerFiles {
  readonly #files: LayerFile[] = [];
  #bytes = 0;

  /** @throws LayerError for a file outside of the `layerFolders`, and for one too many. */
  add(file: LayerFile): void {
    const isInside = Object.values(layerFolders).some((folder) => file.path.startsWith(`${folder}/`));
    if (!isInside) throw new LayerError(`${file.path.slice(0, 200)} has no place in a layer`);
    this.#bytes += file.content.length;
    this.#files.push(file);
    if (this.#files.length > maxLayerFiles) throw new LayerError(`there are more than ${maxLayerFiles} files`);
    if (this.#bytes > maxLayerBytes) throw new LayerError(`the files have more than ${maxLayerBytes / 1024 / 1024} MiB`);
  }

  /** Sorted by path. @throws LayerError for paths that lead elsewhere, or that cannot be written beside the others. */
  list(): readonly LayerFile[] {
    const problem = findPathProblem(this.#files.map(({ path }) => path));
    if (problem !== null) throw new LayerError(`${problem.path.slice(0, 200)} ${problem.problem}`);
    return this.#files.toSorted((left, right) => (left.path < right.path ? -1 : 1));
  }
}

/** Writes files, and the folders that they are in, below `prefix`: root's, readable by all, without a time. */
export function writeEntries(target: Pack, files: readonly LayerFile[], prefix = ''): void {
  const common = { mtime: new Date(0), uid: 0, gid: 0, uname: '', gname: '' };
  const folders = new Set(files.flatMap(({ path }) => foldersAbove(path)));
  for (const name of [...folders].toSorted()) target.entry({ ...common, name: prefix + name, type: 'directory', mode: 0o755 });
  for (const { path, content, isExecutable } of files) {
    target.entry({ ...common, name: prefix + path, mode: isExecutable ? 0o755 : 0o644 }, content);
  }
}

/** The same files give the same tar file, on every machine. */
export async function packLayer(files: readonly LayerFile[]): Promise<Buffer> {
  const target = pack();
  writeEntries(target, files);
  target.finalize();
  return buffer(target);
}

/**
 * Reads a layer, whoever made it.
 *
 * @throws LayerError for anything but folders and regular files below the `layerFolders`, and for more than a layer may hold.
 */
export async function readLayer(tar: Buffer): Promise<readonly LayerFile[]> {
  const files = new LayerFiles();
  const source = extract();
  source.end(tar);
  try {
    for await (const entry of source) {
      const { name, type, mode } = entry.header;
      if (type === 'directory') {
        entry.resume();
        continue;
      }
      if (type !== 'file' && type !== 'contiguous-file') throw new LayerError(`${name} is no regular file (${type})`);
      files.add({ path: name, content: await buffer(entry), isExecutable: (mode & 0o100) !== 0 });
    }
  } catch (error) {
    if (error instanceof LayerError) throw error;
    throw new LayerError('it is no tar file, or a damaged one', { cause: error });
  }
  return files.list();
}
