import { createHash } from 'node:crypto';
import { LayerError, type LayerFile, layerFolders, readLayer } from '../layers/layer-tar.ts';
import { SandboxError, type SandboxLayer } from './sandbox.ts';

/** Where Python finds a layer's packages; the value of PYTHONPATH. */
export const pythonPackages = `/${layerFolders.pip}`;

/** What no job has asked for in this time is removed from a judging host, and made again when one does. */
export const layerLifeMs = 30 * 24 * 60 * 60_000;

const keyPattern = /^[0-9a-f]{64}$/;

/** A layer's key, fit to be part of a path or a name. @throws SandboxError */
export function layerKey({ key }: Pick<SandboxLayer, 'key'>): string {
  if (!keyPattern.test(key)) throw new SandboxError('not the key of a dependency layer', { transient: false });
  return key;
}

/**
 * Fetches a layer and checks it.
 *
 * @throws SandboxError, permanent, where it is not there, damaged or holds what a layer must not hold.
 */
export async function fetchLayer(layer: SandboxLayer): Promise<readonly LayerFile[]> {
  const { key } = layer;
  let tar: Buffer;
  try {
    tar = await layer.read();
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    throw new SandboxError(`the dependency layer ${key} cannot be read`, { cause: error, transient: !isMissing });
  }
  const isWhole = createHash('sha256').update(tar).digest('hex') === key;
  if (!isWhole) throw new SandboxError(`the dependency layer ${key} is damaged`, { transient: false });
  try {
    return await readLayer(tar);
  } catch (error) {
    if (!(error instanceof LayerError)) throw error;
    throw new SandboxError(`the dependency layer ${key} is refused: ${error.message}`, { cause: error, transient: false });
  }
}

/** Does what makes a layer once, however many jobs ask for it at a time; a failure is the next one's to try again. */
export class OncePerLayer {
  readonly #underWay = new Map<string, Promise<void>>();

  run(key: string, make: () => Promise<void>): Promise<void> {
    const begun = this.#underWay.get(key) ?? make().finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, begun);
    return begun;
  }
}
