import { proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { JudgingActivities } from '../activities/judging.ts';
import type { OverrideActivities } from '../activities/overrides.ts';
import type { SubmissionActivities } from '../activities/submissions.ts';
import { taskQueues } from './contract.ts';

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

/**
 * A database step that answers within milliseconds, made by the worker that runs the workflow: no way through the server and back, and
 * one event instead of six. Where PostgreSQL is away for longer, the workflow waits between its tries.
 */
const localStep = proxyLocalActivities<SubmissionActivities>({
  startToCloseTimeout: '15s',
  retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '15s' },
  localRetryThreshold: '10s',
});

export const findSource = localStep.fetchSource;
/** As histories of 0.1.0 and 0.2.0 have it. */
export const { fetchSource } = databaseStep('pin the submitted commit');
export const { enterStage } = databaseStep('write the stage');
export const { commitClaim } = databaseStep('commit the claim');
export const { commitRelease } = databaseStep('give the claim back');

/**
 * The same two, once, by the worker that runs the workflow: reviewers claim and release so often that a history would grow long. Not
 * repeated here: while PostgreSQL is away each repeat would be an event, so the steps above wait for it.
 */
export const localClaims = proxyLocalActivities<SubmissionActivities>({
  // Other messages to this submission wait meanwhile.
  startToCloseTimeout: '3s',
  retry: { maximumAttempts: 1 },
});
export const { checkLease } = databaseStep('look whether the reviewer is still there');
export const { recordOverrideSignal } = databaseStep('store the override that came by signal');
export const { commitOverride } = databaseStep('commit the override: task, review, XP, notices');
export const { openReview } = databaseStep('open the review and promise an answer time');
export const { remindReviewers } = databaseStep('remind the reviewers');
export const { commitDecision } = databaseStep('commit the decision: review, task, XP, notices');
export const { concludeWithoutReview } = databaseStep('conclude, and open the task again');

export const { fetchRemoteSource } = proxyActivities<SubmissionActivities>({
  // The fetch itself is bounded to a minute.
  startToCloseTimeout: '2m',
  retry: { initialInterval: '2s', backoffCoefficient: 2, maximumInterval: '15s' },
  summary: "fetch the student's repository into our own",
});

export const { judgeSubmission } = proxyActivities<JudgingActivities>({
  taskQueue: taskQueues.judging,
  // Waiting in the queue is no fault, so only the run itself is bounded: the worker ends a judging after 15 minutes by itself.
  startToCloseTimeout: '16m',
  // The judge beats every 2 s; a dead worker is noticed after 10.
  heartbeatTimeout: '10s',
  // PostgreSQL or the api away for up to 25 minutes is waited for; a submission that kills its worker again and again ends parked.
  // The sandbox's own trouble is counted by itself and gives up much earlier: activities/sandbox-trouble.ts.
  retry: { initialInterval: '2s', backoffCoefficient: 2, maximumInterval: '15s', maximumAttempts: 100 },
  summary: 'lint and tests in the sandbox',
});
