import { type Client, WorkflowNotFoundError } from '@temporalio/client';

/** What reconciling asks of Temporal and does there. */
export interface WorkflowInspection {
  /** Whether a workflow runs under this id. @throws where Temporal does not answer: that says nothing of the workflow. */
  isRunning(workflowId: string): Promise<boolean>;
  /** Ids of the submission workflows that run, as Temporal's list has them (some seconds behind). */
  listRunning(): AsyncIterable<string>;
  /** Ends a workflow that has nothing left to do. */
  end(workflowId: string, reason: string): Promise<void>;
}

export function createWorkflowInspection(client: Client): WorkflowInspection {
  return {
    async isRunning(workflowId) {
      try {
        const { status } = await client.workflow.getHandle(workflowId).describe();
        return status.name === 'RUNNING' || status.name === 'PAUSED';
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return false;
        throw error;
      }
    },

    async *listRunning() {
      const query = "WorkflowType = 'submissionWorkflow' AND ExecutionStatus = 'Running'";
      for await (const { workflowId } of client.workflow.list({ query })) yield workflowId;
    },

    async end(workflowId, reason) {
      try {
        await client.workflow.getHandle(workflowId).terminate(reason);
      } catch (error) {
        if (!(error instanceof WorkflowNotFoundError)) throw error;
      }
    },
  };
}
