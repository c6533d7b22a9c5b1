import type { Orm } from '../database/orm.ts';
import type { ReviewOutcome, ReviewPlan } from '../domain/reviews.ts';
import type { SubmissionStage } from '../domain/submissions.ts';
import type { Repositories } from '../git/repositories.ts';
import { type CommitDecisionResult, commitDecision } from '../services/reviews.ts';
import {
  closeByAdmin,
  concludeWithoutReview,
  enterStage,
  openReview,
  remindReviewers,
  selectSubmissionForWorkflow,
} from '../services/submissions.ts';
import { withFailures } from './failures.ts';

export type SubmissionActivities = ReturnType<typeof createSubmissionActivities>;

/** The short steps of a submission: one transaction each, all of them safe to repeat. */
export function createSubmissionActivities({ orm, repositories }: { orm: Orm; repositories: Repositories }) {
  return withFailures({
    /** Pins the submitted commit in our own repository. `unavailable` is the source's fault, not an error of ours. */
    async fetchSource({ submissionId }: { submissionId: string }): Promise<{ status: 'ready' | 'unavailable' }> {
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

    concludeWithoutReview: (input: { submissionId: string; conclusion: 'checks-failed' | 'source-unavailable' }) =>
      concludeWithoutReview(orm.em.fork(), input),

    closeByAdmin: ({ submissionId }: { submissionId: string }) => closeByAdmin(orm.em.fork(), submissionId),
  });
}
