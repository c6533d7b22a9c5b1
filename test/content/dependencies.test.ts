import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type ExerciseContent, readCourseContent } from '../../src/services/content.ts';
import { ContentError } from '../../src/services/content-format.ts';
import { npmList, npmLock, npmManifest, requirements } from '../support/registry.ts';

const demo = join(import.meta.dirname, '../../content/demo');
const slug = 'night-bus-board';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atelier-content-'));
  await cp(demo, folder, { recursive: true });
});

afterEach(() => rm(folder, { recursive: true, force: true }));

/** Reads the exercise, in JavaScript or another language, with these files of `dependencies/`. */
async function read(files: Readonly<Record<string, string>>, language = 'javascript'): Promise<ExerciseContent> {
  const exercise = join(folder, 'exercises', slug);
  await rm(join(exercise, 'dependencies'), { recursive: true, force: true });
  await mkdir(join(exercise, 'dependencies'));
  for (const [name, text] of Object.entries(files)) await writeFile(join(exercise, 'dependencies', name), text);
  const manifest = join(exercise, 'exercise.json');
  await writeFile(manifest, (await readFile(manifest, 'utf8')).replace(/"language": "\w+"/, `"language": "${language}"`));
  const { exercises } = await readCourseContent(folder);
  const found = exercises.find((each) => each.slug === slug);
  if (found === undefined) throw new Error('no exercise');
  return found;
}

const npmFiles = { 'package.json': npmManifest, 'package-lock.json': npmLock };
const hash = `--hash=sha256:${'a'.repeat(64)}`;

describe('dependencies of an exercise', () => {
  test('are read from package.json and its lock file, and told to students', async () => {
    const { dependencies, statement, files } = await read(npmFiles);
    expect(dependencies).toEqual(npmList);
    expect(statement).toMatch(/\n\nThese packages are installed: `isarray@2\.0\.5`\. Others cannot be added\.\n$/);
    expect(files.filter(({ path }) => path.startsWith('dependencies'))).toEqual([]);
  });

  test('are read from requirements.txt, whatever its layout', async () => {
    const text = `# made by hand\n\niniconfig == 2.0.0 \\\n    ${hash} \\\n    --hash=sha256:${'b'.repeat(64)}\n${requirements.replace('iniconfig', 'Zope.interface')}`;
    const { dependencies } = await read({ 'requirements.txt': text }, 'python');
    expect(dependencies?.packages).toEqual(['Zope.interface@2.0.0', 'iniconfig@2.0.0']);
    expect(dependencies?.files['requirements.txt']?.split('\n')[0]).toMatch(
      /^iniconfig==2\.0\.0 --hash=sha256:a{64} --hash=sha256:b{64}$/,
    );
  });

  test('make another revision when they change, and leave exercises without any as they were', async () => {
    const plain = (await readCourseContent(demo)).exercises;
    const { contentHash } = await read(npmFiles);
    const others = (await readCourseContent(folder)).exercises.filter((each) => each.slug !== slug);
    expect(plain.filter((each) => each.slug !== slug).map((each) => each.contentHash)).toEqual(
      others.map((each) => each.contentHash),
    );
    expect(contentHash).not.toBe(plain.find((each) => each.slug === slug)?.contentHash);
    const otherHash = { ...npmFiles, 'package-lock.json': npmLock.replace('sha512-xH', 'sha512-yH') };
    expect((await read(otherHash)).contentHash).not.toBe(contentHash);
  });

  test('may be named by the lock file as they came from a registry; optional ones are left out', async () => {
    const lock = JSON.parse(npmLock) as { packages: Record<string, Record<string, unknown>> };
    const entry = lock.packages['node_modules/isarray'];
    lock.packages['node_modules/isarray'] = { ...entry, resolved: 'https://registry.example/isarray/-/isarray-2.0.5.tgz' };
    lock.packages['node_modules/@scope/a/node_modules/isarray'] = { ...entry, version: '1.0.0-rc.1' };
    lock.packages['node_modules/for-one-processor'] = { ...entry, optional: true };
    const { dependencies } = await read({ ...npmFiles, 'package-lock.json': JSON.stringify(lock) });
    expect(dependencies?.packages).toEqual(['isarray@1.0.0-rc.1', 'isarray@2.0.5']);
  });

  const lockWith = (changes: object, place = 'node_modules/isarray'): Readonly<Record<string, string>> => {
    const lock = JSON.parse(npmLock) as { packages: Record<string, object> };
    lock.packages[place] = { ...lock.packages['node_modules/isarray'], ...changes };
    return { ...npmFiles, 'package-lock.json': JSON.stringify(lock) };
  };
  const resolvedAt = (resolved: string) => lockWith({ resolved });
  const manifestWith = (changes: object) => ({
    ...npmFiles,
    'package.json': JSON.stringify({ ...(JSON.parse(npmManifest) as object), ...changes }),
  });
  const elsewhere = /package-lock\.json: node_modules\/isarray: comes from elsewhere than a registry/;

  const refused: readonly [string, Readonly<Record<string, string>>, RegExp, string?][] = [
    ['no lock file', { 'package.json': npmManifest }, /package-lock\.json: is missing/],
    ['a lock file alone', { 'package-lock.json': npmLock }, /package\.json: is missing/],
    ['a range', manifestWith({ dependencies: { isarray: '^2.0.5' } }), /package\.json: .*give an exact version/],
    ['a git address', manifestWith({ dependencies: { isarray: 'github:a/b' } }), /give an exact version/],
    ['nothing named', manifestWith({ dependencies: {} }), /name a package/],
    ['packages for development', manifestWith({ devDependencies: { isarray: '2.0.5' } }), /devDependencies/],
    ['scripts', manifestWith({ scripts: { install: 'true' } }), /scripts/],
    ['a lock file of another package.json', manifestWith({ dependencies: { isarray: '2.0.4' } }), /does not fit package\.json/],
    ['an old lock file', { ...npmFiles, 'package-lock.json': npmLock.replace('3', '2') }, /npm 9 or newer/],
    ['no hash', lockWith({ integrity: undefined }), /has no sha512 hash/],
    ['a weak hash', lockWith({ integrity: `sha1-${'a'.repeat(27)}=` }), /has no sha512 hash/],
    ['no version', lockWith({ version: undefined }), /has no exact version/],
    ['a version that is an address', lockWith({ version: 'git+https://host.example/a.git' }), /has no exact version/],
    ['a link', lockWith({ link: true }), /is no package of a registry/],
    ['a folder', lockWith({}, 'packages/a'), /is no package of a registry/],
    ['a way up', lockWith({}, 'node_modules/../a'), /is no package of a registry/],
    ['git', resolvedAt('git+ssh://git@host.example/a.git#0000'), elsewhere],
    ['a file', resolvedAt('file:../isarray.tgz'), elsewhere],
    ['http', resolvedAt('http://registry.example/isarray/-/isarray-2.0.5.tgz'), elsewhere],
    ['credentials', resolvedAt('https://me:word@registry.example/isarray/-/isarray-2.0.5.tgz'), elsewhere],
    ['a token', resolvedAt('https://registry.example/isarray/-/isarray-2.0.5.tgz?token=a'), elsewhere],
    ['a tarball of somewhere', resolvedAt('https://host.example/isarray/archive/main.tar.gz'), elsewhere],
    ['no JSON', { ...npmFiles, 'package-lock.json': '{' }, /package-lock\.json: is not JSON/],
    ['a configuration of npm', { ...npmFiles, '.npmrc': 'ignore-scripts=false' }, /\.npmrc: has no place/],
    [
      'requirements of another language',
      { 'requirements.txt': requirements },
      /requirements\.txt: is of no use to an exercise in javascript/,
    ],
    ['package.json in another language', npmFiles, /package\.json: is of no use to an exercise in python/, 'python'],
    ['dependencies of a language without any', npmFiles, /is of no use to an exercise in java/, 'java'],
    ['no pin', { 'requirements.txt': `iniconfig>=2 ${hash}` }, /write `name==version/, 'python'],
    ['a pin of many versions', { 'requirements.txt': `iniconfig==2.* ${hash}` }, /write `name==version/, 'python'],
    ['a pin without its hash', { 'requirements.txt': 'iniconfig==2.0.0' }, /write `name==version/, 'python'],
    ['an option', { 'requirements.txt': `--index-url https://host.example\n${requirements}` }, /write `name==version/, 'python'],
    ['an address', { 'requirements.txt': `iniconfig @ https://host.example/a.whl ${hash}` }, /write `name==version/, 'python'],
    ['a folder of Python', { 'requirements.txt': `./iniconfig ${hash}` }, /write `name==version/, 'python'],
    ['an environment', { 'requirements.txt': `iniconfig==2.0.0 ; os_name == "nt" ${hash}` }, /write `name==version/, 'python'],
    ['no requirement', { 'requirements.txt': '# none\n' }, /names no package/, 'python'],
  ];

  // Rows are of two lengths: what is missing would be taken for jest's callback.
  test.each(refused)('refuses %s', async (_, files, message, ...[language]) => {
    const error: unknown = await read(files, language).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ContentError);
    expect(error).toHaveProperty('message', expect.stringMatching(message));
  });
});
