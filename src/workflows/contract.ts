import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type {
  CancelRequest,
  ClaimRequest,
  DecisionRequest,
  OverrideMessage,
  OverrideSignal,
  ReleaseRequest,
} from '../domain/reviews.ts';
import type { Conclusion, SubmissionStage } from '../domain/submissions.ts';

/** One task queue per process, so that each scales by itself. */
export const taskQueues = {
  submissions: 'atelier-submissions',
  judging: 'atelier-judging',
  notifications: 'atelier-notifications',
} as const;

/** Spells a delivery's workflow id; the first one's has no number. A submission's is spelt in its row. */
export const deliveryWorkflowId = (deliveryId: string, runNo: number) =>
  runNo === 1 ? `delivery-${deliveryId}` : `delivery-${deliveryId}-${runNo}`;

export const trialWorkflowId = (runId: string) => `run-${runId}`;

export const overrideWorkflowId = (overrideId: string) => `override-${overrideId}`;

/** Opaque values only: search attributes are stored in clear. */
export const searchAttributes = {
  submissionStatus: defineSearchAttributeKey('SubmissionStatus', SearchAttributeType.KEYWORD),
  studentRef: defineSearchAttributeKey('StudentRef', SearchAttributeType.KEYWORD),
  taskRef: defineSearchAttributeKey('TaskRef', SearchAttributeType.KEYWORD),
  exerciseRef: defineSearchAttributeKey('ExerciseRef', SearchAttributeType.KEYWORD),
  attempt: defineSearchAttributeKey('Attempt', SearchAttributeType.INT),
  reviewDueAt: defineSearchAttributeKey('ReviewDueAt', SearchAttributeType.DATETIME),
} as const;

/**
 * In the memo of a submission's run: it was started by this version of the flow. What older histories hold is told by `patched`, whose
 * marks are two events for each change; a run that says so itself at its start needs none. A worker leaves what it
 * does not know to a newer one.
 */
export const flowMemo = 'flow';
export const currentFlow = 3;

export interface SubmissionInput {
  readonly submissionId: string;
  readonly studentId: string;
}

export interface SubmissionOutcome {
  readonly conclusion: Conclusion;
}

export interface DecisionAnswer {
  readonly reviewId: string;
}

/** A reviewer's decision by the API. An update, because the caller wants to know what became of it; its id is the request's id. */
export const decideReview = defineUpdate<DecisionAnswer, [DecisionRequest]>('decideReview');

/** The same decision by hand in Temporal's web UI or CLI. A signal cannot answer: what is invalid is logged and ignored. */
export const reviewDecided = defineSignal<[Omit<DecisionRequest, 'via'>]>('reviewDecided');

export interface ClaimAnswer {
  /** Unix milliseconds. */
  readonly leaseUntil: number;
}

/** A reviewer takes the submission on: nobody else decides until they release it, or are gone for the length of the lease. */
export const claimReview = defineUpdate<ClaimAnswer, [ClaimRequest]>('claimReview');

/** The holder, or an admin, gives the claim back. */
export const releaseReview = defineUpdate<void, [ReleaseRequest]>('releaseReview');

/** An override takes the submission out of the workflow's hands. Returns when it will do nothing more but commit that override. */
export const overrideSubmission = defineUpdate<void, [OverrideMessage]>('overrideSubmission');

/** An override by hand in Temporal's web UI or CLI; what is invalid is logged and ignored. */
export const overrideRequested = defineSignal<[OverrideSignal]>('overrideRequested');

/** The student, or an admin, takes the submission back; possible until it is decided. Returns when the process is told to end. */
export const cancelSubmission = defineUpdate<void, [CancelRequest]>('cancelSubmission');

/** The judge has begun: until then a submission waits in the queue, also where no sandbox runs. */
export const checksStarted = defineSignal('checksStarted');

export interface ParkedResolution {
  readonly action: 'redrive' | 'close';
}

/** An admin's word on a parked submission, by the API: try again, or close it without charging the student. */
export const resolveParked = defineUpdate<void, [ParkedResolution]>('resolveParked');

/** The same by hand in Temporal's web UI or CLI; what is invalid is logged and ignored. */
export const parkedResolved = defineSignal<[ParkedResolution]>('parkedResolved');

/** For debugging; pages read PostgreSQL. */
export const submissionState = defineQuery<{ readonly stage: SubmissionStage; readonly parkedReason: string | null }>(
  'submissionState',
);

export interface DeliveryInput {
  readonly deliveryId: string;
}

/**
 * How long a mail is tried. A server that is down or busy (greylisting) comes back: soon at first, then at most 10 minutes apart, so that
 * a mail is late by no more than it has to be and a server that comes back is not run over. After a day it is given up: the notification
 * is in the academy all the same, and an admin may have it tried again.
 */
export const deliveryRetry = {
  policy: { initialInterval: 5_000, backoffCoefficient: 2, maximumInterval: 600_000 },
  giveUpAfterMs: 24 * 3_600_000,
} as const;

export interface OverrideInput {
  readonly overrideId: string;
}

export interface TrialInput {
  readonly runId: string;
  /** How long it waits for a free judge, in milliseconds. */
  readonly queueMs: number;
}
