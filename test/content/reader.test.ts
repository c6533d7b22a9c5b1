import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type ExerciseContent, readCourseContent } from '../../src/services/content.ts';
import { ContentError } from '../../src/services/content-format.ts';
import type { FileRole, RevisionFile } from '../../src/domain/exercises.ts';

const demo = join(import.meta.dirname, '../../content/demo');

const busUuid = '019b76da-abe8-7c00-a204-f709c5c687ed';

const filesOf = (exercise: ExerciseContent, ...roles: FileRole[]): readonly RevisionFile[] =>
  exercise.files.filter((file) => roles.includes(file.role));

const pathsOf = (exercise: ExerciseContent, ...roles: FileRole[]): readonly string[] =>
  filesOf(exercise, ...roles).map((file) => file.path);

/** Test cases as they stand in the source, one per line by our own convention. */
const countTests = (files: readonly RevisionFile[]): number =>
  files.reduce((sum, { content }) => sum + (content.match(/^test\(|^ {4}def test_/gm)?.length ?? 0), 0);

/** Changes the text of one file; fails where there is nothing to change, so that no case passes by accident. */
async function edit(path: string, from: string, to: string): Promise<void> {
  const text = await readFile(path, 'utf8');
  expect(text).toContain(from);
  await writeFile(path, text.replace(from, to));
}

describe('the demo content', () => {
  test('is a course of five exercises with a starter', async () => {
    const { course, exercises } = await readCourseContent(demo);
    expect(course).toEqual({
      slug: 'small-tools',
      title: expect.any(String),
      summary: expect.any(String),
      starterSlug: 'night-bus-board',
    });
    expect(exercises.map(({ slug, language }) => [slug, language])).toEqual([
      ['night-bus-board', 'javascript'],
      ['balcony-garden', 'python'],
      ['dry-causeway', 'python'],
      ['parcel-lockers', 'javascript'],
      ['kitchen-plan', 'python'],
    ]);
    expect(exercises.map(({ xp }) => xp)).toEqual(exercises.map(({ xp }) => xp).toSorted((left, right) => left - right));
  });

  test('states how many tests each exercise has', async () => {
    const { exercises } = await readCourseContent(demo);
    for (const exercise of exercises) {
      if (exercise.checks.kind !== 'project') continue;
      const { visible, hidden } = exercise.checks.tests;
      expect([exercise.slug, visible.count, hidden.count]).toEqual([
        exercise.slug,
        countTests(filesOf(exercise, 'visible-test')),
        countTests(filesOf(exercise, 'hidden-test')),
      ]);
    }
  });

  test('places every file in the repository of the student', async () => {
    const { exercises } = await readCourseContent(demo);
    const [bus, garden] = exercises;
    if (bus === undefined || garden === undefined) throw new Error('exercises are missing');
    expect(bus.files.map(({ role, path }) => `${role} ${path}`)).toEqual([
      'configuration .atelier/oxlintrc.json',
      'hidden-test test/board-rules.test.js',
      'solution src/board.js',
      'starter README.md',
      'starter package.json',
      'starter src/board.js',
      'visible-test test/board.test.js',
    ]);
    expect(pathsOf(garden, 'configuration')).toEqual(['.atelier/ruff.json']);
    for (const exercise of exercises) {
      expect(exercise.statement).toMatch(new RegExp(`^# ${exercise.title}\n`));
      // A program is solved in one of its languages, for which the starter need not have a file.
      const replaced = exercise.kind === 'project' ? pathsOf(exercise, 'solution') : [];
      expect(pathsOf(exercise, 'starter')).toEqual(expect.arrayContaining([...replaced]));
      // A starter that is the solution would leave nothing to do.
      const starter = filesOf(exercise, 'starter').map(({ content }) => content);
      expect(filesOf(exercise, 'solution').some(({ content }) => !starter.includes(content))).toBe(true);
    }
  });
});

describe('reading a course', () => {
  let folder: string;
  let exercise: string;
  let program: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'atelier-content-'));
    await cp(demo, folder, { recursive: true });
    exercise = join(folder, 'exercises/night-bus-board');
    program = join(folder, 'exercises/dry-causeway');
  });

  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  const hashes = async (): Promise<readonly string[]> =>
    (await readCourseContent(folder)).exercises.map(({ contentHash }) => contentHash);

  test('gives the same hash for the same content, however its JSON is laid out', async () => {
    const before = await hashes();
    await edit(
      join(exercise, 'exercise.json'),
      '"testStyle": "calls",\n  "language": "javascript"',
      '"language":"javascript", "testStyle":"calls"',
    );
    expect(await hashes()).toEqual(before);
  });

  test.each([
    ['statement.md', '# Night bus board', '# Night bus sign'],
    ['exercise.json', '"xp": 50', '"xp": 51'],
    ['tests/hidden/test/board-rules.test.js', '1439', '1438'],
    ['starter/README.md', 'Run the tests', 'Run all tests'],
    ['lint/oxlintrc.json', '"no-var": "error"', '"no-var": "warn"'],
  ])('gives another hash for another %s, and for no other exercise', async (path, from, to) => {
    const [first, ...others] = await hashes();
    await edit(join(exercise, path), from, to);
    const [firstNow, ...othersNow] = await hashes();
    expect(firstNow).not.toBe(first);
    expect(othersNow).toEqual(others);
  });

  test('takes the cases of a program in natural order, samples for students and the rest for the judge', async () => {
    for (const part of ['in', 'out']) await writeFile(join(program, `cases/samples/10.${part}`), '');
    const { exercises } = await readCourseContent(folder);
    const { checks, files } = exercises.find(({ slug }) => slug === 'dry-causeway') ?? {};
    if (checks?.kind !== 'program' || files === undefined) throw new Error('no program');
    expect(
      checks.groups.map(({ name, isVisible, scoring, cases }) => [name, isVisible, scoring, cases.map((each) => each.name)]),
    ).toEqual([
      ['samples', true, 'each', ['1', '2', '3', '10']],
      ['shore', false, 'all', ['1', '2', '3', '4', '5', '6']],
      ['storms', false, 'each', ['1', '2', '3', '4']],
    ]);
    expect(checks.groups[1]?.cases[1]).toEqual({ name: '2', hint: 'One reading alone spans no time.', weight: 1 });
    expect(checks.groups[1]?.cases[3]).toEqual({ name: '4', hint: '', weight: 1 });
    const casesOf = (role: FileRole) =>
      files.filter((file) => file.role === role).map(({ path }) => path.replace(/\d+\.\w+$/, ''));
    expect(new Set(casesOf('visible-test'))).toEqual(new Set(['cases/samples/']));
    expect(new Set(casesOf('hidden-test'))).toEqual(new Set(['cases/shore/', 'cases/storms/']));
  });

  test('takes a checker, a test style, a command, a rubric and what is enough to pass', async () => {
    await edit(
      join(program, 'exercise.json'),
      '{ "mode": "numeric", "absolute": 0.000001, "relative": 0.000001 }',
      '{ "mode": "checker", "language": "python", "path": "checker/check.py" }, "passPercent": 80',
    );
    await mkdir(join(program, 'checker'));
    await writeFile(join(program, 'checker/check.py'), 'pass');
    await edit(
      join(exercise, 'exercise.json'),
      '"tests": {',
      '"testStyle": "calls", "command": { "argv": ["node", "x.js"], "report": "tap" }, "rubric": { "quality": 1, "documentation": 0, "performance": 0 }, "tests": {',
    );
    const { exercises } = await readCourseContent(folder);
    const [bus, , causeway] = exercises;
    expect(causeway?.checks).toMatchObject({
      comparison: { mode: 'checker', language: 'python', path: 'checker/check.py' },
      passPercent: 80,
    });
    expect(causeway?.files).toContainEqual({ role: 'checker', path: 'checker/check.py', content: 'pass' });
    expect(bus?.checks).toMatchObject({
      testStyle: 'calls',
      command: { argv: ['node', 'x.js'], report: 'tap' },
      rubric: { quality: 1, documentation: 0, performance: 0 },
      passPercent: null,
    });
  });

  const editProgram = (from: string, to: string) => edit(join(program, 'exercise.json'), from, to);

  const refused: readonly (readonly [name: string, breakIt: () => Promise<unknown>, message: RegExp])[] = [
    [
      'an unknown key in course.json',
      () => edit(join(folder, 'course.json'), '"slug"', '"theme": "dark", "slug"'),
      /course\.json: .*"theme"/,
    ],
    [
      'an unknown key in exercise.json',
      () => edit(join(exercise, 'exercise.json'), '"slug"', '"points": 5, "slug"'),
      /night-bus-board\/exercise\.json: .*"points"/,
    ],
    [
      'a count that is text',
      () => edit(join(exercise, 'exercise.json'), '"count": 6', '"count": "6"'),
      /tests\.visible\.count: .*number/,
    ],
    ['no JSON', () => writeFile(join(exercise, 'exercise.json'), '{'), /exercise\.json: is not JSON/],
    [
      'a language without a runner',
      () => edit(join(exercise, 'exercise.json'), '"javascript"', '"cobol"'),
      /exercise\.json: correct it: language/,
    ],
    [
      'a test path that leaves the folder',
      () => edit(join(exercise, 'exercise.json'), 'test/board.test.js', 'test/../../board.test.js'),
      /tests\.visible\.files\.0: no "\.", "\.\."/,
    ],
    ['a missing course.json', () => rm(join(folder, 'course.json')), /course\.json: cannot be read/],
    ['a missing exercise', () => rm(exercise, { recursive: true }), /night-bus-board: cannot be read/],
    ['a missing statement', () => rm(join(exercise, 'statement.md')), /statement\.md: is missing or empty/],
    ['an empty statement', () => writeFile(join(exercise, 'statement.md'), '\n'), /statement\.md: is missing or empty/],
    [
      'a missing test file',
      () => rm(join(exercise, 'tests/hidden/test/board-rules.test.js')),
      /board-rules\.test\.js: is missing/,
    ],
    ['a missing lint configuration', () => rm(join(exercise, 'lint/oxlintrc.json')), /lint\/oxlintrc\.json: is missing/],
    [
      'a starter that the course does not have',
      () => edit(join(folder, 'course.json'), '"starter": "night-bus-board"', '"starter": "day-bus"'),
      /course\.json: the starter day-bus/,
    ],
    [
      'an exercise that the course does not name',
      () => cp(exercise, join(folder, 'exercises/day-bus'), { recursive: true }),
      /exercises\/day-bus: is not in the course/,
    ],
    [
      'a slug that is not the name of the folder',
      () => edit(join(exercise, 'exercise.json'), '"slug": "night-bus-board"', '"slug": "day-bus"'),
      /exercise\.json: slug is day-bus/,
    ],
    [
      'the uuid of another exercise',
      () => edit(join(folder, 'exercises/balcony-garden/exercise.json'), '019b76da-afd0-78c0-ba13-f948edf37e01', busUuid),
      /balcony-garden\/exercise\.json: has the uuid of night-bus-board/,
    ],
    [
      'a symlink to a file',
      () => symlink('/etc/hostname', join(exercise, 'starter/host.txt')),
      /host\.txt: is not a regular file/,
    ],
    ['a symlink to a folder', () => symlink('/etc', join(exercise, 'starter/etc')), /starter\/etc: is not a regular file/],
    [
      'a binary file',
      () => writeFile(join(exercise, 'starter/logo'), Buffer.from([0xff, 0xfe, 0])),
      /starter\/logo: is not UTF-8/,
    ],
    [
      'a file of more than 1 MiB',
      () => writeFile(join(exercise, 'starter/big'), 'x'.repeat(1024 * 1024 + 1)),
      /starter\/big: is larger/,
    ],
    ['a name with a backslash', () => writeFile(join(exercise, 'starter/a\\b'), ''), /rename it/],
    ['a file that belongs nowhere', () => writeFile(join(exercise, 'notes.txt'), 'x'), /notes\.txt: has no place/],
    [
      'a starter file in the place of a test',
      () => cp(join(exercise, 'tests/visible/test'), join(exercise, 'starter/test'), { recursive: true }),
      /test\/board\.test\.js is both/,
    ],
    ['a case without its output', () => rm(join(program, 'cases/shore/2.out')), /cases\/shore\/2\.out: is missing/],
    ['a case without its input', () => rm(join(program, 'cases/shore/2.in')), /cases\/shore\/2\.in: is missing/],
    ['a file that is no case', () => writeFile(join(program, 'cases/shore/2.txt'), ''), /2\.txt: is no case; name it/],
    [
      'cases of no group',
      () => cp(join(program, 'cases/shore'), join(program, 'cases/inland'), { recursive: true }),
      /cases\/inland\/1\.in: has no place/,
    ],
    ['a group without cases', () => rm(join(program, 'cases/storms'), { recursive: true }), /cases\/storms\/?: has no cases/],
    [
      'a program without samples',
      () => editProgram('"isVisible": true', '"isVisible": false'),
      /groups: make one of them visible/,
    ],
    [
      'groups without points',
      async () => {
        for (const points of [10, 40, 50]) await editProgram(`"points": ${points}`, '"points": 0');
      },
      /groups: give points/,
    ],
    ['one name for two groups', () => editProgram('"name": "storms"', '"name": "shore"'), /groups: two groups have one name/],
    ['a hint for no case', () => editProgram('"5": "The way', '"7": "The way'), /has a hint for 7, which is no case of shore/],
    ['a language that nobody runs', () => editProgram('"rust"]', '"cobol"]'), /languages\.7/],
    [
      'languages without its own',
      () => editProgram('"languages": ["python", ', '"languages": ['),
      /languages: name the exercise's own/,
    ],
    ['a way of comparing that does not exist', () => editProgram('"mode": "numeric"', '"mode": "roughly"'), /comparison\.mode/],
    [
      'numbers without a tolerance',
      () => editProgram('"absolute": 0.000001, "relative": 0.000001', '"absolute": 0'),
      /give an absolute or a relative/,
    ],
    [
      'a checker that is not there',
      () =>
        editProgram(
          '{ "mode": "numeric", "absolute": 0.000001, "relative": 0.000001 }',
          '{ "mode": "checker", "language": "python", "path": "checker/check.py" }',
        ),
      /checker\/check\.py: is missing/,
    ],
    [
      'tests of a project in a program',
      () => cp(join(exercise, 'tests'), join(program, 'tests'), { recursive: true }),
      /has no place/,
    ],
    [
      'cases of a program in a project',
      () => cp(join(program, 'cases'), join(exercise, 'cases'), { recursive: true }),
      /has no place/,
    ],
    ['another kind', () => editProgram('"kind": "program"', '"kind": "essay"'), /kind/],
    ['a pass mark of nothing', () => editProgram('"xp": 100', '"xp": 100, "passPercent": 0'), /passPercent/],
    [
      'a rubric without points',
      () => editProgram('"xp": 100', '"xp": 100, "rubric": { "quality": 0, "documentation": 0, "performance": 0 }'),
      /rubric: give points/,
    ],
    [
      'more than 500 files',
      () => Promise.all(Array.from({ length: 500 }, (_, index) => writeFile(join(exercise, `starter/f${index}`), ''))),
      /night-bus-board: holds more than 500 files/,
    ],
  ];

  test.each(refused)('refuses %s', async (_name, breakIt, message) => {
    await breakIt();
    const error: unknown = await readCourseContent(folder).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ContentError);
    expect(error).toHaveProperty('message', expect.stringMatching(message));
  });
});
