import type { ErrorKind } from './errors.ts';

/** A reviewer's decision on a submission. */
export const reviewOutcomes = ['APPROVED', 'REJECTED'] as const;
export type ReviewOutcome = (typeof reviewOutcomes)[number];

/** What may be asked of a submission's workflow; each request is a row, and its id that of the workflow's update. */
export const requestKinds = ['decide', 'claim', 'release', 'cancel', 'redrive', 'close'] as const;
export type RequestKind = (typeof requestKinds)[number];

/** What a request says beyond its kind; texts stay in PostgreSQL, workflows never see them. */
export interface RequestBody {
  readonly outcome?: ReviewOutcome;
  readonly comment?: string;
  readonly takeOver?: boolean;
}

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
  /** The reviewer who has claimed it; null while nobody has. */
  readonly claimedBy: string | null;
  /** The request that holds the gate, from `deciding` on. */
  readonly decision: DecisionRequest | null;
}

/** Why a request is refused: a kind and a sentence for the one who asked. */
export interface Refusal {
  readonly kind: Extract<ErrorKind, 'already-decided' | 'claimed' | 'invalid-state' | 'self-review' | 'forbidden' | 'validation'>;
  readonly message: string;
}

/** A gate at the start of a submission. */
export function newReviewGate(studentId: string): ReviewGate {
  return { studentId, phase: 'checking', claimedBy: null, decision: null };
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
  if (gate.claimedBy !== null && gate.claimedBy !== request.actorId) return claimedByAnother;
  return null;
}

const claimedByAnother: Refusal = {
  kind: 'claimed',
  message:
    'Another reviewer has claimed this submission. Wait until the claim is released or lapses, or have an admin take it over.',
};

/** The gate after a request: taken where it is not refused, else unchanged. */
export function decide(gate: ReviewGate, request: DecisionRequest): ReviewGate {
  if (refusalOf(gate, request) !== null || gate.decision !== null) return gate;
  return { ...gate, phase: 'deciding', decision: request };
}

/** The gate with no request holding it: opened, or after the one that held it was not committed. A claim outlives only the latter. */
export function reopen(gate: ReviewGate, phase: 'open' | 'parked' | 'closed'): ReviewGate {
  const isRefusal = phase === 'open' && gate.decision !== null;
  return { ...gate, phase, decision: null, claimedBy: isRefusal ? gate.claimedBy : null };
}

/** A reviewer takes a submission on; `mayTakeOver` is for admins, who may take it from another. */
export interface ClaimRequest {
  readonly requestId: string;
  readonly actorId: string;
  readonly mayTakeOver: boolean;
}

/** Whether the gate lets this reviewer claim now; its holder may again. */
export function refusalOfClaim(gate: ReviewGate, request: ClaimRequest): Refusal | null {
  if (typeof request?.actorId !== 'string') return { kind: 'validation', message: 'A claim needs actorId.' };
  if (request.actorId === gate.studentId) return { kind: 'self-review', message: 'Nobody reviews their own work.' };
  if (gate.decision !== null || gate.phase === 'closed') {
    return { kind: 'already-decided', message: 'This submission is decided already.' };
  }
  if (gate.phase !== 'open') return { kind: 'invalid-state', message: 'This submission does not await a review.' };
  const isFree = gate.claimedBy === null || gate.claimedBy === request.actorId || request.mayTakeOver;
  return isFree ? null : claimedByAnother;
}

/** The gate with this claim, which `refusalOfClaim` has let through. */
export function claim(gate: ReviewGate, claimedBy: string | null): ReviewGate {
  return { ...gate, claimedBy };
}

/** Somebody gives a claim back; `isAdmin` is what the API found the actor to be. */
export interface ReleaseRequest {
  readonly requestId: string;
  readonly actorId: string;
  readonly isAdmin: boolean;
}

/** Whether the claim may be given back now: by its holder or an admin. One that is gone already is no error. */
export function refusalOfRelease(gate: ReviewGate, request: ReleaseRequest): Refusal | null {
  if (typeof request?.actorId !== 'string') return { kind: 'validation', message: 'A release needs actorId.' };
  if (gate.decision !== null) return { kind: 'already-decided', message: 'This submission is decided already.' };
  if (gate.claimedBy === null || gate.claimedBy === request.actorId || request.isAdmin) return null;
  return { kind: 'claimed', message: 'Another reviewer has claimed this submission: only they or an admin release it.' };
}

/** Someone takes a submission back; `isAdmin` is what the API found the actor to be. */
export interface CancelRequest {
  readonly requestId: string;
  readonly actorId: string;
  readonly isAdmin: boolean;
}

/** Whether a submission may be taken back now: by an admin until it is decided, by its student until a reviewer has claimed it. */
export function refusalOfCancel(gate: ReviewGate, request: CancelRequest): Refusal | null {
  if (request?.actorId !== gate.studentId && !request?.isAdmin) {
    return { kind: 'forbidden', message: 'Only the student and admins take a submission back.' };
  }
  if (gate.decision !== null || gate.phase === 'closed') {
    return { kind: 'already-decided', message: 'This submission is decided already.' };
  }
  if (gate.claimedBy !== null && !request.isAdmin) {
    return { kind: 'invalid-state', message: 'A reviewer is at work on this submission: wait for the answer.' };
  }
  return null;
}

/** An admin's override takes a submission out of its workflow's hands; the row under `overrideId` says the rest. */
export interface OverrideMessage {
  readonly overrideId: string;
}

/** What an admin types into Temporal's web UI to decide a submission whatever its stage, with the signal `overrideRequested`. */
export interface OverrideSignal {
  readonly requestId: string;
  readonly actorId: string;
  readonly outcome: ReviewOutcome;
  readonly reason: string;
}

/** Whether a signal has the shape of an override; whoever types one by hand may type anything. */
export function isOverrideSignal(signal: Partial<OverrideSignal> | null | undefined): signal is OverrideSignal {
  const { requestId, actorId, outcome, reason } = signal ?? {};
  return (
    typeof requestId === 'string' &&
    typeof actorId === 'string' &&
    (outcome === 'APPROVED' || outcome === 'REJECTED') &&
    typeof reason === 'string'
  );
}

/** Whether an override may take the submission now: not while a decision is being committed, which it must see. */
export function refusalOfOverride(gate: ReviewGate, message: OverrideMessage): Refusal | null {
  if (typeof message?.overrideId !== 'string') return { kind: 'validation', message: 'An override is named by overrideId.' };
  return gate.decision === null && gate.phase !== 'closed'
    ? null
    : { kind: 'already-decided', message: 'A decision is being committed: the override comes after it.' };
}

/** A course's promise about answers, durations in milliseconds from the moment the checks have passed. */
export interface ReviewPolicy {
  readonly remindAfterMs: number;
  readonly dueAfterMs: number;
}

/** The promise of a course that sets none: a reminder to reviewers after two days, an answer due after three. */
export const defaultReviewPolicy: ReviewPolicy = { remindAfterMs: 2 * 86_400_000, dueAfterMs: 3 * 86_400_000 };

/** How long a claim lasts without a sign of its holder, where a course sets nothing else: a page's heartbeat comes every minute. */
export const defaultClaimLeaseMs = 30 * 60_000;

/** Absolute instants of one submission's review, in Unix milliseconds: workflows hold no policy, only instants. */
export interface ReviewPlan {
  readonly remindAt: number;
  readonly dueAt: number;
}

export function planReview(policy: ReviewPolicy, openedAtMs: number): ReviewPlan {
  return { remindAt: openedAtMs + policy.remindAfterMs, dueAt: openedAtMs + policy.dueAfterMs };
}
