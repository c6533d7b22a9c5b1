import { defineEntity, p } from '@mikro-orm/core';
import { identified, instant } from '../columns.ts';
import { Course } from './courses.ts';
import { User } from './users.ts';

const CohortSchema = defineEntity({
  name: 'Cohort',
  schema: 'learning',
  tableName: 'cohorts',
  uniques: [{ properties: ['course', 'name'] }],
  properties: {
    ...identified,
    course: () => p.manyToOne(Course).ref(),
    name: p.string().length(200),
    /** Takes who enrols in the course without naming a cohort. */
    isDefault: p.boolean(),
    archivedAt: instant().strictNullable(),
  },
});

export class Cohort extends CohortSchema.class {}
CohortSchema.setClass(Cohort);

const EnrolmentSchema = defineEntity({
  name: 'Enrolment',
  schema: 'learning',
  tableName: 'enrolments',
  uniques: [{ properties: ['cohort', 'user'] }],
  properties: {
    ...identified,
    cohort: () => p.manyToOne(Cohort).ref(),
    user: () => p.manyToOne(User).ref(),
  },
});

export class Enrolment extends EnrolmentSchema.class {}
EnrolmentSchema.setClass(Enrolment);
