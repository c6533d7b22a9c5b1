import { z } from 'zod';
import { reportText } from './report-text.ts';
import type { SandboxFile } from './sandbox.ts';

const maxNames = 10;
const maxNameLength = 100;

const Names = z.record(z.string(), z.unknown()).optional().catch(undefined);
const Manifest = z.object({ dependencies: Names, devDependencies: Names });

/** Files that name dependencies, and how. What cannot be read names none. */
const readers = {
  'package.json': (text: string): readonly string[] => {
    const manifest = Manifest.safeParse(parseJson(text));
    if (!manifest.success) return [];
    return Object.keys({ ...manifest.data.dependencies, ...manifest.data.devDependencies });
  },
  'requirements.txt': (text: string): readonly string[] =>
    text.split('\n').flatMap((line) => /^\s*([A-Za-z0-9][\w.-]*)/.exec(line)?.[1] ?? []),
} as const;

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * Says which dependencies a submission names that the starter does not: nothing is installed for it, and its author would wonder why an
 * import fails.
 */
export function dependencyNotes(starter: readonly SandboxFile[], submitted: readonly SandboxFile[]): string[] {
  return Object.entries(readers).flatMap(([path, read]) => {
    const namesIn = (files: readonly SandboxFile[]) =>
      files.filter((file) => file.path === path).flatMap(({ content }) => read(content.toString()));
    const known = new Set(namesIn(starter));
    const added = [...new Set(namesIn(submitted))].filter((name) => !known.has(name));
    if (added.length === 0) return [];
    const listed = added.slice(0, maxNames).map((name) => reportText(name, maxNameLength));
    const more = added.length > maxNames ? ` and ${added.length - maxNames} more` : '';
    return [`Dependencies of your ${path} are not installed: ${listed.join(', ')}${more}`];
  });
}
