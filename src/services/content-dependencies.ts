import { join } from 'node:path';
import { z } from 'zod';
import type { Language } from '../domain/check-runs.ts';
import type { DependencyList } from '../domain/exercises.ts';
import { compareText, ContentError, parseJson } from './content-format.ts';

const folderName = 'dependencies';
const [manifestFile, lockFile, requirementsFile] = ['package.json', 'package-lock.json', 'requirements.txt'] as const;

/** Which of the files an exercise of a language may have. */
const installers: Partial<Record<Language, DependencyList['installer']>> = {
  javascript: 'npm',
  typescript: 'npm',
  python: 'pip',
};

/**
 * Takes what an exercise wants installed out of the files of its folder, by path: `dependencies/package.json` with its lock file, or
 * `dependencies/requirements.txt`. Each package has one version and the hash of what is installed, from a registry.
 *
 * @returns null where it wants nothing.
 * @throws ContentError
 */
export function takeDependencies(language: Language, folder: string, tree: Map<string, string>): DependencyList | null {
  const texts = new Map<string, string>();
  for (const name of [manifestFile, lockFile, requirementsFile]) {
    const text = tree.get(`${folderName}/${name}`);
    if (text !== undefined) texts.set(name, text);
    tree.delete(`${folderName}/${name}`);
  }
  if (texts.size === 0) return null;

  const installer = installers[language];
  for (const name of texts.keys()) {
    if (installer !== (name === requirementsFile ? 'pip' : 'npm')) {
      throw new ContentError(join(folder, folderName, name), `is of no use to an exercise in ${language}; remove it`);
    }
  }
  const textOf = (name: string): string => {
    const text = texts.get(name);
    if (text === undefined) throw new ContentError(join(folder, folderName, name), 'is missing; add it, with exact versions');
    return text;
  };
  if (installer === 'npm') return npmList(join(folder, folderName), textOf(manifestFile), textOf(lockFile));
  return pipList(join(folder, folderName, requirementsFile), textOf(requirementsFile));
}

/** For the end of the statement: students should know what they can import. */
export function describePackages(dependencies: DependencyList | null): string {
  if (dependencies === null) return '';
  const listed = dependencies.packages.map((name) => `\`${name}\``).join(', ');
  return `\n\n---\n\nThese packages are installed: ${listed}. Others cannot be added.\n`;
}

const packageName = /^(?:@[a-z0-9~-][\w.~-]*\/)?[a-z0-9~-][\w.~-]*$/i;
const exactVersion = /^\d+\.\d+\.\d+(?:[-+][\w.+-]+)?$/;

const exactVersions = z.record(
  z.string().regex(packageName, 'no name of a package'),
  z.string().regex(exactVersion, 'give an exact version, such as 1.2.3'),
);

const manifest = z.strictObject({
  name: z.string().optional(),
  version: z.string().optional(),
  private: z.boolean().optional(),
  type: z.string().optional(),
  dependencies: exactVersions.refine((names) => Object.keys(names).length > 0, 'name a package, or remove the folder'),
});

const lock = z.object({
  lockfileVersion: z.literal(3, 'make it with npm 9 or newer'),
  packages: z.record(
    z.string(),
    z.object({
      version: z.string().optional(),
      resolved: z.string().optional(),
      integrity: z.string().optional(),
      link: z.boolean().optional(),
      optional: z.boolean().optional(),
      dependencies: z.record(z.string(), z.string()).optional(),
    }),
  ),
});

const refresh = 'run `npm install --package-lock-only` in its folder';

function npmList(folder: string, manifestText: string, lockText: string): DependencyList {
  const { dependencies } = parseJson(manifest, join(folder, manifestFile), manifestText);
  const path = join(folder, lockFile);
  const { '': root, ...entries } = parseJson(lock, path, lockText).packages;
  const sorted = (names: Readonly<Record<string, string>> = {}) =>
    JSON.stringify(Object.entries(names).toSorted(([left], [right]) => compareText(left, right)));
  if (sorted(root?.dependencies) !== sorted(dependencies)) {
    throw new ContentError(path, `does not fit ${manifestFile}; ${refresh}`);
  }
  const packages = new Set<string>();
  for (const [place, entry] of Object.entries(entries)) {
    const name = place.split(/(?:^|\/)node_modules\//).at(-1) ?? '';
    const { version = '', integrity = '', resolved, link = false, optional = false } = entry;
    const fail = (problem: string) => new ContentError(path, `${place}: ${problem}`);
    const isPlace = `/${place}`
      .split('/node_modules/')
      .every((part, index) => (index === 0 ? part === '' : packageName.test(part)));
    if (!isPlace || link) throw fail('is no package of a registry; depend on published packages only');
    if (!exactVersion.test(version)) throw fail(`has no exact version; ${refresh}`);
    if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity)) throw fail(`has no sha512 hash (integrity); ${refresh}`);
    if (resolved !== undefined && !isRegistryTarball(resolved)) {
      throw fail('comes from elsewhere than a registry over https, or with a password; depend on published packages only');
    }
    // Left out when installing: they are mostly programs for one kind of machine.
    if (!optional) packages.add(`${name}@${version}`);
  }
  return {
    installer: 'npm',
    files: { [manifestFile]: manifestText, [lockFile]: lockText },
    packages: [...packages].toSorted(compareText),
  };
}

/** Whether an address is that of a package's tarball as registries have it, over https and without credentials. */
function isRegistryTarball(address: string): boolean {
  if (!URL.canParse(address)) return false;
  const { protocol, username, password, search, hash, pathname } = new URL(address);
  return protocol === 'https:' && username + password + search + hash === '' && /\/-\/[^/]+\.tgz$/.test(pathname);
}

const requirement = /^([A-Za-z0-9][\w.-]*)\s*==\s*(\d[\w.!+-]*)((?:\s+--hash=sha256:[0-9a-f]{64})+)$/;

function pipList(path: string, text: string): DependencyList {
  const lines = text
    .replaceAll(/\\\r?\n/g, ' ')
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const found = lines.map((line) => {
    const [, name, version, hashes] = requirement.exec(line) ?? [];
    if (name === undefined || version === undefined || hashes === undefined) {
      throw new ContentError(path, `write \`name==version --hash=sha256:…\` instead of \`${line.slice(0, 200)}\``);
    }
    return { name, version, hashes: hashes.trim().split(/\s+/).join(' ') };
  });
  if (found.length === 0) throw new ContentError(path, 'names no package; name one or remove it');
  // What was checked is what is installed, in whichever way pip would have read the rest.
  const checked = found.map(({ name, version, hashes }) => `${name}==${version} ${hashes}\n`).join('');
  const packages = found.map(({ name, version }) => `${name}@${version}`).toSorted(compareText);
  return { installer: 'pip', files: { [requirementsFile]: checked }, packages };
}
