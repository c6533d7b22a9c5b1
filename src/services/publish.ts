import { sql } from '@mikro-orm/core';
import { newId } from '../database/columns.ts';
import { Course } from '../database/entities/courses.ts';
import { Cohort } from '../database/entities/enrolments.ts';
import { Exercise, ExerciseRevision, RevisionFile } from '../database/entities/exercises.ts';
import type { Em } from '../database/orm.ts';
import { defaultClaimLeaseMs, defaultReviewPolicy } from '../domain/reviews.ts';
import type { CourseContent, ExerciseContent } from './content.ts';

/**
 * Publishes a course: makes or updates it with its default cohort and its exercises; an exercise whose content has changed gets a new
 * revision. Tasks keep the revision that they were assigned with. Publishing the same content again changes nothing.
 */
export async function publishCourse(em: Em, content: CourseContent, options: { isDefault: boolean }): Promise<void> {
  await em.transactional(async (tx) => {
    const { slug, title, summary, starterSlug } = content.course;
    // Two at once take turns.
    await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`publish ${slug}`}, 0))`);
    const { remindAfterMs, dueAfterMs } = defaultReviewPolicy;
    let course = await tx.findOne(Course, { slug });
    if (course === null) {
      course = tx.create(Course, {
        id: newId(),
        createdAt: new Date(),
        slug,
        title,
        summary,
        starterSlug,
        isDefault: options.isDefault,
        remindAfterMs,
        dueAfterMs,
        claimLeaseMs: defaultClaimLeaseMs,
        archivedAt: null,
      });
      tx.create(Cohort, { id: newId(), createdAt: new Date(), course, name: 'open', isDefault: true, archivedAt: null });
    }
    tx.assign(course, { title, summary, starterSlug });
    for (const [position, exercise] of content.exercises.entries()) await publishExercise(tx, course, exercise, position);
  });
}

async function publishExercise(em: Em, course: Course, content: ExerciseContent, position: number): Promise<void> {
  const { slug, title, summary, kind, language, difficulty } = content;
  const shown = { slug, title, summary, position, kind, language, difficulty };
  let exercise = await em.findOne(Exercise, { id: content.uuid });
  if (exercise === null) {
    exercise = em.create(Exercise, { id: content.uuid, createdAt: new Date(), course, ...shown, archivedAt: null });
  }
  em.assign(exercise, shown);
  const newest = await em.findOne(ExerciseRevision, { exercise }, { orderBy: { number: 'desc' } });
  if (newest?.contentHash === content.contentHash) return;
  const revision = em.create(ExerciseRevision, {
    id: newId(),
    createdAt: new Date(),
    exercise,
    number: (newest?.number ?? 0) + 1,
    contentHash: content.contentHash,
    statement: content.statement,
    xp: content.xp,
    checks: content.checks,
  });
  for (const { role, path, content: text } of content.files) {
    em.create(RevisionFile, { id: newId(), revision, role, path, content: text });
  }
}
