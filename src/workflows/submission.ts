import { ActivityFailure, allHandlersFinished, CancellationScope, condition, log } from '@temporalio/workflow';
import type { Conclusion } from '../domain/submissions.ts';
import type { SubmissionInput, SubmissionOutcome } from './contract.ts';
import { awaitInterruption, type Overridden } from './interruption.ts';
import { trackProgress } from './progress.ts';
import { awaitReview } from './review.ts';
import { commitOverride, concludeWithoutReview, fetchRemoteSource, fetchSource, judgeSubmission } from './steps.ts';
import { untilCommitted } from './until-committed.ts';

/**
 * One attempt at a task, from the submitted commit to its conclusion: fetch, judge, decision, commit.
 *
 * Every effect is keyed by the submission, so that a step, the whole process and even a second run may repeat it.
 */
export async function submissionWorkflow({ submissionId, studentId }: SubmissionInput): Promise<SubmissionOutcome> {
  const progress = trackProgress(submissionId);
  const review = awaitReview(submissionId, studentId, progress);
  const interruption = awaitInterruption(submissionId, studentId, review);

  const ended = await interruption.unlessInterrupted(() => progress.parkedOnTrouble(process));
  review.close();
  const conclusion = await CancellationScope.nonCancellable(() => conclude(ended));
  progress.show('CLOSED', conclusion);
  // Whoever waits for an update's answer gets it before the workflow ends.
  await CancellationScope.nonCancellable(() => condition(allHandlersFinished));
  return { conclusion };

  async function process(): Promise<Conclusion> {
    let source = await fetchSource({ submissionId });
    if (source.status === 'remote') source = await fetchRemoteSource({ submissionId });
    // A run that was reset in Temporal, or one that is overridden, finds what has become of the submission.
    if (source.status === 'concluded') return source.conclusion;
    if (source.status === 'unavailable') return 'source-unavailable';

    const judged = await judgeSubmission({ submissionId, runNo: 1 });
    if (judged.status === 'concluded') return judged.conclusion;
    if (judged.status === 'source-unavailable') return 'source-unavailable';
    if (judged.verdict !== 'accepted') return 'checks-failed';

    return review.concluded();
  }

  /** What no review has committed is committed here; where PostgreSQL knows another end already, that is the one. */
  async function conclude(end: Conclusion | Overridden): Promise<Conclusion> {
    if (end === 'approved' || end === 'rejected') return end;
    if (typeof end === 'object') await overruled(end);
    const planned = typeof end === 'object' ? 'closed-by-admin' : end;
    const actorId = interruption.cancelledBy();
    const concluded: { conclusion: Conclusion } | undefined = await untilCommitted(() =>
      concludeWithoutReview({ submissionId, conclusion: planned, actorId }),
    );
    // Histories of 0.1.0 hold no answer here.
    return concluded?.conclusion ?? planned;
  }

  async function overruled({ overrideId }: Overridden): Promise<void> {
    try {
      await commitOverride({ overrideId });
    } catch (error) {
      // Its own workflow goes on with it, where there is one; this submission ends in any case.
      if (!(error instanceof ActivityFailure)) throw error;
      log.error('could not commit the override', { overrideId, error });
    }
  }
}
