import { type WorkflowInterceptors, workflowInfo } from '@temporalio/workflow';
import { traceIdOfHeaders, withTraceHeader } from './trace-header.ts';

/**
 * Carries the trace id from what started the workflow, or from the message that moved it last, to its activities, messages and log lines.
 * Only headers differ, which replay does not compare, so histories from before replay as well. Loaded by path: workers/create-worker.ts.
 */
export function interceptors(): WorkflowInterceptors {
  let traceId = '';
  const follow = (sent: string | null) => {
    traceId = sent ?? traceId;
  };
  return {
    inbound: [
      {
        execute(input, next) {
          // Started by hand: the run's id is 32 hex digits, too, and the same on replay.
          follow(traceIdOfHeaders(input.headers) ?? workflowInfo().runId.replaceAll('-', ''));
          return next(input);
        },
        // Only what the validator let pass comes here.
        handleUpdate(input, next) {
          follow(traceIdOfHeaders(input.headers));
          return next(input);
        },
        handleSignal(input, next) {
          follow(traceIdOfHeaders(input.headers));
          return next(input);
        },
      },
    ],
    outbound: [
      {
        scheduleActivity: (input, next) => next({ ...input, headers: withTraceHeader(input.headers, traceId) }),
        scheduleLocalActivity: (input, next) => next({ ...input, headers: withTraceHeader(input.headers, traceId) }),
        startChildWorkflowExecution: (input, next) => next({ ...input, headers: withTraceHeader(input.headers, traceId) }),
        signalWorkflow: (input, next) => next({ ...input, headers: withTraceHeader(input.headers, traceId) }),
        continueAsNew: (input, next) => next({ ...input, headers: withTraceHeader(input.headers, traceId) }),
        getLogAttributes: (input, next) => next({ ...input, traceId }),
      },
    ],
  };
}
