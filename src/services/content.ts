import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { lstat, readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Checks, DependencyList, FileRole, RevisionFile } from '../domain/exercises.ts';
import { checksOf } from './content-checks.ts';
import { describePackages, takeDependencies } from './content-dependencies.ts';
import {
  compareText,
  ContentError,
  courseManifest,
  type ExerciseManifest,
  exerciseManifest,
  parseJson,
  problemsOf,
  relativePath,
} from './content-format.ts';

/** Caps of one exercise: far above what an exercise needs, low enough that a folder chosen by mistake is refused at once. */
const maxFiles = 500;
const maxFileBytes = 1024 * 1024;

/** One exercise as its folder describes it. */
export interface ExerciseContent
  extends Pick<ExerciseManifest, 'slug' | 'title' | 'kind' | 'language' | 'difficulty' | 'xp' | 'uuid' | 'summary'> {
  /** Markdown; ends with the packages that are at hand, where the exercise brings some. */
  readonly statement: string;
  /** Sorted by role and path; at most one has the role `configuration`. */
  readonly files: readonly RevisionFile[];
  /** Without the dependency layer, which is built when a revision is published. */
  readonly checks: Checks;
  /** Default: none. */
  readonly dependencies?: DependencyList;
  /** SHA-256 (hex) over all of the above: another value is another exercise revision. */
  readonly contentHash: string;
}

/** A course and its exercises, in the order in which they are to be solved. */
export interface CourseContent {
  readonly course: { readonly slug: string; readonly title: string; readonly summary: string; readonly starterSlug: string };
  readonly exercises: readonly ExerciseContent[];
}

interface FileFolder {
  readonly folder: string;
  readonly role: FileRole;
  /** Where its files land in the student's repository and in the work folder. */
  readonly target: string;
}

const commonFolders: readonly FileFolder[] = [
  { folder: 'starter/', role: 'starter', target: '' },
  { folder: 'lint/', role: 'configuration', target: '.atelier/' },
  { folder: 'solution/', role: 'solution', target: '' },
];

function foldersOf(manifest: ExerciseManifest): readonly FileFolder[] {
  if (manifest.kind === 'project') {
    return [
      ...commonFolders,
      { folder: 'tests/visible/', role: 'visible-test', target: '' },
      { folder: 'tests/hidden/', role: 'hidden-test', target: '' },
    ];
  }
  const cases = manifest.groups.map(({ name, isVisible }): FileFolder => {
    const folder = `cases/${name}/`;
    return { folder, role: isVisible ? 'visible-test' : 'hidden-test', target: folder };
  });
  return [...commonFolders, ...cases, { folder: 'checker/', role: 'checker', target: 'checker/' }];
}

/** Reads a regular file as text. */
async function readTextFile(path: string): Promise<string> {
  // lstat, because a symlink could show any file of this machine to students.
  const stats = await lstat(path).catch((error: unknown) => {
    throw new ContentError(path, 'cannot be read; add the file', { cause: error });
  });
  if (!stats.isFile()) throw new ContentError(path, 'is not a regular file; replace it by a copy of what it stands for');
  if (stats.size > maxFileBytes) throw new ContentError(path, `is larger than ${maxFileBytes} bytes; make it smaller`);
  const bytes = await readFile(path);
  // PostgreSQL stores no NUL in text.
  if (!isUtf8(bytes) || bytes.includes(0)) throw new ContentError(path, 'is not UTF-8 text; save it as UTF-8 or remove it');
  return bytes.toString('utf8');
}

/** Lists a folder, sorted by name. */
async function readFolder(path: string): Promise<readonly Dirent[]> {
  const stats = await lstat(path).catch((error: unknown) => {
    throw new ContentError(path, 'cannot be read; add the folder', { cause: error });
  });
  if (!stats.isDirectory()) throw new ContentError(path, 'is not a folder; replace it by one');
  const entries = await readdir(path, { withFileTypes: true });
  return entries.toSorted((left, right) => compareText(left.name, right.name));
}

/** Reads all files below `root` into `files`, by path relative to it. */
async function readTree(root: string, folder: string, files: Map<string, string>): Promise<void> {
  for (const entry of await readFolder(join(root, folder))) {
    const path = folder + entry.name;
    const checked = relativePath.safeParse(path);
    if (!checked.success) throw new ContentError(join(root, path), `rename it: ${problemsOf(checked.error)}`);
    if (entry.isDirectory()) {
      await readTree(root, `${path}/`, files);
      continue;
    }
    if (files.size >= maxFiles) throw new ContentError(root, `holds more than ${maxFiles} files; remove some`);
    files.set(path, await readTextFile(join(root, path)));
  }
}

/** Finds what a file of an exercise folder is for; null for what has no place there. */
function placeFile(folders: readonly FileFolder[], path: string, content: string): RevisionFile | null {
  const place = folders.find(({ folder }) => path.startsWith(folder));
  return place === undefined ? null : { role: place.role, path: place.target + path.slice(place.folder.length), content };
}

/** Refuses files that would take each other's place in the student's repository. A solution replaces starter files and nothing else. */
function checkCollisions(folder: string, files: readonly RevisionFile[]): void {
  const roles = new Map<string, FileRole>();
  for (const { role, path } of files.filter((file) => file.role !== 'solution')) {
    const other = roles.get(path);
    if (other !== undefined) throw new ContentError(folder, `${path} is both ${other} and ${role}; rename one`);
    roles.set(path, role);
  }
  for (const { path } of files.filter((file) => file.role === 'solution')) {
    const other = roles.get(path) ?? 'starter';
    if (other !== 'starter') throw new ContentError(folder, `${path} is both ${other} and solution; remove it from the solution`);
  }
}

/** Hashes a value in a form that depends neither on the order of keys nor on how a JSON file is laid out. */
function hashOf(value: unknown): string {
  const canonical = JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([left], [right]) => compareText(left, right)))
      : part,
  );
  return createHash('sha256').update(canonical).digest('hex');
}

async function readExercise(folder: string): Promise<ExerciseContent> {
  const tree = new Map<string, string>();
  await readTree(folder, '', tree);
  const take = (path: string): string => {
    const text = tree.get(path);
    if (text === undefined || text.trim() === '') throw new ContentError(join(folder, path), 'is missing or empty; write it');
    tree.delete(path);
    return text;
  };

  const manifest = parseJson(exerciseManifest, join(folder, 'exercise.json'), take('exercise.json'));
  if (manifest.slug !== basename(folder)) {
    throw new ContentError(join(folder, 'exercise.json'), `slug is ${manifest.slug}; the folder must have the same name`);
  }
  const dependencies = takeDependencies(manifest.language, folder, tree);
  const statement = take('statement.md') + describePackages(dependencies);
  const lintConfig = manifest.lint?.config;
  if (lintConfig !== undefined && !tree.has(lintConfig)) {
    throw new ContentError(join(folder, lintConfig), 'is missing; add it or name another in exercise.json');
  }

  const folders = foldersOf(manifest);
  const files: RevisionFile[] = [];
  for (const [path, content] of tree) {
    const file = placeFile(folders, path, content);
    if (file === null || (file.role === 'configuration' && path !== lintConfig)) {
      throw new ContentError(join(folder, path), 'has no place in an exercise; move or remove it');
    }
    files.push(file);
  }
  files.sort((left, right) => compareText(left.role, right.role) || compareText(left.path, right.path));
  checkCollisions(folder, files);

  const checks = checksOf(manifest, folder, tree);
  const { slug, title, kind, language, difficulty, xp, uuid, summary } = manifest;
  const exercise = { slug, title, kind, language, difficulty, xp, uuid, summary, statement, files, checks };
  const whole = dependencies === null ? exercise : { ...exercise, dependencies };
  return { ...whole, contentHash: hashOf(whole) };
}

/**
 * Reads a course and its exercises from a folder of content and checks all of it. Writes nothing and runs nothing: that the tests pass
 * with the solution, and how many they are, is for the tests of the content.
 *
 * Content is our own or an instructor's, never a student's; still only regular files inside `folder` are read.
 *
 * @param folder holds course.json and exercises/<slug>/.
 * @throws ContentError for the first thing that is wrong.
 */
export async function readCourseContent(folder: string): Promise<CourseContent> {
  const coursePath = join(folder, 'course.json');
  const { exercises: slugs, starter, ...course } = parseJson(courseManifest, coursePath, await readTextFile(coursePath));
  if (new Set(slugs).size < slugs.length) throw new ContentError(coursePath, 'names an exercise twice; remove one');
  if (!slugs.includes(starter)) throw new ContentError(coursePath, `the starter ${starter} is not one of the exercises; add it`);

  const exercisesFolder = join(folder, 'exercises');
  for (const { name } of await readFolder(exercisesFolder)) {
    if (!slugs.includes(name)) {
      throw new ContentError(
        join(exercisesFolder, name),
        'is not in the course; add it to the exercises of course.json or remove it',
      );
    }
  }

  const exercises: ExerciseContent[] = [];
  for (const exerciseSlug of slugs) {
    const exercise = await readExercise(join(exercisesFolder, exerciseSlug));
    const twin = exercises.find(({ uuid }) => uuid === exercise.uuid);
    if (twin !== undefined) {
      throw new ContentError(
        join(exercisesFolder, exerciseSlug, 'exercise.json'),
        `has the uuid of ${twin.slug}; make a new one`,
      );
    }
    exercises.push(exercise);
  }
  return { course: { ...course, starterSlug: starter }, exercises };
}
