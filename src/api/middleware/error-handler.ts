import { ConnectionException, DriverException } from '@mikro-orm/core';
import type { ErrorRequestHandler } from 'express';
import { DomainError, type ErrorKind } from '../../domain/errors.ts';
import { GitError } from '../../git/git.ts';
import { HttpProblem, sendProblem } from './problems.ts';

const statuses = {
  unauthenticated: 401,
  'token-reused': 401,
  forbidden: 403,
  'self-review': 403,
  'not-found': 404,
  validation: 422,
  'invalid-state': 409,
  'already-decided': 409,
  claimed: 409,
  'changed-meanwhile': 412,
  'repo-url-not-allowed': 422,
  'rate-limited': 429,
  'too-many-open': 429,
  'queue-full': 503,
  'nothing-pushed': 409,
  'ref-not-found': 422,
  'key-reused': 422,
  'not-configured': 409,
  'outcome-unknown': 503,
  unavailable: 503,
} as const satisfies Record<ErrorKind, number>;

const retryAfterSeconds = '5';

/** What has to shrink first: a queue is not asked for every few seconds by all whom it turned away. */
const queueRetryAfterSeconds = '30';

/** Most often a full disk: somebody has to come and make room. */
const storageRetryAfterSeconds = '60';

const retryAfters: Partial<Record<ErrorKind, string>> = {
  'outcome-unknown': retryAfterSeconds,
  unavailable: retryAfterSeconds,
  'queue-full': queueRetryAfterSeconds,
  'too-many-open': queueRetryAfterSeconds,
};

function problemOf(error: unknown): HttpProblem | null {
  if (error instanceof HttpProblem) return error;
  if (error instanceof DomainError) {
    const status = statuses[error.kind];
    const retryAfter = retryAfters[error.kind];
    const headers = {
      ...(status === 401 && { 'WWW-Authenticate': 'Bearer' }),
      ...(retryAfter !== undefined && { 'Retry-After': retryAfter }),
    };
    return new HttpProblem(status, error.kind, error.message, { headers });
  }
  if (isDatabaseAway(error)) {
    return new HttpProblem(
      503,
      'unavailable',
      'The database does not answer now. Try again; a POST with the same Idempotency-Key has one effect, whatever became of this one.',
      {
        headers: { 'Retry-After': retryAfterSeconds },
      },
    );
  }
  if (isStorageTrouble(error)) {
    const detail =
      'It cannot be stored or read now. Nothing was changed: try again, and tell an admin the request id if it stays so.';
    return new HttpProblem(503, 'unavailable', detail, { headers: { 'Retry-After': storageRetryAfterSeconds } });
  }
  if (error instanceof URIError) return new HttpProblem(400, 'malformed-url', 'The address is not well-formed.');
  return null;
}

/**
 * SQLSTATE classes 08 (connection; but not 08P01, a message that PostgreSQL could not read: our bug), 53 (resources), 57 (shut down),
 * 25006 (read only), 40 (rolled back), and the socket's own codes.
 */
const awayCode = /^(?:08(?!P01)|53|57|40)|^25006$|^(?:ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN)$/;

/** What the driver says of a connection that ended before a statement was sent, such as the start of an inner transaction: a plain error. */
const deadClient = /^Client (?:was closed|has encountered a connection error) and is not queryable$/;

function isDatabaseAway(error: unknown): boolean {
  if (error instanceof ConnectionException) return true;
  if (error instanceof Error && deadClient.test(error.message)) return true;
  if (codesOf(error).some((code) => awayCode.test(code))) return true;
  // Where PostgreSQL gave a code, its message may quote what a user wrote: only the driver's own errors are known by their words.
  return error instanceof DriverException && error.code === undefined && /terminat|connection|timeout/i.test(error.message);
}

/** A disk that is full, broken or read-only. */
const storageCode = /^(?:ENOSPC|EDQUOT|EIO|EROFS)$/;

/** What a student may have done wrong is told from git's errors where it is asked; of a full disk git says many things. */
function isStorageTrouble(error: unknown): boolean {
  return error instanceof GitError || codesOf(error).some((code) => storageCode.test(code));
}

/** Of the error and of what caused it. */
const codesOf = (error: unknown): string[] =>
  [error, (error as { cause?: unknown } | null)?.cause]
    .map((e) => (e as { code?: unknown } | null)?.code)
    .filter((code) => typeof code === 'string');

/** The last handler: known refusals get their problem, the rest is our fault: logged in full, told in general. */
export const errorHandler: ErrorRequestHandler = (error: unknown, request, response, next) => {
  const problem = problemOf(error);
  if (problem === null || problem.status >= 500) request.log.error({ err: error }, 'request failed');
  if (response.headersSent) {
    // Too late for a problem document: the connection is cut, so that half an answer is not taken for a whole one.
    next(error);
    return;
  }
  sendProblem(
    request,
    response,
    problem ?? new HttpProblem(500, 'internal', 'Something went wrong on our side. Tell an admin the request id.'),
  );
};
