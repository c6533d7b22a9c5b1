import { createHash } from 'node:crypto';
import { packLayer } from '../../src/layers/layer-tar.ts';
import type { SandboxLayer } from '../../src/sandbox/sandbox.ts';

/** The tar file of a layer with these files, by path. */
export async function packTexts(texts: Readonly<Record<string, string>>): Promise<Buffer> {
  const files = Object.entries(texts).map(([path, text]) => ({ path, content: Buffer.from(text), isExecutable: false }));
  return packLayer(files.toSorted((left, right) => (left.path < right.path ? -1 : 1)));
}

/** A layer that counts how often it is read. */
export function layerOfTar(tar: Buffer): SandboxLayer & { readonly reads: () => number } {
  let reads = 0;
  const read = (): Promise<Buffer> => {
    reads++;
    return Promise.resolve(tar);
  };
  return { key: createHash('sha256').update(tar).digest('hex'), read, reads: () => reads };
}
