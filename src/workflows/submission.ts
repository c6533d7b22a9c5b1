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
import type { OverrideActivities } from '../activities/overrides.ts';
import type { SubmissionActivities } from '../activities/submissions.ts';
import * as reviews from '../domain/reviews.ts';
import type { Conclusion, ParkedClass, SubmissionStage } from '../domain/submissions.ts';
import {
  cancelSubmission,
  checksStarted,
  claimReview,
  decideReview,
  overrideRequested,
  overrideSubmission,
  parkedResolved,
  releaseReview,
  resolveParked,
  reviewDecided,
  searchAttributes,
  type SubmissionInput,
  type SubmissionOutcome,
  submissionState,
  taskQueues,
} from './contract.ts';
import { untilCommitted } from './until-committed.ts';

/**
 * A database step, named for Temporal's web UI. PostgreSQL comes back, so it is repeated until it does; what a repeat cannot mend is not
 * retryable (activities/failures.ts).
 */
const databaseStep = (summary: string) =>
  proxyActivities<SubmissionActivities & OverrideActivities>({
    // Some milliseconds of work; a task that a dying worker took is given to the next one after this.
    startToCloseTimeout: '15s',
    retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '15s' },
    summary,
  });

const { fetchSource } = databaseStep('pin the submitted commit');
const { enterStage } = databaseStep('write the stage');
const { commitClaim } = databaseStep('commit the claim');
const { commitRelease } = databaseStep('give the claim back');
const { checkLease } = databaseStep('look whether the reviewer is still there');
const { recordOverrideSignal } = databaseStep('store the override that came by signal');
const { commitOverride } = databaseStep('commit the override: task, review, XP, notices');
const { openReview } = databaseStep('open the review and promise an answer time');
const { remindReviewers } = databaseStep('remind the reviewers');
const { commitDecision } = databaseStep('commit the decision: review, task, XP, notices');
const { concludeWithoutReview } = databaseStep('conclude, and open the task again');

const { fetchRemoteSource } = proxyActivities<SubmissionActivities>({
  // The fetch itself is bounded to a minute.
  startToCloseTimeout: '2m',
  retry: { initialInterval: '2s', backoffCoefficient: 2, maximumInterval: '15s' },
  summary: "fetch the student's repository into our own",
});

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

  setHandler(
    resolveParked,
    ({ action }) => {
      resolution = action;
    },
    {
      validator: (request) => {
        const isAction = request?.action === 'redrive' || request?.action === 'close';
        if (!isAction) throw refusalFailure({ kind: 'validation', message: 'action is redrive or close.' });
        if (stage !== 'PARKED') throw refusalFailure({ kind: 'invalid-state', message: 'This submission is not parked.' });
      },
    },
  );

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
        await enterStage({ submissionId, stage: 'PARKED', parkedReason, parkedClass: parkedClassOf(error) });
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

/** Whether trying again may help: as the failed step says, else whether it was tried again by itself. */
function parkedClassOf({ cause }: ActivityFailure): ParkedClass {
  if (!(cause instanceof ApplicationFailure)) return 'transient';
  const [details] = (cause.details ?? []) as ({ parkedClass?: ParkedClass } | undefined)[];
  return details?.parkedClass ?? (cause.nonRetryable ? 'permanent' : 'transient');
}

/** At most this often, in milliseconds, a lease that is not over yet is looked up. */
const leaseLookMs = 1_000;

/** Decision and claim by update and by signal, all through the reducer of domain/reviews.ts, with the reminders and the lease beside them. */
function awaitReview(submissionId: string, studentId: string, progress: ReturnType<typeof trackProgress>) {
  let gate = reviews.newReviewGate(studentId);
  /** The claim that is committed; another object for each. */
  let lease: { readonly claimedBy: string; readonly until: number } | null = null;
  /** Claims and releases that are being committed, in the order in which the gate took them: it shows the holder after the last. */
  const turns: { readonly claimedBy: string | null }[] = [];
  let lastTurn = Promise.resolve();
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
    { validator: (request) => refuse(reviews.refusalOf(gate, request)) },
  );
  setHandler(reviewDecided, (signal) => {
    const request = { ...signal, via: 'temporal' } as const;
    const refusal = reviews.refusalOf(gate, request);
    if (refusal === null) gate = reviews.decide(gate, request);
    else log.warn('ignored reviewDecided', { kind: refusal.kind });
  });

  setHandler(
    claimReview,
    async ({ actorId }) => {
      const result = await inTurn(actorId, async () => {
        const claimed = await commitClaim({ submissionId, actorId });
        if ('leaseUntil' in claimed) hold({ claimedBy: actorId, until: claimed.leaseUntil });
        return claimed;
      });
      if ('leaseUntil' in result) return { leaseUntil: result.leaseUntil };
      throw refusalFailure('kind' in result ? result : decidedAlready);
    },
    { validator: (request) => refuse(reviews.refusalOfClaim(gate, request)) },
  );
  setHandler(
    releaseReview,
    async ({ actorId }) => {
      if (gate.claimedBy === null) return;
      await inTurn(null, async () => {
        await commitRelease({ submissionId, actorId });
        hold(null);
      });
    },
    { validator: (request) => refuse(reviews.refusalOfRelease(gate, request)) },
  );

  /** Commits a claim or a release after those that came before it. One that cannot be committed leaves what stood. */
  async function inTurn<T>(claimedBy: string | null, commit: () => Promise<T>): Promise<T> {
    const turn = { claimedBy };
    turns.push(turn);
    gate = reviews.claim(gate, claimedBy);
    const committing = lastTurn.then(commit);
    lastTurn = committing.then(
      () => undefined,
      () => undefined,
    );
    try {
      return await committing;
    } finally {
      turns.splice(turns.indexOf(turn), 1);
      showHolder();
    }
  }

  /** Notes the claim that stands now. One that was committed when the review was over, or parked, is dropped by what ended it. */
  function hold(claim: typeof lease): void {
    const wasHeld = lease !== null;
    lease = gate.phase === 'open' || gate.phase === 'deciding' ? claim : null;
    if (lease !== null && !wasHeld) progress.show('UNDER_REVIEW', 'a reviewer has claimed it');
    if (lease === null && wasHeld) progress.show('AWAITING_REVIEW', 'free for a reviewer');
  }

  function showHolder(): void {
    const next = turns.at(-1) ?? lease;
    if (gate.phase === 'open' || gate.phase === 'deciding') gate = reviews.claim(gate, next?.claimedBy ?? null);
  }

  /** Opens the review and waits until a decision is committed; a refused one (role lost meanwhile) opens the gate again. */
  async function concluded(): Promise<Conclusion> {
    try {
      // Before the activity, not after: its commit may be seen, and answered, before its completion gets here.
      gate = reviews.reopen(gate, 'open');
      const plan = await openReview({ submissionId });
      if ('conclusion' in plan) return plan.conclusion;
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

  async function committed(plan: reviews.ReviewPlan): Promise<Conclusion> {
    const reminders = [
      { at: plan.remindAt, kind: 'review-reminder' },
      { at: plan.dueAt, kind: 'review-overdue' },
    ] as const;
    let reminded = 0;
    for (;;) {
      if (gate.decision !== null) {
        const request = gate.decision;
        // Not cancelled half-way: from here on it is decided. After the claims and releases that the gate took before.
        const result = await CancellationScope.nonCancellable(async () => {
          await lastTurn;
          return commitDecision({ submissionId, ...request });
        });
        if (result.status === 'committed') {
          answers.set(request.requestId, { reviewId: result.reviewId });
          return request.outcome === 'APPROVED' ? 'approved' : 'rejected';
        }
        leave('open', { kind: result.kind, message: result.message });
        if (result.conclusion !== undefined) return result.conclusion;
        continue;
      }
      const reminder = reminders[reminded];
      const watched = lease;
      const until = Math.min(reminder?.at ?? Infinity, watched?.until ?? Infinity);
      const isWoken = () => gate.decision !== null || lease !== watched;
      if (until === Infinity) await condition(isWoken);
      else if (until > Date.now()) await condition(isWoken, until - Date.now());
      if (isWoken()) continue;
      if (watched?.until === until) {
        const held = await checkLease({ submissionId });
        if ('conclusion' in held) return held.conclusion;
        // Claimed anew while this was looked up: that claim has its own time.
        if (lease !== watched) continue;
        // Where clocks differ a little, it is not looked up again and again until they agree.
        if (held.status === 'held') hold({ ...watched, until: Math.max(held.leaseUntil, Date.now() + leaseLookMs) });
        else hold(null);
        showHolder();
      } else if (reminder !== undefined) {
        reminded += 1;
        // Overdue never decides by itself.
        const ended = await remindReviewers({ submissionId, kind: reminder.kind });
        if (ended?.conclusion !== undefined) return ended.conclusion;
      }
    }
  }

  /** Answers the request that holds the gate, if one does, and frees it. */
  function leave(phase: 'open' | 'parked' | 'closed', answer: reviews.Refusal): void {
    if (gate.decision !== null && !answers.has(gate.decision.requestId)) answers.set(gate.decision.requestId, answer);
    gate = reviews.reopen(gate, phase);
    if (gate.claimedBy === null) lease = null;
  }

  return {
    concluded,
    close: () => leave('closed', decidedAlready),
    refusalOfCancel: (request: reviews.CancelRequest) => reviews.refusalOfCancel(gate, request),
    refusalOfOverride: (message: reviews.OverrideMessage) => reviews.refusalOfOverride(gate, message),
  };
}

/** An admin's override has the submission: its row says how it ends. */
interface Overridden {
  readonly overrideId: string;
}

/**
 * Ends the process where the student or an admin takes the submission back, an admin overrides it, or the workflow is cancelled in
 * Temporal's web UI.
 */
function awaitInterruption(submissionId: string, studentId: string, review: ReturnType<typeof awaitReview>) {
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

const decidedAlready: reviews.Refusal = { kind: 'already-decided', message: 'This submission is closed.' };

/** For validators: an update that is refused leaves no trace in the history. */
function refuse(refusal: reviews.Refusal | null): void {
  if (refusal !== null) throw refusalFailure(refusal);
}

/** What a refused update answers; the type is what the API maps to a problem. */
function refusalFailure(refusal: { kind: string; message: string } | undefined): ApplicationFailure {
  return ApplicationFailure.nonRetryable(refusal?.message ?? 'The decision was not taken.', refusal?.kind ?? 'invalid-state');
}
