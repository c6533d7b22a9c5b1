import { defineEntity, p } from '@mikro-orm/core';
import { languageNames } from '../../domain/check-runs.ts';
import { type Checks, exerciseKinds, fileRoles } from '../../domain/exercises.ts';
import { identified, instant } from '../columns.ts';
import { Course } from './courses.ts';

const ExerciseSchema = defineEntity({
  name: 'Exercise',
  schema: 'catalogue',
  tableName: 'exercises',
  uniques: [{ properties: ['course', 'slug'] }],
  properties: {
    ...identified,
    course: () => p.manyToOne(Course).ref(),
    slug: p.string().length(100),
    title: p.string().length(200),
    summary: p.text(),
    /** Place in the course, from 0. */
    position: p.integer(),
    kind: p.enum([...exerciseKinds]),
    language: p.enum([...languageNames]),
    difficulty: p.enum(['easy', 'medium', 'hard']),
    archivedAt: instant().strictNullable(),
  },
});

export class Exercise extends ExerciseSchema.class {}
ExerciseSchema.setClass(Exercise);

const ExerciseRevisionSchema = defineEntity({
  name: 'ExerciseRevision',
  schema: 'catalogue',
  tableName: 'exercise_revisions',
  uniques: [{ properties: ['exercise', 'number'] }],
  properties: {
    ...identified,
    exercise: () => p.manyToOne(Exercise).ref(),
    /** 1, 2, … */
    number: p.integer(),
    /** SHA-256 over all that the revision holds: publishing what is the newest already makes no further revision. */
    contentHash: p.string().length(64),
    /** Markdown. */
    statement: p.text(),
    xp: p.integer(),
    checks: p.json<Checks>().$type<Checks>(),
    files: () => p.oneToMany(RevisionFile).mappedBy('revision'),
  },
});

/** Immutable: statement, tests, limits and XP of an exercise at one time. */
export class ExerciseRevision extends ExerciseRevisionSchema.class {}
ExerciseRevisionSchema.setClass(ExerciseRevision);

const RevisionFileSchema = defineEntity({
  name: 'RevisionFile',
  schema: 'catalogue',
  tableName: 'revision_files',
  uniques: [{ properties: ['revision', 'role', 'path'] }],
  properties: {
    id: p.uuid().primary(),
    revision: () => p.manyToOne(ExerciseRevision).ref(),
    role: p.enum([...fileRoles]),
    path: p.string().length(400),
    content: p.text(),
  },
});

export class RevisionFile extends RevisionFileSchema.class {}
RevisionFileSchema.setClass(RevisionFile);

const ReferenceMeasureSchema = defineEntity({
  name: 'ReferenceMeasure',
  schema: 'catalogue',
  tableName: 'reference_measures',
  uniques: [{ properties: ['revision', 'language', 'sandboxIdentity'] }],
  properties: {
    ...identified,
    revision: () => p.manyToOne(ExerciseRevision).ref(),
    language: p.enum([...languageNames]),
    /** What ran it: times of different machines and images do not compare. */
    sandboxIdentity: p.text(),
    cpuTimeMs: p.integer(),
    memoryPeakBytes: p.bigint('number'),
  },
});

/** What the exercise's own solution takes for all tests: what the performance of submissions is measured against. */
export class ReferenceMeasure extends ReferenceMeasureSchema.class {}
ReferenceMeasureSchema.setClass(ReferenceMeasure);
