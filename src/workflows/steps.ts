import { isCancellation, patched, proxyActivities, proxyLocalActivities, workflowInfo } from '@temporalio/workflow';
import type { JudgingActivities } from '../activities/judging.ts';
import type { OverrideActivities } from '../activities/overrides.ts';
import type { SubmissionActivities } from '../activities/submissions.ts';
import { currentFlow, flowMemo, taskQueues } from './contract.ts';

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

export const { enterStage } = databaseStep('write the stage');
export const { checkLease } = databaseStep('look whether the reviewer is still there');
export const { recordOverrideSignal } = databaseStep('store the override that came by signal');
export const { commitOverride } = databaseStep('commit the override: task, review, XP, notices');
export const { openReview } = databaseStep('open the review and promise an answer time');
export const { remindReviewers } = databaseStep('remind the reviewers');
export const { commitDecision } = databaseStep('commit the decision: review, task, XP, notices');

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

/**
 * A database step made once by the worker that runs the workflow. Not repeated here: while PostgreSQL is away each repeat would be an
 * event, so the step above waits for it.
 */
const localStep = (summary: string) =>
  proxyLocalActivities<SubmissionActivities>({
    // Other messages to this submission wait meanwhile.
    startToCloseTimeout: '3s',
    retry: { maximumAttempts: 1 },
    summary,
  });

/**
 * The flow that this run was started with; 0: an older one, whose changes `patched` tells of.
 *
 * @throws Error for one that this version does not know, as the api was upgraded first: not a failure of the workflow but of its task,
 * which is tried again until a worker that knows it is there.
 */
export function startedFlow(): number {
  const flow = (workflowInfo().memo?.[flowMemo] as number | undefined) ?? 0;
  if (flow > currentFlow) throw new Error(`a newer version started this run (flow ${flow}; this worker knows ${currentFlow})`);
  return flow;
}

/**
 * Makes a database step with two events in place of six, and without a way through the server and back, where PostgreSQL answers at once;
 * else by the step that waits for it. A commit whose answer was lost (the worker died, or was slow) is made again, which changes nothing.
 *
 * Not for opening the review: where a worker dies before its workflow task is complete, a decision that has come meanwhile would be looked
 * at before that step is repeated, and refused.
 *
 * @param isLocal whether the run does so: a history from before the change does not.
 */
function locallyFirst<I, R>(
  isLocal: () => boolean,
  summary: string,
  pick: (steps: ReturnType<typeof localStep>) => (input: I) => Promise<R>,
): (input: I) => Promise<R> {
  const local = pick(localStep(summary));
  const step = pick(databaseStep(summary));
  return async (input) => {
    if (!isLocal()) return step(input);
    try {
      return await local(input);
    } catch (error) {
      if (isCancellation(error)) throw error;
      return step(input);
    }
  };
}

/** Nothing has happened yet, and nobody should wait for it. */
export const fetchSource = locallyFirst(
  () => startedFlow() >= 2 || patched('find-source-locally'),
  'look for the submitted commit',
  (steps) => steps.fetchSource,
);
/** Most submissions end here. */
export const concludeWithoutReview = locallyFirst(
  () => startedFlow() >= 3,
  'conclude, and open the task again',
  (steps) => steps.concludeWithoutReview,
);
const areClaimsLocal = () => startedFlow() >= 2 || patched('claims-locally');
/** Reviewers claim and release so often that a history would grow long. */
export const commitClaim = locallyFirst(areClaimsLocal, 'commit the claim', (steps) => steps.commitClaim);
export const commitRelease = locallyFirst(areClaimsLocal, 'give the claim back', (steps) => steps.commitRelease);
