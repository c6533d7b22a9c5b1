import { log } from '@temporalio/activity';
import type { WorkflowClientInterceptor } from '@temporalio/client';
import type { ActivityInterceptors } from '@temporalio/worker';
import { currentTraceId, traceFields, withTrace } from '../trace.ts';
import { traceIdOfHeaders, withTraceHeader } from '../workflows/trace-header.ts';

/** Sends the caller's trace id along with every start, signal and update. */
export const sendTrace: WorkflowClientInterceptor = {
  start: (input, next) => next(traced(input)),
  startWithDetails: (input, next) => next(traced(input)),
  signal: (input, next) => next(traced(input)),
  signalWithStart: (input, next) => next(traced(input)),
  startUpdate: (input, next) => next(traced(input)),
  startUpdateWithStart: (input, next) =>
    next({
      ...input,
      workflowStartHeaders: withTraceHeader(input.workflowStartHeaders, currentTraceId()),
      updateHeaders: withTraceHeader(input.updateHeaders, currentTraceId()),
    }),
};

function traced<I extends { readonly headers: Parameters<typeof withTraceHeader>[0] }>(input: I): I {
  return { ...input, headers: withTraceHeader(input.headers, currentTraceId()) };
}

/** Runs each activity in its workflow's trace, and logs its end: what the request log is to the api. */
export function traceActivity(): ActivityInterceptors {
  return {
    inbound: {
      execute: (input, next) =>
        withTrace({ traceId: traceIdOfHeaders(input.headers) }, async () => {
          const startedAtMs = performance.now();
          const result = await next(input);
          log.info('activity completed', { durationMs: Math.round(performance.now() - startedAtMs) });
          return result;
        }),
    },
    // Temporal hands lines to the log later, outside of the trace.
    outbound: { getLogAttributes: (input, next) => next({ ...input, ...traceFields() }) },
  };
}
