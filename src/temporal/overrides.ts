import type { Client } from '@temporalio/client';
import { DomainError } from '../domain/errors.ts';
import { overrideWorkflowId, taskQueues } from '../workflows/contract.ts';
import type { overrideWorkflow } from '../workflows/override.ts';

export interface OverrideWorkflows {
  /** Starts the workflow of one override; repeating it is safe. @throws DomainError `unavailable`. */
  start(overrideId: string): Promise<void>;
  /** Waits up to 5 s for it to end. Returns whether it has. */
  ended(overrideId: string): Promise<boolean>;
}

const startDeadlineMs = 2_000;
const resultDeadlineMs = 5_000;

export function createOverrideWorkflows(client: Client): OverrideWorkflows {
  return {
    async start(overrideId) {
      try {
        await client.connection.withDeadline(Date.now() + startDeadlineMs, () =>
          client.workflow.start<typeof overrideWorkflow>('overrideWorkflow', {
            taskQueue: taskQueues.submissions,
            workflowId: overrideWorkflowId(overrideId),
            args: [{ overrideId }],
            workflowIdConflictPolicy: 'USE_EXISTING',
            // Applied once however often it runs, so one that was terminated may simply be started again.
            workflowIdReusePolicy: 'ALLOW_DUPLICATE',
          }),
        );
      } catch (error) {
        throw new DomainError('unavailable', 'The override could not be started now.', { cause: error });
      }
    },

    async ended(overrideId) {
      try {
        const handle = client.workflow.getHandle(overrideWorkflowId(overrideId));
        await client.connection.withDeadline(Date.now() + resultDeadlineMs, () => handle.result());
        return true;
      } catch {
        return false;
      }
    },
  };
}
