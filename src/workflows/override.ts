import { ActivityFailure, isCancellation, log, proxyActivities } from '@temporalio/workflow';
import type { OverrideActivities } from '../activities/overrides.ts';
import type { OverrideInput } from './contract.ts';
import { untilCommitted } from './until-committed.ts';

const { stopSubmission } = proxyActivities<OverrideActivities>({
  startToCloseTimeout: '15s',
  // A decision that is being committed is waited for; a workflow that does not answer at all must not hold up an admin for ever.
  scheduleToCloseTimeout: '1m',
  retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '5s' },
  summary: 'take the open submission out of its workflow',
});

const { commitOverride } = proxyActivities<OverrideActivities>({
  startToCloseTimeout: '15s',
  retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '15s' },
  summary: 'commit the override: task, review, XP, notices',
});

/**
 * An admin's override: stops the submission that is open, then commits. Works at any step, also where no submission exists or all are
 * closed, and where the open submission's workflow is stuck: its later steps find the submission ended.
 */
export async function overrideWorkflow({ overrideId }: OverrideInput): Promise<void> {
  try {
    await stopSubmission({ overrideId });
  } catch (error) {
    if (!(error instanceof ActivityFailure) || isCancellation(error)) throw error;
    log.warn('the submission could not be stopped; it is overridden all the same', { overrideId });
  }
  await untilCommitted(() => commitOverride({ overrideId }));
}
