import { defineEntity, p } from '@mikro-orm/core';
import { reviewOutcomes } from '../../domain/reviews.ts';
import { identified } from '../columns.ts';
import { Submission } from './submissions.ts';
import { User } from './users.ts';

const DecisionRequestSchema = defineEntity({
  name: 'DecisionRequest',
  schema: 'reviews',
  tableName: 'decision_requests',
  properties: {
    ...identified,
    submission: () => p.manyToOne(Submission).ref(),
    actor: () => p.manyToOne(User).ref(),
    outcome: p.enum([...reviewOutcomes]),
    comment: p.text(),
  },
});

/** What a reviewer asked for; the workflow decides what becomes of it, and carries only its id. */
export class DecisionRequest extends DecisionRequestSchema.class {}
DecisionRequestSchema.setClass(DecisionRequest);

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
    supersededBy: () => p.manyToOne(Review).ref().strictNullable(),
  },
});

/** Append-only; the current one is not superseded. */
export class Review extends ReviewSchema.class {}
ReviewSchema.setClass(Review);
