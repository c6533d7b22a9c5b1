import { randomUUID } from 'node:crypto';
import type { RequestHandler, Response } from 'express';
import { newTraceId, type Trace, traceIdOfParent, withTrace } from '../../trace.ts';

const traces = new WeakMap<Response, Trace>();

/**
 * Gives each request its two ids: the request id, taken from `X-Request-Id` or made, is told to the client; the trace id, taken from
 * `traceparent` or made, goes on into workflows, rows and mails. What is not well-formed is as good as not sent.
 */
export const traceRequests: RequestHandler = (request, response, next) => {
  const sent = request.headers['x-request-id'];
  const requestId = typeof sent === 'string' && /^[A-Za-z0-9-]{1,64}$/.test(sent) ? sent : randomUUID();
  const { traceparent } = request.headers;
  const traceId = traceIdOfParent(typeof traceparent === 'string' ? traceparent : undefined) ?? newTraceId();
  response.setHeader('X-Request-Id', requestId);
  traces.set(response, { traceId, requestId });
  withTrace({ traceId, requestId }, next);
};

/** For where the request's own context is gone, as in the events of its connection. */
export const traceOf = (response: Response): Trace | undefined => traces.get(response);
