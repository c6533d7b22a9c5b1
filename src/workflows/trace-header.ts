import { defaultPayloadConverter, type Headers } from '@temporalio/common';

/** The Temporal header that carries a trace id: stored in histories in clear, like all ids. */
const name = 'atelier-trace';

/** The headers with the trace id in them; without one as they were. */
export function withTraceHeader(headers: Headers, traceId: string | null): Headers {
  return traceId === null ? headers : { ...headers, [name]: defaultPayloadConverter.toPayload(traceId) };
}

/** The trace id in headers; null where there is none of ours, such as in what was started from Temporal's web UI. */
export function traceIdOfHeaders(headers: Headers): string | null {
  const payload = headers[name];
  if (payload === undefined) return null;
  try {
    const value: unknown = defaultPayloadConverter.fromPayload(payload);
    return typeof value === 'string' && /^[0-9a-f]{32}$/.test(value) ? value : null;
  } catch {
    // Written by somebody else in a way of their own: no reason to fail a workflow.
    return null;
  }
}
