import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { layerFolders } from '../layers/layer-tar.ts';
import { foldersAbove } from '../domain/file-paths.ts';
import { fetchLayer, layerKey, layerLifeMs, OncePerLayer } from './layer.ts';
import { SandboxError, type SandboxLayer } from './sandbox.ts';

/** Dependency layers as folders of this machine, each named by its key. */
export class LayerFolders {
  readonly #root: string;
  readonly #once = new OncePerLayer();

  constructor(root: string) {
    this.#root = root;
  }

  /**
   * Unpacks a layer where it is missing, and notes that it is used. Safe to call from several processes at once.
   *
   * @throws SandboxError
   */
  ensure(layer: SandboxLayer): Promise<void> {
    const folder = join(this.#root, layerKey(layer));
    return this.#once.run(layer.key, async () => {
      if (!existsSync(folder)) await this.#unpack(folder, layer);
      const now = new Date();
      await utimes(folder, now, now);
    });
  }

  /** Folders of a layer, each with its place in a sandbox. @throws SandboxError, transient, where somebody has removed it. */
  placesOf(key: string): readonly { readonly folder: string; readonly place: string }[] {
    const layer = join(this.#root, layerKey({ key }));
    if (!existsSync(layer)) throw new SandboxError('the folder of a dependency layer is gone', { transient: true });
    return Object.values(layerFolders)
      .map((name) => ({ folder: join(layer, name), place: `/${name}` }))
      .filter(({ folder }) => existsSync(folder));
  }

  async #unpack(folder: string, layer: SandboxLayer): Promise<void> {
    const files = await fetchLayer(layer);
    await mkdir(this.#root, { recursive: true });
    const draft = await mkdtemp(join(this.#root, 'draft-'));
    try {
      // Modes by hand: every user inside reads it, whatever this process's umask is.
      for (const name of new Set(files.flatMap(({ path }) => foldersAbove(path)))) {
        await mkdir(join(draft, name), { recursive: true });
        await chmod(join(draft, name), 0o755);
      }
      for (const { path, content, isExecutable } of files) {
        await writeFile(join(draft, path), content, { flag: 'wx' });
        await chmod(join(draft, path), isExecutable ? 0o755 : 0o644);
      }
      await chmod(draft, 0o755);
      await rename(draft, folder);
    } catch (error) {
      // Another process was faster.
      if (!existsSync(folder)) throw error;
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
  }

  /** Removes those that no job has asked for in a long time. */
  async removeOld(now: Date): Promise<void> {
    if (!existsSync(this.#root)) return;
    for (const name of await readdir(this.#root)) {
      const folder = join(this.#root, name);
      // Another process may just have removed it, or moved it into place.
      const usedAt = (await stat(folder).catch(() => null))?.mtimeMs ?? Infinity;
      if (usedAt < now.getTime() - layerLifeMs) await rm(folder, { recursive: true, force: true });
    }
  }
}
