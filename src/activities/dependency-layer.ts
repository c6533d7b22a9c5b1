import type { Revision } from '../domain/exercises.ts';
import type { SandboxLayer } from '../sandbox/sandbox.ts';
import type { BlobStore } from '../storage/blobs.ts';

/** What a revision had installed when it was published, for the sandboxes of its code. */
export function layerOf({ checks }: Revision, blobs: Pick<BlobStore, 'get'>): SandboxLayer | undefined {
  const { dependencies } = checks;
  return dependencies && { key: dependencies.key, read: () => blobs.get(dependencies.key) };
}
