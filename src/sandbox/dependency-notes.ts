import { z } from 'zod';
import { reportText } from './report-text.ts';
import type { SandboxFile } from './sandbox.ts';

const maxNames = 10;
const maxNameLength = 100;

const Names = z.record(z.string(), z.unknown()).optional().catch(undefined);
const Manifest = z.object({ dependencies: Names, devDependencies: Names });

/** A file that names dependencies: how it does, what cannot be read names none; and what two names of one package have in common. */
interface Reader {
  readonly path: string;
  readonly read: (text: string) => readonly string[];
  readonly normalise: (name: string) => string;
}

const readers: readonly Reader[] = [
  {
    path: 'package.json',
    read: (text) => {
      const manifest = Manifest.safeParse(parseJson(text));
      if (!manifest.success) return [];
      return Object.keys({ ...manifest.data.dependencies, ...manifest.data.devDependencies });
    },
    normalise: (name) => name,
  },
  {
    path: 'requirements.txt',
    read: (text) => text.split('\n').flatMap((line) => /^\s*([A-Za-z0-9][\w.-]*)/.exec(line)?.[1] ?? []),
    normalise: (name) => name.toLowerCase().replaceAll(/[-_.]+/g, '-'),
  },
];

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * Says which dependencies a submission names that neither the starter does nor the exercise has installed: nothing is installed for it,
 * and its author would wonder why an import fails.
 *
 * @param installed as `name@version`
 */
export function dependencyNotes(
  starter: readonly SandboxFile[],
  submitted: readonly SandboxFile[],
  installed: readonly string[] = [],
): string[] {
  const installedNames = installed.map((name) => name.slice(0, name.lastIndexOf('@')));
  return readers.flatMap(({ path, read, normalise }) => {
    const namesIn = (files: readonly SandboxFile[]) =>
      files.filter((file) => file.path === path).flatMap(({ content }) => read(content.toString()));
    const known = new Set([...namesIn(starter), ...installedNames].map(normalise));
    const added = [...new Set(namesIn(submitted))].filter((name) => !known.has(normalise(name)));
    if (added.length === 0) return [];
    const listed = added.slice(0, maxNames).map((name) => reportText(name, maxNameLength));
    const more = added.length > maxNames ? ` and ${added.length - maxNames} more` : '';
    return [`Dependencies of your ${path} are not installed: ${listed.join(', ')}${more}`];
  });
}
