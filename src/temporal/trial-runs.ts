import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { DomainError } from '../domain/errors.ts';
import { trialDeadlineMs, trialQueueMs } from '../domain/trial-runs.ts';
import { taskQueues, trialWorkflowId } from '../workflows/contract.ts';
import type { trialWorkflow } from '../workflows/trial.ts';

export interface TrialWorkflows {
  /** Starts the workflow of one trial run; repeating it is safe. @throws DomainError `unavailable` where Temporal does not answer in 2 s. */
  start(trial: { runId: string; userId: string }): Promise<void>;
}

const startDeadlineMs = 2_000;

export function createTrialWorkflows(client: Client): TrialWorkflows {
  return {
    async start({ runId, userId }) {
      try {
        await client.connection.withDeadline(Date.now() + startDeadlineMs, () =>
          client.workflow.start<typeof trialWorkflow>('trialWorkflow', {
            taskQueue: taskQueues.submissions,
            workflowId: trialWorkflowId(runId),
            args: [{ runId, queueMs: trialQueueMs }],
            // Users take turns at the judges, at this as with their submissions.
            priority: { fairnessKey: userId },
            // Without workers it does not wait to surprise somebody later.
            workflowExecutionTimeout: trialDeadlineMs,
            workflowIdConflictPolicy: 'USE_EXISTING',
            workflowIdReusePolicy: 'REJECT_DUPLICATE',
          }),
        );
      } catch (error) {
        if (error instanceof WorkflowExecutionAlreadyStartedError) return;
        throw new DomainError('unavailable', 'Code cannot be tried now. Try again in a moment.', { cause: error });
      }
    },
  };
}
