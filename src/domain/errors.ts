/**
 * The closed set of things that go wrong on purpose. Every layer throws these; `api/middleware/error-handler.ts` maps each kind to a
 * status and problem type, `activities/failures.ts` to an ApplicationFailure. Both maps are `satisfies Record<ErrorKind, …>`, so a
 * kind added here without its mapping does not compile.
 */
export type ErrorKind =
  | 'unauthenticated'
  | 'token-reused'
  | 'forbidden'
  | 'self-review'
  | 'not-found'
  | 'validation'
  | 'invalid-state'
  | 'already-decided'
  | 'claimed'
  | 'changed-meanwhile'
  | 'repo-url-not-allowed'
  | 'rate-limited'
  | 'too-many-open'
  | 'queue-full'
  | 'nothing-pushed'
  | 'ref-not-found'
  | 'key-reused'
  | 'outcome-unknown'
  | 'not-configured'
  | 'unavailable';

/** A refusal or failure in glossary words. `message` is shown to the caller: no SQL, no paths, no secrets. */
export class DomainError extends Error {
  readonly kind: ErrorKind;

  constructor(kind: ErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DomainError';
    this.kind = kind;
  }
}
