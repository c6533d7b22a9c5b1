import { join } from 'node:path';
import { caseFile, type Checks, type TestCase } from '../domain/exercises.ts';
import {
  compareText,
  ContentError,
  type ExerciseManifest,
  type ProgramManifest,
  type ProjectManifest,
} from './content-format.ts';

/**
 * How an exercise is checked, from its manifest and the files of its folder, by path.
 *
 * @throws ContentError for files that are missing, or that are no case.
 */
export function checksOf(manifest: ExerciseManifest, folder: string, tree: ReadonlyMap<string, string>): Checks {
  const { limits, rubric, passPercent } = manifest;
  const lintConfig = manifest.lint === undefined ? null : manifest.lint.config.replace(/^lint\//, '.atelier/');
  const common = { limits, rubric, passPercent, lintConfig };
  if (manifest.kind === 'project') {
    checkTestFiles(manifest, folder, tree);
    const { kind, testStyle, tests, command } = manifest;
    return { ...common, kind, testStyle, tests, command };
  }
  const { kind, languages, comparison } = manifest;
  if (comparison.mode === 'checker' && !tree.has(comparison.path)) {
    throw new ContentError(join(folder, comparison.path), 'is missing; add it or name another in exercise.json');
  }
  const groups = manifest.groups.map(({ hints, weights, ...group }) => ({
    ...group,
    cases: readCases({ group: group.name, hints, weights }, folder, tree),
  }));
  return { ...common, kind, languages, comparison, groups };
}

function checkTestFiles(manifest: ProjectManifest, folder: string, tree: ReadonlyMap<string, string>): void {
  for (const [set, { files }] of Object.entries(manifest.tests)) {
    for (const file of files) {
      const path = `tests/${set}/${file}`;
      if (!tree.has(path)) throw new ContentError(join(folder, path), 'is missing; add it or take it out of exercise.json');
    }
  }
}

/** `2` before `10`, whatever the locale of this machine. */
const naturalOrder = new Intl.Collator('en', { numeric: true });

/** The cases of a group, in natural order of their names. */
function readCases(
  { group, hints, weights }: { readonly group: string } & Pick<ProgramManifest['groups'][number], 'hints' | 'weights'>,
  folder: string,
  tree: ReadonlyMap<string, string>,
): readonly TestCase[] {
  const prefix = `cases/${group}/`;
  const names = new Set<string>();
  for (const path of tree.keys()) {
    if (!path.startsWith(prefix)) continue;
    const [, name] = /^([^/]+)\.(?:in|out)$/.exec(path.slice(prefix.length)) ?? [];
    if (name === undefined) throw new ContentError(join(folder, path), 'is no case; name it NAME.in or NAME.out');
    names.add(name);
  }
  if (names.size === 0) throw new ContentError(join(folder, prefix), 'has no cases; add NAME.in and NAME.out');
  for (const name of names) {
    const missing = (['in', 'out'] as const).map((part) => caseFile(group, name, part)).find((path) => !tree.has(path));
    if (missing !== undefined) throw new ContentError(join(folder, missing), 'is missing; a case takes NAME.in and NAME.out');
  }
  for (const [what, named] of Object.entries({ hint: hints, weight: weights })) {
    const unknown = Object.keys(named).find((name) => !names.has(name));
    if (unknown !== undefined) {
      throw new ContentError(
        join(folder, 'exercise.json'),
        `has a ${what} for ${unknown}, which is no case of ${group}; correct it`,
      );
    }
  }
  const sorted = [...names].toSorted((left, right) => naturalOrder.compare(left, right) || compareText(left, right));
  return sorted.map((name) => ({
    name,
    hint: Object.hasOwn(hints, name) ? (hints[name] ?? '') : '',
    weight: Object.hasOwn(weights, name) ? (weights[name] ?? 1) : 1,
  }));
}
