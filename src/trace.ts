import { AsyncLocalStorage } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';

/** What ties together all that one cause brings about: log lines of every process, workflows, rows, mails. */
export interface Trace {
  /** 32 hex digits, as in W3C Trace Context. */
  readonly traceId: string;
  /** The HTTP request that is being answered, in the api alone. */
  readonly requestId?: string;
}

const current = new AsyncLocalStorage<Trace>();

/** Runs `work`, and all that it awaits, in a trace; where the id is null (a row from before there were traces) it is a new one. */
export function withTrace<T>(trace: { readonly traceId: string | null; readonly requestId?: string }, work: () => T): T {
  return current.run({ ...trace, traceId: trace.traceId ?? newTraceId() }, work);
}

/** The trace that the caller runs in: what a row keeps, so that what is started from it later goes on in the same trace. */
export const currentTraceId = (): string | null => current.getStore()?.traceId ?? null;

/** The current trace as fields of a log line. */
export const traceFields = (): object => ({ ...current.getStore() });

export const newTraceId = (): string => randomBytes(16).toString('hex');

const wellFormed = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The trace id of a W3C `traceparent` header; null for none, and for all that is not well-formed. */
export function traceIdOfParent(header: string | undefined): string | null {
  return wellFormed.exec(header ?? '')?.[1] ?? null;
}
