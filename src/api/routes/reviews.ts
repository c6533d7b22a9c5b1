import { DomainError } from '../../domain/errors.ts';
import { listReviewQueue, requestDecision, selectOptionalReviewByRequest, selectReview } from '../../services/reviews.ts';
import { selectOptionalConclusion } from '../../services/submissions.ts';
import type { reviewsContract } from '../contract/reviews.ts';
import type { Dependencies } from '../dependencies.ts';
import type { Handlers } from '../mount.ts';

export function reviewsHandlers({ orm, workflows }: Dependencies): Handlers<typeof reviewsContract> {
  return {
    async listReviewQueue({ em, actor, query }) {
      return { body: { items: await listReviewQueue(em, actor, query.limit) } };
    },
    async getReview({ em, actor, params }) {
      const review = await selectReview(em, actor, params.id);
      return { body: review, etag: review.supersededById ?? review.id };
    },
    /** Stores what is asked, has the workflow decide, and answers when the decision is committed. */
    async decideReview({ em, actor, body, keyed }) {
      const { outcome } = body;
      const { requestId, submissionId, workflowId } = await requestDecision(em, actor, { ...body, key: keyed.key });
      const known = await selectOptionalReviewByRequest(orm.em.fork(), requestId);
      if (known !== null) return { body: known, isReplay: true };
      const result = await workflows.decide(workflowId, { requestId, actorId: actor.id, outcome, via: 'api' });
      const review = await selectOptionalReviewByRequest(orm.em.fork(), requestId);
      if (review !== null) return { body: review };
      if (result.status === 'decided') throw new Error(`review ${result.reviewId} is not that of request ${requestId}`);
      const conclusion = await selectOptionalConclusion(orm.em.fork(), submissionId);
      if (conclusion === null) throw new DomainError('invalid-state', 'This submission does not await a review.');
      throw new DomainError('already-decided', 'This submission is closed: there is nothing left to decide.');
    },
  };
}
