import type { ErrorKind } from './errors.ts';

/** A reviewer's decision on a submission. */
export const reviewOutcomes = ['APPROVED', 'REJECTED'] as const;
export type ReviewOutcome = (typeof reviewOutcomes)[number];

/** Someone asks for a decision; the comment stays in PostgreSQL, under `requestId`. */
export interface DecisionRequest {
  readonly requestId: string;
  readonly actorId: string;
  readonly outcome: ReviewOutcome;
  /** How it came: through the API, or by hand in Temporal's web UI or CLI. */
  readonly via: 'api' | 'temporal';
}

/** What a running submission knows of its own review. */
export interface ReviewGate {
  readonly studentId: string;
  readonly phase: 'checking' | 'open' | 'parked' | 'deciding' | 'closed';
  /** The request that holds the gate, from `deciding` on. */
  readonly decision: DecisionRequest | null;
}

/** Why a request is refused: a kind and a sentence for the one who asked. */
export interface Refusal {
  readonly kind: Extract<ErrorKind, 'already-decided' | 'invalid-state' | 'self-review' | 'forbidden' | 'validation'>;
  readonly message: string;
}

/** A gate at the start of a submission. */
export function newReviewGate(studentId: string): ReviewGate {
  return { studentId, phase: 'checking', decision: null };
}

/**
 * Whether the gate takes this request now. The first valid request wins; the same request again is not refused, so that a caller who
 * got no answer may ask again.
 */
export function refusalOf(gate: ReviewGate, request: DecisionRequest): Refusal | null {
  const isWellFormed =
    typeof request?.requestId === 'string' &&
    typeof request.actorId === 'string' &&
    reviewOutcomes.includes(request.outcome) &&
    (request.via === 'api' || request.via === 'temporal');
  if (!isWellFormed) {
    return { kind: 'validation', message: 'A decision needs requestId, actorId and outcome APPROVED or REJECTED.' };
  }
  if (gate.decision?.requestId === request.requestId) return null;
  if (request.actorId === gate.studentId) return { kind: 'self-review', message: 'Nobody reviews their own work.' };
  if (gate.decision !== null) return { kind: 'already-decided', message: 'This submission is decided already.' };
  if (gate.phase !== 'open') return { kind: 'invalid-state', message: 'This submission does not await a review.' };
  return null;
}

/** The gate after a request: taken where it is not refused, else unchanged. */
export function decide(gate: ReviewGate, request: DecisionRequest): ReviewGate {
  if (refusalOf(gate, request) !== null || gate.decision !== null) return gate;
  return { ...gate, phase: 'deciding', decision: request };
}

/** The gate with no request holding it: opened, or after the one that held it was not committed. */
export function reopen(gate: ReviewGate, phase: 'open' | 'parked' | 'closed'): ReviewGate {
  return { ...gate, phase, decision: null };
}

/** Someone takes a submission back; `isAdmin` is what the API found the actor to be. */
export interface CancelRequest {
  readonly actorId: string;
  readonly isAdmin: boolean;
}

/** Whether a submission may be taken back now: by its student or an admin, as long as no decision holds the gate. */
export function refusalOfCancel(gate: ReviewGate, request: CancelRequest): Refusal | null {
  if (request?.actorId !== gate.studentId && !request?.isAdmin) {
    return { kind: 'forbidden', message: 'Only the student and admins take a submission back.' };
  }
  if (gate.decision !== null || gate.phase === 'closed') {
    return { kind: 'already-decided', message: 'This submission is decided already.' };
  }
  return null;
}

/** A course's promise about answers, durations in milliseconds from the moment the checks have passed. */
export interface ReviewPolicy {
  readonly remindAfterMs: number;
  readonly dueAfterMs: number;
}

/** The promise of a course that sets none: a reminder to reviewers after two days, an answer due after three. */
export const defaultReviewPolicy: ReviewPolicy = { remindAfterMs: 2 * 86_400_000, dueAfterMs: 3 * 86_400_000 };

/** Absolute instants of one submission's review, in Unix milliseconds: workflows hold no policy, only instants. */
export interface ReviewPlan {
  readonly remindAt: number;
  readonly dueAt: number;
}

export function planReview(policy: ReviewPolicy, openedAtMs: number): ReviewPlan {
  return { remindAt: openedAtMs + policy.remindAfterMs, dueAt: openedAtMs + policy.dueAfterMs };
}
