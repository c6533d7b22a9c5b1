import { ActivityFailure, isCancellation, log, sleep } from '@temporalio/workflow';

/**
 * Repeats a step whose effect was promised until it is there. A step that fails for good is our own fault: it is waited out, also until
 * a version that mends it is there, and Temporal's web UI shows it meanwhile.
 */
export async function untilCommitted<T>(commit: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await commit();
    } catch (error) {
      if (!(error instanceof ActivityFailure) || isCancellation(error)) throw error;
      log.error('what was promised could not be committed; trying again', { error });
      await sleep('1m');
    }
  }
}
