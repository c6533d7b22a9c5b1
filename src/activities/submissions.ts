import type { Orm } from '../database/orm.ts';
import type { ReviewOutcome, ReviewPlan } from '../domain/reviews.ts';
import type { Conclusion, SubmissionStage } from '../domain/submissions.ts';
import type { Repositories } from '../git/repositories.ts';
import { type CommitDecisionResult, commitDecision } from '../services/reviews.ts';
import {
  concludeWithoutReview,
  enterStage,
  openReview,
  remindReviewers,
  selectOptionalConclusion,
  selectSubmissionForWorkflow,
  type UnreviewedConclusion,
} from '../services/submissions.ts';
import { withFailures } from './failures.ts';

export type SubmissionActivities = ReturnType<typeof createSubmissionActivities>;

/** `concluded`: another run of this workflow has ended the submission. */
type FetchedSource = { status: 'ready' | 'unavailable' } | { status: 'concluded'; conclusion: Conclusion };

/** The short steps of a submission: one transaction each, all of them safe to repeat. */
export function createSubmissionActivities({ orm, repositories }: { orm: Orm; repositories: Repositories }) {
  return withFailures({
    /** Pins the submitted commit in our own repository. `unavailable` is the source's fault, not an error of ours. */
    async fetchSource({ submissionId }: { submissionId: string }): Promise<FetchedSource> {
      const conclusion = await selectOptionalConclusion(orm.em.fork(), submissionId);
      if (conclusion !== null) return { status: 'concluded', conclusion };
      const { source } = await selectSubmissionForWorkflow(orm.em.fork(), submissionId);
      if (!(await repositories.has(source.repositoryId, source.commit))) return { status: 'unavailable' };
      await repositories.pin(source.repositoryId, submissionId, source.commit);
      return { status: 'ready' };
    },

    enterStage: (input: { submissionId: string; stage: Exclude<SubmissionStage, 'CLOSED'>; parkedReason?: string }) =>
      enterStage(orm.em.fork(), input),

    openReview: ({ submissionId }: { submissionId: string }): Promise<ReviewPlan> => openReview(orm.em.fork(), submissionId),

    remindReviewers: (input: { submissionId: string; kind: 'review-reminder' | 'review-overdue' }) =>
      remindReviewers(orm.em.fork(), input),

    commitDecision: (input: {
      submissionId: string;
      requestId: string;
      actorId: string;
      outcome: ReviewOutcome;
      via: 'api' | 'temporal';
    }): Promise<CommitDecisionResult> => commitDecision(orm.em.fork(), input),

    concludeWithoutReview: (input: { submissionId: string; conclusion: UnreviewedConclusion; actorId?: string | null }) =>
      concludeWithoutReview(orm.em.fork(), input),
  });
}
