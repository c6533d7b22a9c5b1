import { createHash, randomUUID } from 'node:crypto';
import { access, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';

/** Content-addressed store of logs and dependency layers: gzip files named by the SHA-256 of what they hold. */
export interface BlobStore {
  /** Stores bytes and returns their key. Bytes that are there already cost a hash and a look, no write. */
  put(content: Buffer): Promise<string>;
  /** @throws Error with code ENOENT for an unknown key. */
  get(key: string): Promise<Buffer>;
}

/** Blobs below `folder`; a write is seen whole or not at all. */
export function createBlobStore(folder: string): BlobStore {
  const pathOf = (key: string) => {
    if (!/^[0-9a-f]{64}$/.test(key)) throw new Error('not a blob key');
    return join(folder, key.slice(0, 2), `${key}.gz`);
  };
  return {
    async put(content) {
      const key = createHash('sha256').update(content).digest('hex');
      const path = pathOf(key);
      // A blob is moved into place when it is whole, so one that is there is good.
      if (await exists(path)) return key;
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      const partial = `${path}.${randomUUID()}`;
      // Flushed: after a power failure an empty file would be taken for the blob.
      await writeFile(partial, await promisify(gzip)(content), { flush: true });
      await rename(partial, path);
      return key;
    },
    async get(key) {
      return promisify(gunzip)(await readFile(pathOf(key)));
    },
  };
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );
