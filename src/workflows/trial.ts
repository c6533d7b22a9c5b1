import { ActivityFailure, proxyActivities, TimeoutFailure } from '@temporalio/workflow';
import type { TrialJudgeActivities, TrialRunActivities } from '../activities/trial-runs.ts';
import { taskQueues, type TrialInput } from './contract.ts';

const { failTrialRun } = proxyActivities<TrialRunActivities>({
  // Repeated until PostgreSQL is back, or the workflow's own time is over.
  startToCloseTimeout: '15s',
  retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '15s' },
  summary: 'tell why it could not be run',
});

/** Code that a student tries: one run in the sandbox, for which nobody waits long. */
export async function trialWorkflow({ runId, queueMs }: TrialInput): Promise<void> {
  const { makeTrialRun } = proxyActivities<TrialJudgeActivities>({
    taskQueue: taskQueues.judging,
    // A queue without judges, or full of submissions, ends in an answer.
    scheduleToStartTimeout: queueMs,
    // A sandbox under load starts in up to 30 s and may take 25 s with a run of 10 s.
    startToCloseTimeout: '60s',
    // The judge beats every 2 s; one that died is noticed soon enough to try another.
    heartbeatTimeout: '10s',
    // Once more, for passing trouble of a sandbox; after that the student asks again, or goes on.
    retry: { maximumAttempts: 2, initialInterval: '1s' },
    // Below the submissions, which have the middle one (3).
    priority: { priorityKey: 4 },
    summary: 'run the code',
  });
  try {
    await makeTrialRun({ runId });
  } catch (error) {
    if (!(error instanceof ActivityFailure)) throw error;
    const isUnheard = error.cause instanceof TimeoutFailure && error.cause.timeoutType === 'SCHEDULE_TO_START';
    await failTrialRun({ runId, reason: isUnheard ? 'no-judge' : 'trouble' });
  }
}
