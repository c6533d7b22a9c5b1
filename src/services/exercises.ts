import { Exercise, ExerciseRevision, RevisionFile } from '../database/entities/exercises.ts';
import { Course } from '../database/entities/courses.ts';
import { Task } from '../database/entities/tasks.ts';
import type { Em } from '../database/orm.ts';
import type { Language } from '../domain/check-runs.ts';
import { DomainError } from '../domain/errors.ts';
import type { RevisionFile as FileOfRevision, Revision } from '../domain/exercises.ts';

export interface CourseView {
  readonly slug: string;
  readonly title: string;
  readonly summary: string;
  readonly exercises: readonly {
    readonly id: string;
    readonly slug: string;
    readonly title: string;
    readonly summary: string;
    readonly language: Language;
    readonly difficulty: 'easy' | 'medium' | 'hard';
  }[];
}

/** The catalogue: every course that is not archived, with its exercises in order. */
export async function listCourses(em: Em): Promise<CourseView[]> {
  const courses = await em.find(Course, { archivedAt: null }, { orderBy: { slug: 'asc' } });
  const exercises = await em.find(Exercise, { course: courses, archivedAt: null }, { orderBy: { position: 'asc' } });
  return courses.map((course) => ({
    slug: course.slug,
    title: course.title,
    summary: course.summary,
    exercises: exercises
      .filter((exercise) => exercise.course.id === course.id)
      .map(({ id, slug, title, summary, language, difficulty }) => ({ id, slug, title, summary, language, difficulty })),
  }));
}

/** What judging a submission of this revision takes. */
export async function selectRevisionForChecks(em: Em, revisionId: string): Promise<Revision> {
  const revision = await em.findOne(ExerciseRevision, revisionId, { populate: ['exercise', 'files'] });
  if (revision === null) throw new DomainError('not-found', 'There is no such exercise revision.');
  return {
    language: revision.exercise.$.language,
    checks: revision.checks,
    files: revision.files.getItems().map(({ role, path, content }) => ({ role, path, content })),
  };
}

/** The files that a task's own repository starts with: the starter and the visible tests. */
export async function selectStarterFiles(em: Em, repositoryId: string): Promise<readonly FileOfRevision[]> {
  const task = await em.findOneOrFail(Task, { repositoryId });
  const files = await em.find(
    RevisionFile,
    { revision: task.revision.id, role: ['starter', 'visible-test', 'configuration'] },
    { orderBy: { path: 'asc' } },
  );
  return files.map(({ role, path, content }) => ({ role, path, content }));
}
