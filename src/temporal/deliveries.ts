import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { DomainError } from '../domain/errors.ts';
import type { DeliveryToStart } from '../domain/notifications.ts';
import { deliveryWorkflowId, taskQueues } from '../workflows/contract.ts';
import type { deliveryWorkflow } from '../workflows/delivery.ts';

export { deliveryWorkflowId };

/** Starts the workflow of one delivery; repeating it is safe. @throws DomainError `unavailable`. */
export function createDeliveryStarter(client: Client): (delivery: DeliveryToStart) => Promise<void> {
  return async ({ id: deliveryId, workflowRunNo }) => {
    try {
      await client.connection.withDeadline(Date.now() + 2_000, () =>
        client.workflow.start<typeof deliveryWorkflow>('deliveryWorkflow', {
          taskQueue: taskQueues.submissions,
          workflowId: deliveryWorkflowId(deliveryId, workflowRunNo),
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
