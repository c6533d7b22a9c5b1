import { DomainError } from '../../domain/errors.ts';
import {
  listReviewQueue,
  requestDecision,
  selectDecidableSubmissionId,
  selectOptionalReviewByRequest,
} from '../../services/reviews.ts';
import type { reviewsContract } from '../contract/reviews.ts';
import type { Dependencies } from '../dependencies.ts';
import type { Handlers } from '../mount.ts';

export function reviewsHandlers({ orm, workflows }: Dependencies): Handlers<typeof reviewsContract> {
  return {
    async listReviewQueue({ em, actor, query }) {
      return { body: { items: await listReviewQueue(em, actor, query.limit) } };
    },
    /** Stores what is asked, has the workflow decide, and answers when the decision is committed. */
    async decideReview({ em, actor, body, keyed }) {
      const submissionId = body.submissionId ?? (await selectDecidableSubmissionId(em, body.taskId ?? ''));
      const { outcome, comment } = body;
      const { requestId, workflowId } = await requestDecision(em, actor, { submissionId, outcome, comment, key: keyed.key });
      const known = await selectOptionalReviewByRequest(orm.em.fork(), requestId);
      if (known !== null) return { body: known, isReplay: true };
      const result = await workflows.decide(workflowId, { requestId, actorId: actor.id, outcome, via: 'api' });
      const review = await selectOptionalReviewByRequest(orm.em.fork(), requestId);
      if (review !== null) return { body: review };
      if (result.status === 'decided') throw new Error(`review ${result.reviewId} is not that of request ${requestId}`);
      throw new DomainError('already-decided', 'This submission is closed: there is nothing left to decide.');
    },
  };
}
