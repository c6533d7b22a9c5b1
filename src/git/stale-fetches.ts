import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Names of the throw-away repositories in the scratch folder start so. */
export const fetchPrefix = 'fetch-';

/**
 * Removes the throw-away repositories that a dead process left: those that nobody has touched since `before`, which must be longer ago
 * than a fetch may take. Returns how many.
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
