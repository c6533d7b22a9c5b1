import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { DomainError } from '../domain/errors.ts';
import { deliveryWorkflowId, taskQueues } from '../workflows/contract.ts';
import type { deliveryWorkflow } from '../workflows/delivery.ts';

/** Starts the workflow of one delivery; repeating it is safe. @throws DomainError `unavailable`. */
export function createDeliveryStarter(client: Client): (deliveryId: string) => Promise<void> {
  return async (deliveryId) => {
    try {
      await client.connection.withDeadline(Date.now() + 2_000, () =>
        client.workflow.start<typeof deliveryWorkflow>('deliveryWorkflow', {
          taskQueue: taskQueues.submissions,
          workflowId: deliveryWorkflowId(deliveryId),
          args: [{ deliveryId }],
          workflowIdConflictPolicy: 'USE_EXISTING',
          workflowIdReusePolicy: 'REJECT_DUPLICATE',
        }),
      );
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) return;
      throw new DomainError('unavailable', 'The delivery could not be started now.', { cause: error });
    }
  };
}
