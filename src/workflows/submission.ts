import {
  ActivityFailure,
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  isCancellation,
  log,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import type { JudgingActivities } from '../activities/judging.ts';
import type { SubmissionActivities } from '../activities/submissions.ts';
import * as reviews from '../domain/reviews.ts';
import type { Conclusion, SubmissionStage } from '../domain/submissions.ts';
import {
  cancelSubmission,
  checksStarted,
  decideReview,
  parkedResolved,
  reviewDecided,
  searchAttributes,
  type SubmissionInput,
  type SubmissionOutcome,
  submissionState,
  taskQueues,
} from './contract.ts';

/**
 * A database step, named for Temporal's web UI. PostgreSQL comes back, so it is repeated until it does; what a repeat cannot mend is not
 * retryable (activities/failures.ts).
 */
const databaseStep = (summary: string) =>
  proxyActivities<SubmissionActivities>({
    // Some milliseconds of work; a task that a dying worker took is given to the next one after this.
    startToCloseTimeout: '15s',
    retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '15s' },
    summary,
  });

const { fetchSource } = databaseStep('pin the submitted commit');
const { enterStage } = databaseStep('write the stage');
const { openReview } = databaseStep('open the review and promise an answer time');
const { remindReviewers } = databaseStep('remind the reviewers');
const { commitDecision } = databaseStep('commit the decision: review, task, XP, notices');
const { concludeWithoutReview } = databaseStep('conclude, and open the task again');

const { judgeSubmission } = proxyActivities<JudgingActivities>({
  taskQueue: taskQueues.judging,
  // Waiting in the queue is no fault, so only the run itself is bounded: the worker ends a judging after 15 minutes by itself.
  startToCloseTimeout: '16m',
  // The judge beats every 2 s; a dead worker is noticed after 10.
  heartbeatTimeout: '10s',
  // PostgreSQL or the api away for up to 25 minutes is waited for; a submission that kills its worker again and again ends parked.
  // The sandbox's own trouble gives up much earlier: activities/failures.ts.
  retry: { initialInterval: '2s', backoffCoefficient: 2, maximumInterval: '15s', maximumAttempts: 100 },
  summary: 'lint and tests in the sandbox',
});

/**
 * One attempt at a task, from the submitted commit to its conclusion: fetch, judge, decision, commit.
 *
 * Every effect is keyed by the submission, so that a step, the whole process and even a second run may repeat it.
 */
export async function submissionWorkflow({ submissionId, studentId }: SubmissionInput): Promise<SubmissionOutcome> {
  const progress = trackProgress(submissionId);
  const review = awaitReview(submissionId, studentId, progress);
  const cancellation = awaitCancellation(studentId, review);

  const conclusion = await cancellation.unlessCancelled(() => progress.parkedOnTrouble(process));
  review.close();
  if (conclusion !== 'approved' && conclusion !== 'rejected') {
    const actorId = cancellation.cancelledBy();
    await CancellationScope.nonCancellable(() => concludeWithoutReview({ submissionId, conclusion, actorId }));
  }
  progress.show('CLOSED', conclusion);
  // Whoever waits for an update's answer gets it before the workflow ends.
  await CancellationScope.nonCancellable(() => condition(allHandlersFinished));
  return { conclusion };

  async function process(): Promise<Conclusion> {
    const source = await fetchSource({ submissionId });
    // A run that was reset in Temporal finds what the first one did.
    if (source.status === 'concluded') return source.conclusion;
    if (source.status === 'unavailable') return 'source-unavailable';

    const judged = await judgeSubmission({ submissionId, runNo: 1 });
    if (judged.status === 'source-unavailable') return 'source-unavailable';
    if (judged.verdict !== 'accepted') return 'checks-failed';

    return review.concluded();
  }
}

/** Shows the stage to admins, and parks the submission while our own trouble lasts. */
function trackProgress(submissionId: string) {
  let stage: SubmissionStage = 'QUEUED';
  let parkedReason: string | null = null;
  let resolution: 'redrive' | 'close' | null = null;

  setHandler(submissionState, () => ({ stage, parkedReason }));
  setHandler(parkedResolved, (request) => {
    if (stage === 'PARKED' && (request?.action === 'redrive' || request?.action === 'close')) resolution = request.action;
    else log.warn('ignored parkedResolved', { stage });
  });

  setHandler(checksStarted, () => {
    if (stage === 'QUEUED') show('CHECKING', 'the checks run');
  });

  function show(next: SubmissionStage, details: string): void {
    stage = next;
    upsertSearchAttributes([{ key: searchAttributes.submissionStatus, value: next }]);
    setCurrentDetails(`**${next}** — ${details}`);
  }

  /**
   * Runs the process; where it fails for good it is our trouble: the submission waits for an admin's word. A redrive runs all of it
   * again: what was done before is found done.
   */
  async function parkedOnTrouble(process: () => Promise<Conclusion>): Promise<Conclusion> {
    for (;;) {
      try {
        return await process();
      } catch (error) {
        if (!(error instanceof ActivityFailure) || isCancellation(error)) throw error;
        parkedReason = error.cause?.message ?? error.message;
        resolution = null;
        show('PARKED', `our own trouble: ${parkedReason}. Signal parkedResolved {"action": "redrive"} or {"action": "close"}.`);
        await enterStage({ submissionId, stage: 'PARKED', parkedReason });
        await condition(() => resolution !== null);
        parkedReason = null;
        if (resolution === 'close') return 'closed-by-admin';
        await enterStage({ submissionId, stage: 'QUEUED' });
        show('QUEUED', 'waits for the checks again');
      }
    }
  }

  show('QUEUED', 'waits for the checks');
  return { show, parkedOnTrouble };
}

/** The decision by update and by signal, both through the reducer of domain/reviews.ts, and the reminders beside it. */
function awaitReview(submissionId: string, studentId: string, progress: ReturnType<typeof trackProgress>) {
  let gate = reviews.newReviewGate(studentId);
  const answers = new Map<string, { reviewId: string } | reviews.Refusal>();

  setHandler(
    decideReview,
    async (request) => {
      // Asked again after a refusal: the old answer is not the answer to this try.
      if (gate.decision === null) answers.delete(request.requestId);
      gate = reviews.decide(gate, request);
      await condition(() => answers.has(request.requestId));
      const answer = answers.get(request.requestId);
      if (answer === undefined || 'kind' in answer) throw refusalFailure(answer);
      return answer;
    },
    {
      validator: (request) => {
        const refusal = reviews.refusalOf(gate, request);
        if (refusal !== null) throw refusalFailure(refusal);
      },
    },
  );
  setHandler(reviewDecided, (signal) => {
    const request = { ...signal, via: 'temporal' } as const;
    const refusal = reviews.refusalOf(gate, request);
    if (refusal === null) gate = reviews.decide(gate, request);
    else log.warn('ignored reviewDecided', { kind: refusal.kind });
  });

  /** Opens the review and waits until a decision is committed; a refused one (role lost meanwhile) opens the gate again. */
  async function concluded(): Promise<'approved' | 'rejected'> {
    try {
      // Before the activity, not after: its commit may be seen, and answered, before its completion gets here.
      gate = reviews.reopen(gate, 'open');
      const plan = await openReview({ submissionId });
      progress.show(
        'AWAITING_REVIEW',
        'signal reviewDecided {"requestId": "any-unique-text", "actorId": "<reviewer id>", "outcome": "APPROVED"}',
      );
      upsertSearchAttributes([{ key: searchAttributes.reviewDueAt, value: new Date(plan.dueAt) }]);
      return await committed(plan);
    } catch (error) {
      // Who waits for an answer gets one before the submission is parked, or is over.
      leave('parked', { kind: 'invalid-state', message: 'The decision could not be committed; an admin looks at it.' });
      throw error;
    }
  }

  async function committed(plan: reviews.ReviewPlan): Promise<'approved' | 'rejected'> {
    for (;;) {
      const request = await decidedOrReminded(plan);
      // Not cancelled half-way: from here on it is decided.
      const result = await CancellationScope.nonCancellable(() => commitDecision({ submissionId, ...request }));
      if (result.status === 'committed') {
        answers.set(request.requestId, { reviewId: result.reviewId });
        return request.outcome === 'APPROVED' ? 'approved' : 'rejected';
      }
      leave('open', { kind: result.kind, message: result.message });
    }
  }

  /** Waits for a decision; on the plan's instants it reminds. Overdue never decides by itself. */
  async function decidedOrReminded(plan: reviews.ReviewPlan): Promise<reviews.DecisionRequest> {
    const reminders = [
      { at: plan.remindAt, kind: 'review-reminder' },
      { at: plan.dueAt, kind: 'review-overdue' },
    ] as const;
    for (const { at, kind } of reminders) {
      const waitMs = at - Date.now();
      if (waitMs > 0) await condition(() => gate.decision !== null, waitMs);
      if (gate.decision !== null) return gate.decision;
      await remindReviewers({ submissionId, kind });
    }
    for (;;) {
      if (gate.decision !== null) return gate.decision;
      await condition(() => gate.decision !== null);
    }
  }

  /** Answers the request that holds the gate, if one does, and frees it. */
  function leave(phase: 'open' | 'parked' | 'closed', answer: reviews.Refusal): void {
    if (gate.decision !== null && !answers.has(gate.decision.requestId)) answers.set(gate.decision.requestId, answer);
    gate = reviews.reopen(gate, phase);
  }

  return {
    concluded,
    close: () => leave('closed', { kind: 'already-decided', message: 'This submission is closed.' }),
    refusalOfCancel: (request: reviews.CancelRequest) => reviews.refusalOfCancel(gate, request),
  };
}

/** Ends the process where the student or an admin takes the submission back, or the workflow is cancelled in Temporal's web UI. */
function awaitCancellation(studentId: string, review: ReturnType<typeof awaitReview>) {
  const scope = new CancellationScope();
  let cancelledBy: string | null = null;

  setHandler(
    cancelSubmission,
    ({ actorId }) => {
      cancelledBy = actorId;
      // From here on no decision is taken, however long stopping and concluding last.
      review.close();
      scope.cancel();
    },
    {
      validator: (request) => {
        const refusal = review.refusalOfCancel(request);
        if (refusal !== null) throw refusalFailure(refusal);
      },
    },
  );

  async function unlessCancelled(process: () => Promise<Conclusion>): Promise<Conclusion> {
    const cancelled = () => (cancelledBy === studentId ? 'cancelled' : 'closed-by-admin');
    try {
      const conclusion = await scope.run(process);
      // A judge that was done before it heard of the end must not charge the student, who was told that it costs nothing.
      const isReviewed = conclusion === 'approved' || conclusion === 'rejected';
      return scope.consideredCancelled && !isReviewed ? cancelled() : conclusion;
    } catch (error) {
      if (isCancellation(error)) return cancelled();
      throw error;
    }
  }

  return { unlessCancelled, cancelledBy: () => cancelledBy };
}

/** What a refused update answers; the type is what the API maps to a problem. */
function refusalFailure(refusal: { kind: string; message: string } | undefined): ApplicationFailure {
  return ApplicationFailure.nonRetryable(refusal?.message ?? 'The decision was not taken.', refusal?.kind ?? 'invalid-state');
}
