import type { Orm } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import { commitOverride, selectOverriddenWorkflow } from '../services/overrides.ts';
import type { SubmissionWorkflows } from '../temporal/submissions.ts';
import { withFailures } from './failures.ts';

export type OverrideActivities = ReturnType<typeof createOverrideActivities>;

export function createOverrideActivities({ orm, workflows }: { orm: Orm; workflows: Pick<SubmissionWorkflows, 'override'> }) {
  return withFailures({
    /** Tells the workflow of the open submission, where there is one, that it is overridden. A decision under way is committed first. */
    async stopSubmission({ overrideId }: { overrideId: string }): Promise<void> {
      const workflowId = await selectOverriddenWorkflow(orm.em.fork(), overrideId);
      if (workflowId === null) return;
      try {
        await workflows.override(workflowId, { overrideId });
      } catch (error) {
        if (!(error instanceof DomainError) || error.kind !== 'already-decided') throw error;
        throw new DomainError('unavailable', 'A decision is being committed.', { cause: error });
      }
    },

    commitOverride: ({ overrideId }: { overrideId: string }): Promise<void> => commitOverride(orm.em.fork(), overrideId),
  });
}
