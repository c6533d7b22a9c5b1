import {
  ActivityFailure,
  allHandlersFinished,
  ApplicationFailure,
  condition,
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
 * A database step, named for Temporal's web UI. PostgreSQL comes back, so it is repeated until it does; only a refusal of ours (not
 * retryable) ends it.
 */
const databaseStep = (summary: string) =>
  proxyActivities<SubmissionActivities>({
    startToCloseTimeout: '30s',
    retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '15s' },
    summary,
  });

const { enterStage } = databaseStep('write the stage');
const { openReview } = databaseStep('open the review and promise an answer time');
const { remindReviewers } = databaseStep('remind the reviewers');
const { commitDecision } = databaseStep('commit the decision: review, task, XP, notices');
const { concludeWithoutReview } = databaseStep('conclude, and open the task again');
const { closeByAdmin } = databaseStep('close by an admin, at no cost to the student');

/** Fetching and judging: the first try and up to three more after 2, 4 and 8 s, then an admin looks. Git may take its 60 s timeout. */
const sandboxRetry = { initialInterval: '2s', backoffCoefficient: 2, maximumAttempts: 4 } as const;

const { fetchSource } = proxyActivities<SubmissionActivities>({
  startToCloseTimeout: '90s',
  retry: sandboxRetry,
  summary: 'pin the submitted commit',
});

const { judgeSubmission } = proxyActivities<JudgingActivities>({
  taskQueue: taskQueues.judging,
  // Waiting in the queue is no fault, so only the run itself is bounded: the worker ends a judging after 15 minutes by itself.
  startToCloseTimeout: '16m',
  // The judge beats every 2 s; a dead worker is noticed after 10.
  heartbeatTimeout: '10s',
  retry: sandboxRetry,
  summary: 'lint and tests in the sandbox',
});

/**
 * One attempt at a task, from the submitted commit to its conclusion: fetch, judge, decision, commit.
 *
 * Every effect is an activity that is keyed by the submission, so a reset or a second run changes nothing twice.
 */
export async function submissionWorkflow({ submissionId, studentId }: SubmissionInput): Promise<SubmissionOutcome> {
  const progress = trackProgress(submissionId);
  const review = awaitReview(submissionId, studentId, progress);

  const source = await progress.parkedOnTrouble(() => fetchSource({ submissionId }));
  if (source === 'closed-by-admin') return conclude('closed-by-admin');
  if (source.status === 'unavailable') return conclude('source-unavailable');

  const judged = await progress.parkedOnTrouble(() => judgeSubmission({ submissionId, runNo: 1 }));
  if (judged === 'closed-by-admin') return conclude('closed-by-admin');
  if (judged.status === 'source-unavailable') return conclude('source-unavailable');
  if (judged.verdict !== 'accepted') return conclude('checks-failed');

  return finish(await review.concluded());

  async function conclude(conclusion: 'closed-by-admin' | 'source-unavailable' | 'checks-failed'): Promise<SubmissionOutcome> {
    if (conclusion === 'closed-by-admin') await closeByAdmin({ submissionId });
    else await concludeWithoutReview({ submissionId, conclusion });
    return finish(conclusion);
  }

  async function finish(conclusion: Conclusion): Promise<SubmissionOutcome> {
    review.close();
    progress.show('CLOSED', conclusion);
    // Whoever waits for an update's answer gets it before the workflow ends.
    await condition(allHandlersFinished);
    return { conclusion };
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

  /** Runs `step`; where it fails for good it is our trouble: the submission waits for an admin's word, and then the step runs again. */
  async function parkedOnTrouble<T>(step: () => Promise<T>): Promise<T | 'closed-by-admin'> {
    for (;;) {
      try {
        return await step();
      } catch (error) {
        if (!(error instanceof ActivityFailure)) throw error;
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
  const answers = new Map<string, { reviewId: string } | reviews.Refusal | { kind: 'forbidden'; message: string }>();

  setHandler(
    decideReview,
    async (request) => {
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
    const plan = await openReview({ submissionId });
    gate = { ...gate, phase: 'open' };
    progress.show(
      'AWAITING_REVIEW',
      'signal reviewDecided {"requestId": "any-unique-text", "actorId": "<reviewer id>", "outcome": "APPROVED"}',
    );
    upsertSearchAttributes([{ key: searchAttributes.reviewDueAt, value: new Date(plan.dueAt) }]);
    for (;;) {
      const request = await decidedOrReminded(plan);
      const result = await commitDecision({ submissionId, ...request });
      if (result.status === 'committed') {
        answers.set(request.requestId, { reviewId: result.reviewId });
        return request.outcome === 'APPROVED' ? 'approved' : 'rejected';
      }
      answers.set(request.requestId, { kind: result.kind, message: result.message });
      gate = reviews.reopen(gate);
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
      if (waitMs > 0 && (await condition(() => gate.decision !== null, waitMs))) break;
      if (gate.decision === null) await remindReviewers({ submissionId, kind });
    }
    await condition(() => gate.decision !== null);
    if (gate.decision === null) throw ApplicationFailure.nonRetryable('no decision', 'invalid-state');
    return gate.decision;
  }

  function close(): void {
    gate = { ...gate, phase: 'closed' };
  }

  return { concluded, close };
}

/** What a refused update answers; the type is what the API maps to a problem. */
function refusalFailure(refusal: { kind: string; message: string } | undefined): ApplicationFailure {
  return ApplicationFailure.nonRetryable(refusal?.message ?? 'The decision was not taken.', refusal?.kind ?? 'invalid-state');
}
