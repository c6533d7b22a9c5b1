import { isUtf8 } from 'node:buffer';
import { DomainError } from '../../domain/errors.ts';
import { readCommit } from '../../git/read-commit.ts';
import { selectDraftMaterial } from '../../services/review-drafts.ts';
import { listReviewQueue, requestDecision, selectOptionalReviewByRequest, selectReview } from '../../services/reviews.ts';
import { selectOptionalConclusion } from '../../services/submissions.ts';
import { Allowance } from '../allowance.ts';
import type { reviewsContract } from '../contract/reviews.ts';
import type { Dependencies } from '../dependencies.ts';
import type { Handlers } from '../mount.ts';

/** Far above what somebody needs who reads what they get. */
const draftsPerHour = 60;

/** Of reading a repository of ours. */
const readTimeoutMs = 10_000;

export function reviewsHandlers({ orm, workflows, repositories, assistant }: Dependencies): Handlers<typeof reviewsContract> {
  const allowance = new Allowance(draftsPerHour);
  return {
    async listReviewQueue({ em, actor, query }) {
      return { body: { items: await listReviewQueue(em, actor, query.limit) } };
    },
    async getReview({ em, actor, params }) {
      const review = await selectReview(em, actor, params.id);
      return { body: review, etag: review.supersededById ?? review.id };
    },
    /** Asks the assistant about what the student wrote; what the exercise gave is left out. */
    async draftReview({ em, actor, params }) {
      const { statement, checks, givenFiles, repositoryId, commit } = await selectDraftMaterial(em, actor, params.id);
      if (assistant === null) throw new DomainError('not-configured', 'No assistant is set up in this academy.');
      allowance.take(actor.id);
      const folder = repositories.pathOf(repositoryId);
      const given = new Map(givenFiles.map(({ path, content }) => [path, content]));
      const files = (await readCommit(folder, commit, AbortSignal.timeout(readTimeoutMs)))
        .filter(({ content }) => isUtf8(content))
        .map(({ path, content }) => ({ path, text: content.toString('utf8') }))
        .filter(({ path, text }) => given.get(path) !== text);
      const draft = await assistant.draftReview({ statement, checks, files });
      if (draft === null)
        throw new DomainError('unavailable', 'The assistant has no draft for you now: try again, or do without.');
      return { body: { text: draft.text, isDraft: true, model: assistant.model } };
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
