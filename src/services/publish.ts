import { createHash } from 'node:crypto';
import { sql } from '@mikro-orm/core';
import { newId } from '../database/columns.ts';
import { Course } from '../database/entities/courses.ts';
import { Cohort } from '../database/entities/enrolments.ts';
import { Exercise, ExerciseRevision, RevisionFile } from '../database/entities/exercises.ts';
import type { Em } from '../database/orm.ts';
import type { DependencyLayer, DependencyList } from '../domain/exercises.ts';
import { defaultClaimLeaseMs, defaultReviewPolicy } from '../domain/reviews.ts';
import type { CourseContent, ExerciseContent } from './content.ts';

export interface PublishOptions {
  /** Everybody who registers is enrolled in it. */
  readonly isDefault: boolean;
  /** Has dependencies installed and stored, and returns the key of the blob. Default: content with dependencies is refused. */
  readonly buildLayer?: (list: DependencyList) => Promise<string>;
}

/** By the uuid of the exercise. */
type Layers = ReadonlyMap<string, DependencyLayer>;

/**
 * Publishes a course: makes or updates it with its default cohort and its exercises; an exercise whose content has changed gets a new
 * revision. Tasks keep the revision that they were assigned with. Publishing the same content again changes nothing.
 *
 * Dependency layers of new revisions are built first, one after the other, outside of the transaction: where one cannot be, nothing is
 * published.
 */
export async function publishCourse(em: Em, content: CourseContent, options: PublishOptions): Promise<void> {
  const layers = await prepareLayers(em.fork(), content, options);
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
    for (const [position, exercise] of content.exercises.entries()) {
      await publishExercise(tx, { course, content: exercise, position, layers });
    }
  });
}

/** Layers of the exercises that get a new revision, those of their newest one where its list is the same. */
async function prepareLayers(em: Em, { exercises }: CourseContent, { buildLayer }: PublishOptions): Promise<Layers> {
  const layers = new Map<string, DependencyLayer>();
  for (const { uuid, slug, contentHash, dependencies: list } of exercises) {
    if (list === undefined) continue;
    const newest = await em.findOne(ExerciseRevision, { exercise: uuid }, { orderBy: { number: 'desc' } });
    if (newest?.contentHash === contentHash) continue;
    const listHash = createHash('sha256').update(JSON.stringify(list)).digest('hex');
    const built = newest?.checks.dependencies;
    if (built?.listHash === listHash) {
      layers.set(uuid, built);
      continue;
    }
    if (buildLayer === undefined) throw new Error(`there is no place for the dependency layer of ${slug}`);
    layers.set(uuid, { key: await buildLayer(list), listHash, packages: list.packages });
  }
  return layers;
}

interface ExerciseToPublish {
  readonly course: Course;
  readonly content: ExerciseContent;
  readonly position: number;
  readonly layers: Layers;
}

async function publishExercise(em: Em, { course, content, position, layers }: ExerciseToPublish): Promise<void> {
  const { slug, title, summary, kind, language, difficulty } = content;
  const shown = { slug, title, summary, position, kind, language, difficulty };
  let exercise = await em.findOne(Exercise, { id: content.uuid });
  if (exercise === null) {
    exercise = em.create(Exercise, { id: content.uuid, createdAt: new Date(), course, ...shown, archivedAt: null });
  }
  em.assign(exercise, shown);
  const newest = await em.findOne(ExerciseRevision, { exercise }, { orderBy: { number: 'desc' } });
  if (newest?.contentHash === content.contentHash) return;
  const layer = layers.get(content.uuid);
  if (content.dependencies !== undefined && layer === undefined) {
    throw new Error(`${slug} was published by somebody else at the same time; publish again`);
  }
  const revision = em.create(ExerciseRevision, {
    id: newId(),
    createdAt: new Date(),
    exercise,
    number: (newest?.number ?? 0) + 1,
    contentHash: content.contentHash,
    statement: content.statement,
    xp: content.xp,
    checks: layer === undefined ? content.checks : { ...content.checks, dependencies: layer },
  });
  for (const { role, path, content: text } of content.files) {
    em.create(RevisionFile, { id: newId(), revision, role, path, content: text });
  }
}
