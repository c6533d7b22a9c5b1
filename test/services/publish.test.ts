import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Course } from '../../src/database/entities/courses.ts';
import { Cohort } from '../../src/database/entities/enrolments.ts';
import { Exercise, ExerciseRevision, RevisionFile } from '../../src/database/entities/exercises.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import type { DependencyList } from '../../src/domain/exercises.ts';
import { type CourseContent, readCourseContent } from '../../src/services/content.ts';
import { listCourses, selectRevisionForChecks, selectStarterFiles } from '../../src/services/exercises.ts';
import { publishCourse } from '../../src/services/publish.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createStudentWithTask } from '../support/factories.ts';

let content: CourseContent;
let database: TestDatabase;

beforeAll(async () => {
  content = await readCourseContent(join(import.meta.dirname, '../../content/demo'));
});

beforeEach(async () => {
  database = await createTestDatabase();
});

afterEach(() => database.close());

const publish = (what = content) => publishCourse(database.orm.em.fork(), what, { isDefault: true });

/** The course with the starter exercise changed in what makes a revision. */
function changedContent(letter: string): CourseContent {
  const exercises = content.exercises.map((exercise) =>
    exercise.slug === content.course.starterSlug
      ? { ...exercise, xp: exercise.xp + 7, statement: `Revised ${letter}.`, contentHash: letter.repeat(64) }
      : exercise,
  );
  return { ...content, exercises };
}

const rows = async () => {
  const em = database.orm.em.fork();
  return {
    courses: await em.count(Course),
    cohorts: await em.count(Cohort),
    exercises: await em.count(Exercise),
    revisions: await em.count(ExerciseRevision),
    files: await em.count(RevisionFile),
  };
};

const starterRevisions = () =>
  database.orm.em
    .fork()
    .find(ExerciseRevision, { exercise: { slug: content.course.starterSlug } }, { orderBy: { number: 'asc' } });

describe('publishCourse', () => {
  it('makes the course, its default cohort, and a first revision of each exercise with all its files', async () => {
    await publish();
    expect(await rows()).toEqual({
      courses: 1,
      cohorts: 1,
      exercises: content.exercises.length,
      revisions: content.exercises.length,
      files: content.exercises.reduce((sum, { files }) => sum + files.length, 0),
    });
    const [course] = await listCourses(database.orm.em.fork());
    expect(course?.exercises.map(({ slug }) => slug)).toEqual(content.exercises.map(({ slug }) => slug));
  });

  it('changes nothing when the same content is published again', async () => {
    await publish();
    const before = await rows();
    await publish();
    expect(await rows()).toEqual(before);
  });

  it('makes a second revision of changed content; a task keeps the one that it was assigned with', async () => {
    await publish();
    const { student: _student, taskId } = await createStudentWithTask(database.orm);
    await publish(changedContent('b'));
    const [first, second] = await starterRevisions();
    expect([first?.number, second?.number]).toEqual([1, 2]);
    expect(second?.xp).toBe((first?.xp ?? 0) + 7);
    const task = await database.orm.em.fork().findOneOrFail(Task, taskId);
    expect(task.revision.id).toBe(first?.id);
    const later = await createStudentWithTask(database.orm);
    expect((await database.orm.em.fork().findOneOrFail(Task, later.taskId)).revision.id).toBe(second?.id);
  });

  it('takes a new title and place without a new revision', async () => {
    await publish();
    const exercises = content.exercises.toReversed().map((exercise) => ({ ...exercise, title: `${exercise.title}!` }));
    await publish({ course: { ...content.course, title: 'Renamed' }, exercises });
    const [course] = await listCourses(database.orm.em.fork());
    expect(course?.title).toBe('Renamed');
    expect(course?.exercises.map(({ title }) => title)).toEqual(exercises.map(({ title }) => title));
    expect((await rows()).revisions).toBe(content.exercises.length);
  });

  it('goes back to what was published before, as a revision of its own', async () => {
    await publish();
    await publish(changedContent('b'));
    await publish();
    expect((await starterRevisions()).map(({ number }) => number)).toEqual([1, 2, 3]);
  });

  it('publishes once when three do it at once', async () => {
    await Promise.all([publish(), publish(), publish()]);
    expect(await rows()).toMatchObject({ courses: 1, revisions: content.exercises.length });
  });

  it('publishes all or nothing', async () => {
    const [first, ...others] = content.exercises;
    const broken = { ...content, exercises: [first, ...others.map((exercise) => ({ ...exercise, slug: first?.slug ?? '' }))] };
    await expect(publish(broken as CourseContent)).rejects.toThrow('unique');
    expect(await rows()).toEqual({ courses: 0, cohorts: 0, exercises: 0, revisions: 0, files: 0 });
  });
});

describe('dependencies', () => {
  const listOf = (version: string): DependencyList => ({
    installer: 'npm',
    files: { 'package.json': version },
    packages: [`isarray@${version}`],
  });
  const built: DependencyList[] = [];
  const buildLayer = (list: DependencyList): Promise<string> => {
    built.push(list);
    return Promise.resolve(String(built.length).repeat(64));
  };
  const withList = (letter: string, dependencies: DependencyList): CourseContent => {
    const changed = changedContent(letter);
    const exercises = changed.exercises.map((exercise) =>
      exercise.slug === content.course.starterSlug ? { ...exercise, dependencies } : exercise,
    );
    return { ...changed, exercises };
  };
  const publishList = (what: CourseContent) => publishCourse(database.orm.em.fork(), what, { isDefault: true, buildLayer });
  const keys = async () => (await starterRevisions()).map(({ checks }) => checks.dependencies?.key[0]);

  beforeEach(() => {
    built.length = 0;
  });

  it('become a layer of the revision that brings them, which the judge is told of', async () => {
    await publishList(withList('a', listOf('2.0.5')));
    expect(built).toEqual([listOf('2.0.5')]);
    const [revision] = await starterRevisions();
    const { checks } = await selectRevisionForChecks(database.orm.em.fork(), revision?.id ?? '');
    expect(checks.dependencies).toMatchObject({ key: '1'.repeat(64), packages: ['isarray@2.0.5'] });
  });

  it('are built for another list only', async () => {
    await publishList(withList('a', listOf('2.0.5')));
    await publishList(withList('a', listOf('2.0.5')));
    expect([await keys(), built.length]).toEqual([['1'], 1]);
    // Another text of the exercise, for which no registry is needed.
    await publishList(withList('b', listOf('2.0.5')));
    expect([await keys(), built.length]).toEqual([['1', '1'], 1]);
    await publishList(withList('c', listOf('2.0.4')));
    expect([await keys(), built.length]).toEqual([['1', '1', '2'], 2]);
    await publishList(changedContent('d'));
    expect([await keys(), built.length]).toEqual([['1', '1', '2', undefined], 2]);
  });

  it('that cannot be installed leave all as it was', async () => {
    const refuse = () => Promise.reject(new Error('no registry'));
    const first = publishCourse(database.orm.em.fork(), withList('a', listOf('1.0.0')), { isDefault: true, buildLayer: refuse });
    await expect(first).rejects.toThrow('no registry');
    expect(await rows()).toEqual({ courses: 0, cohorts: 0, exercises: 0, revisions: 0, files: 0 });
    await expect(publish(withList('a', listOf('1.0.0')))).rejects.toThrow('no place for the dependency layer');
    expect((await rows()).revisions).toBe(0);
  });
});

describe('the files of a revision', () => {
  it('reach the judge all, and the student without hidden tests and solution', async () => {
    await publish();
    const { taskId } = await createStudentWithTask(database.orm);
    const [revision] = await starterRevisions();
    const starter = content.exercises.find(({ slug }) => slug === content.course.starterSlug);
    const judged = await selectRevisionForChecks(database.orm.em.fork(), revision?.id ?? '');
    expect(judged.files).toHaveLength(starter?.files.length ?? 0);
    expect(judged.checks.limits).toEqual(starter?.checks.limits);
    const given = await selectStarterFiles(database.orm.em.fork(), taskId);
    expect(new Set(given.map(({ role }) => role))).toEqual(new Set(['starter', 'visible-test', 'configuration']));
    const secret = starter?.files.filter(({ role }) => role === 'hidden-test' || role === 'solution') ?? [];
    expect(secret.length).toBeGreaterThan(0);
    for (const { content: text } of secret) expect(given.map((file) => file.content)).not.toContain(text);
  });
});
