import { z } from 'zod';
import { verdicts } from '../../domain/check-runs.ts';
import { reviewOutcomes } from '../../domain/reviews.ts';
import { defineContract, Instant, pageLimit, text } from './core.ts';

const reviewers = ['ACADEMY_REVIEWER', 'SUPER_ADMIN'] as const;

const ReviewView = z
  .object({
    id: z.uuid(),
    submissionId: z.uuid(),
    reviewerId: z.uuid(),
    outcome: z.enum(reviewOutcomes),
    comment: z.string(),
    commit: z.string(),
    createdAt: Instant,
  })
  .meta({ id: 'Review' });

export const reviewsContract = defineContract({
  listReviewQueue: {
    method: 'get',
    path: '/reviews/queue',
    tag: 'reviews',
    summary: 'What awaits a review, the one due first at the top, without your own work',
    access: reviewers,
    query: z.object({ limit: pageLimit(50) }),
    status: 200,
    response: z.object({
      items: z.array(
        z.object({
          submissionId: z.uuid(),
          taskId: z.uuid(),
          studentName: z.string(),
          exerciseTitle: z.string(),
          attemptNo: z.int(),
          verdict: z.enum(verdicts).nullable(),
          submittedAt: Instant,
          answerDueAt: Instant.nullable(),
        }),
      ),
    }),
  },
  decideReview: {
    method: 'post',
    path: '/reviews',
    tag: 'reviews',
    summary: 'Decide on a submission; 201 means that it is committed',
    access: reviewers,
    isKeyed: true,
    body: z
      .strictObject({
        submissionId: z.uuid().optional(),
        taskId: z.uuid().optional(),
        outcome: z.enum(reviewOutcomes),
        comment: text(20_000, 0),
      })
      .refine((body) => (body.submissionId === undefined) !== (body.taskId === undefined), 'give submissionId or taskId'),
    status: 201,
    response: ReviewView,
  },
});
