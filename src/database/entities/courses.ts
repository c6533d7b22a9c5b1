import { defineEntity, p } from '@mikro-orm/core';
import { identified, instant } from '../columns.ts';

const CourseSchema = defineEntity({
  name: 'Course',
  schema: 'catalogue',
  tableName: 'courses',
  // At most one course takes everybody who registers.
  indexes: [
    {
      name: 'courses_one_default',
      expression: 'create unique index "courses_one_default" on "catalogue"."courses" ("is_default") where "is_default"',
    },
  ],
  properties: {
    ...identified,
    slug: p.string().length(100).unique(),
    title: p.string().length(200),
    summary: p.text(),
    isDefault: p.boolean(),
    /** Slug of the exercise that an enrolment assigns. */
    starterSlug: p.string().length(100),
    remindAfterMs: p.bigint('number'),
    dueAfterMs: p.bigint('number'),
    /** How long a reviewer's claim lasts without a sign of its holder. */
    claimLeaseMs: p.bigint('number'),
    archivedAt: instant().strictNullable(),
  },
});

export class Course extends CourseSchema.class {}
CourseSchema.setClass(Course);
