import { cancellationSignal, log } from '@temporalio/activity';
import type { Orm } from '../database/orm.ts';
import type { OverrideSignal, ReviewOutcome, ReviewPlan } from '../domain/reviews.ts';
import type { Conclusion, ParkedClass } from '../domain/submissions.ts';
import type { RepoHost } from '../domain/repo-urls.ts';
import { fetchRemote } from '../git/fetch-remote.ts';
import { type Repositories, submissionRef } from '../git/repositories.ts';
import { checkLease, type CheckLeaseResult, commitClaim, type CommitClaimResult, commitRelease } from '../services/claims.ts';
import { recordOverrideSignal } from '../services/overrides.ts';
import { type CommitDecisionResult, commitDecision } from '../services/reviews.ts';
import {
  type Concluded,
  concludeWithoutReview,
  enterStage,
  openReview,
  remindReviewers,
  selectSubmissionForWorkflow,
  setSourceCommit,
  type UnreviewedConclusion,
} from '../services/submissions.ts';
import { withFailures } from './failures.ts';

export type SubmissionActivities = ReturnType<typeof createSubmissionActivities>;

/** `remote`: it is still to be fetched. `concluded`: the submission has ended meanwhile. */
type FetchedSource = { status: 'ready' | 'remote' | 'unavailable' } | { status: 'concluded'; conclusion: Conclusion };

/** The short steps of a submission: one transaction each, all of them safe to repeat. */
export function createSubmissionActivities(dependencies: {
  orm: Orm;
  repositories: Repositories;
  repoHosts: readonly RepoHost[];
  scratchFolder: string;
}) {
  const { orm, repositories, repoHosts, scratchFolder } = dependencies;
  return withFailures({
    /** Whether there is a commit to judge: submitting has kept it in our own repository, unless it lies on another host. */
    async fetchSource({ submissionId }: { submissionId: string }): Promise<FetchedSource> {
      const { source, conclusion } = await selectSubmissionForWorkflow(orm.em.fork(), submissionId);
      if (conclusion !== null) return { status: 'concluded', conclusion };
      return { status: source.commit === null ? 'remote' : 'ready' };
    },

    /**
     * Fetches another host's repository into our own: resolves the ref to a commit once, and keeps that commit. What goes wrong there is
     * the source's fault; why is for our log only.
     */
    async fetchRemoteSource({ submissionId }: { submissionId: string }): Promise<FetchedSource> {
      const { source, conclusion } = await selectSubmissionForWorkflow(orm.em.fork(), submissionId);
      if (conclusion !== null) return { status: 'concluded', conclusion };
      if (source.kind !== 'remote') return { status: 'ready' };
      const fetched = await fetchRemote({
        url: source.url,
        ref: source.ref ?? undefined,
        hosts: repoHosts,
        repositoryPath: repositories.pathOf(source.repositoryId),
        pinRef: submissionRef(submissionId),
        scratchFolder,
        signal: cancellationSignal(),
      });
      if (fetched.status === 'unavailable') {
        log.info('the source is unavailable', { submissionId, reason: fetched.reason });
        return { status: 'unavailable' };
      }
      await setSourceCommit(orm.em.fork(), { submissionId, commit: fetched.commit });
      return { status: 'ready' };
    },

    enterStage: (input: {
      submissionId: string;
      stage: 'QUEUED' | 'CHECKING' | 'PARKED';
      parkedReason?: string;
      parkedClass?: ParkedClass;
    }) => enterStage(orm.em.fork(), input),

    openReview: ({ submissionId }: { submissionId: string }): Promise<ReviewPlan | Concluded> =>
      openReview(orm.em.fork(), submissionId),

    remindReviewers: (input: { submissionId: string; kind: 'review-reminder' | 'review-overdue' }): Promise<Concluded | null> =>
      remindReviewers(orm.em.fork(), input),

    commitClaim: (input: { submissionId: string; actorId: string }): Promise<CommitClaimResult> =>
      commitClaim(orm.em.fork(), input),

    commitRelease: (input: { submissionId: string; actorId: string }) => commitRelease(orm.em.fork(), input),

    checkLease: (input: { submissionId: string }): Promise<CheckLeaseResult> => checkLease(orm.em.fork(), input),

    recordOverrideSignal: (input: OverrideSignal & { submissionId: string }) => recordOverrideSignal(orm.em.fork(), input),

    commitDecision: (input: {
      submissionId: string;
      requestId: string;
      actorId: string;
      outcome: ReviewOutcome;
      via: 'api' | 'temporal';
    }): Promise<CommitDecisionResult> => commitDecision(orm.em.fork(), input),

    concludeWithoutReview: (input: {
      submissionId: string;
      conclusion: UnreviewedConclusion;
      actorId?: string | null;
    }): Promise<Concluded> => concludeWithoutReview(orm.em.fork(), input),
  });
}
