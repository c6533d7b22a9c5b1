import { DeferMode, defineEntity, p } from '@mikro-orm/core';
import { type RequestBody, requestKinds, reviewOutcomes } from '../../domain/reviews.ts';
import { overridableStatuses } from '../../domain/tasks.ts';
import { identified, instant } from '../columns.ts';
import { Submission } from './submissions.ts';
import { Task } from './tasks.ts';
import { User } from './users.ts';

const SubmissionRequestSchema = defineEntity({
  name: 'SubmissionRequest',
  schema: 'reviews',
  tableName: 'requests',
  properties: {
    ...identified,
    kind: p.enum([...requestKinds]),
    submission: () => p.manyToOne(Submission).ref(),
    actor: () => p.manyToOne(User).ref(),
    /** What else was asked, such as a decision's outcome and comment. */
    body: p.json<RequestBody>().$type<RequestBody>(),
  },
});

/** What somebody asked of a submission; its workflow decides what becomes of it, and carries only this id. */
export class SubmissionRequest extends SubmissionRequestSchema.class {}
SubmissionRequestSchema.setClass(SubmissionRequest);

const ReviewSchema = defineEntity({
  name: 'Review',
  schema: 'reviews',
  tableName: 'reviews',
  indexes: [
    {
      name: 'reviews_one_current',
      expression:
        'create unique index "reviews_one_current" on "reviews"."reviews" ("submission_id") where "superseded_by_id" is null',
    },
  ],
  properties: {
    ...identified,
    submission: () => p.manyToOne(Submission).ref(),
    reviewer: () => p.manyToOne(User).ref(),
    outcome: p.enum([...reviewOutcomes]),
    comment: p.text(),
    /** The commit that was decided upon. */
    commit: p.string().length(64),
    /** Of the request that led here; a second commit of the same request finds the review made. */
    requestId: p.string().length(100).unique(),
    via: p.enum(['api', 'temporal']),
    /** Checked at the commit, so that the old one can step back before the new one is there: one review is current at any instant. */
    supersededBy: () => p.manyToOne(Review).ref().strictNullable().deferMode(DeferMode.INITIALLY_DEFERRED),
  },
});

/** Append-only; the current one is not superseded. */
export class Review extends ReviewSchema.class {}
ReviewSchema.setClass(Review);

const OverrideSchema = defineEntity({
  name: 'Override',
  schema: 'reviews',
  tableName: 'overrides',
  indexes: [
    {
      name: 'overrides_one_pending_per_task',
      expression:
        'create unique index "overrides_one_pending_per_task" on "reviews"."overrides" ("task_id") where "applied_at" is null',
    },
    {
      name: 'overrides_unstarted',
      expression: 'create index "overrides_unstarted" on "reviews"."overrides" ("created_at") where "started_at" is null',
    },
  ],
  properties: {
    ...identified,
    task: () => p.manyToOne(Task).ref(),
    actor: () => p.manyToOne(User).ref(),
    /** The state that the task shall have. */
    status: p.enum([...overridableStatuses]),
    /** Whose task it shall be from now on; null leaves it. */
    assignee: () => p.manyToOne(User).ref().strictNullable(),
    /** The attempt that is decided otherwise; null is the newest one, where there is one. */
    submission: () => p.manyToOne(Submission).ref().strictNullable(),
    reason: p.text(),
    via: p.enum(['api', 'temporal']),
    /** When the relay knew its workflow to be started; null makes this row an outbox entry. */
    startedAt: instant().strictNullable(),
    appliedAt: instant().strictNullable(),
    traceId: p.string().length(32).strictNullable(),
  },
});

/** An admin's word on a task or a review, with its reason; applied once. */
export class Override extends OverrideSchema.class {}
OverrideSchema.setClass(Override);
