import { z } from 'zod';
import { verdicts } from '../../domain/check-runs.ts';
import { reviewOutcomes } from '../../domain/reviews.ts';
import { ById, defineContract, Id, Instant, pageLimit, text } from './core.ts';

/** Who may review. */
export const reviewers = ['ACADEMY_REVIEWER', 'SUPER_ADMIN'] as const;

/** Who has claimed a submission, and until when unless they are still there. */
export const ClaimView = z.object({ reviewerId: z.uuid(), reviewerName: z.string(), leaseUntil: Instant }).meta({ id: 'Claim' });

const ReviewView = z
  .object({
    id: z.uuid(),
    submissionId: z.uuid(),
    reviewerId: z.uuid(),
    outcome: z.enum(reviewOutcomes),
    comment: z.string(),
    commit: z.string(),
    supersededById: z.uuid().nullable().meta({ description: 'The review that an override put in its place.' }),
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
          claim: ClaimView.nullable(),
        }),
      ),
    }),
  },
  getReview: {
    method: 'get',
    path: '/reviews/{id}',
    tag: 'reviews',
    summary: 'One review; its ETag is what an override names in If-Match',
    access: 'user',
    hasETag: true,
    params: ById,
    status: 200,
    response: ReviewView,
  },
  draftReview: {
    method: 'post',
    path: '/submissions/{id}/review-draft',
    tag: 'reviews',
    summary: 'A draft of a review by a language model, where one is configured; it is stored nowhere and decides nothing',
    access: reviewers,
    params: ById,
    status: 200,
    response: z
      .object({
        text: z.string().meta({ description: 'Markdown, to be read and changed by the reviewer before anybody else sees it.' }),
        isDraft: z.literal(true),
        model: z.string(),
      })
      .meta({ id: 'ReviewDraft' }),
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
        submissionId: Id.optional(),
        taskId: Id.optional(),
        outcome: z.enum(reviewOutcomes),
        comment: text(20_000, 0),
      })
      .refine((body) => (body.submissionId === undefined) !== (body.taskId === undefined), 'give submissionId or taskId'),
    status: 201,
    response: ReviewView,
  },
});
