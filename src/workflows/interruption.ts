import { CancellationScope, isCancellation, log, setHandler } from '@temporalio/workflow';
import * as reviews from '../domain/reviews.ts';
import type { Conclusion } from '../domain/submissions.ts';
import { cancelSubmission, overrideRequested, overrideSubmission } from './contract.ts';
import { refuse } from './refusals.ts';
import type { awaitReview } from './review.ts';
import { recordOverrideSignal } from './steps.ts';

/** An admin's override has the submission: its row says how it ends. */
export interface Overridden {
  readonly overrideId: string;
}

/**
 * Ends the process where the student or an admin takes the submission back, an admin overrides it, or the workflow is cancelled in
 * Temporal's web UI.
 */
export function awaitInterruption(submissionId: string, studentId: string, review: ReturnType<typeof awaitReview>) {
  const scope = new CancellationScope();
  let cancelledBy: string | null = null;
  let overridden: Overridden | null = null;

  function interrupt(): void {
    // From here on no decision is taken, however long stopping and concluding last.
    review.close();
    scope.cancel();
  }

  setHandler(
    cancelSubmission,
    ({ actorId }) => {
      cancelledBy = actorId;
      interrupt();
    },
    { validator: (request) => refuse(review.refusalOfCancel(request)) },
  );
  setHandler(
    overrideSubmission,
    ({ overrideId }) => {
      overridden = { overrideId };
      interrupt();
    },
    { validator: (message) => refuse(review.refusalOfOverride(message)) },
  );
  setHandler(overrideRequested, async (signal) => {
    if (!reviews.isOverrideSignal(signal)) {
      log.warn('ignored overrideRequested: it takes requestId, actorId, outcome APPROVED or REJECTED, and reason');
      return;
    }
    try {
      // Stored like one that came by the API: from there on both go the same way, and come back as `overrideSubmission`.
      const result = await CancellationScope.nonCancellable(() => recordOverrideSignal({ ...signal, submissionId }));
      if (result.status === 'ignored') log.warn('ignored overrideRequested', { reason: result.message });
    } catch (error) {
      // Thrown on, it would fail the workflow: a signal has nobody to answer.
      log.error('could not store overrideRequested', { error });
    }
  });

  async function unlessInterrupted(process: () => Promise<Conclusion>): Promise<Conclusion | Overridden> {
    const interrupted = () => overridden ?? (cancelledBy === studentId ? 'cancelled' : 'closed-by-admin');
    try {
      const conclusion = await scope.run(process);
      // A judge that was done before it heard of the end must not charge the student, who was told that it costs nothing.
      const isReviewed = conclusion === 'approved' || conclusion === 'rejected';
      return scope.consideredCancelled && !isReviewed ? interrupted() : conclusion;
    } catch (error) {
      if (isCancellation(error)) return interrupted();
      throw error;
    }
  }

  return { unlessInterrupted, cancelledBy: () => cancelledBy };
}
