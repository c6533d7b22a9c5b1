import {
  type Client,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { ApplicationFailure, type UpdateDefinition } from '@temporalio/common';
import { DomainError, type ErrorKind } from '../domain/errors.ts';
import type { CancelRequest, ClaimRequest, DecisionRequest, OverrideMessage, ReleaseRequest } from '../domain/reviews.ts';
import type { SubmissionToStart } from '../domain/submissions.ts';
import {
  cancelSubmission,
  checksStarted,
  currentFlow,
  claimReview,
  decideReview,
  flowMemo,
  overrideSubmission,
  releaseReview,
  resolveParked,
  searchAttributes,
  taskQueues,
} from '../workflows/contract.ts';
import type { submissionWorkflow } from '../workflows/submission.ts';

/** `closed`: the workflow has ended (or never began): the database knows with what. */
export interface Closed {
  readonly status: 'closed';
}
export type DecideResult = { readonly status: 'decided'; readonly reviewId: string } | Closed;
export type ClaimResult = { readonly status: 'claimed'; readonly leaseUntil: Date } | Closed;
export type ToldResult = { readonly status: 'told' } | Closed;

/** All that is said to submission workflows, in domain words: callers never see the SDK. */
export interface SubmissionWorkflows {
  /**
   * Starts the workflow; a workflow that runs or has run under this id is success, so it may be repeated.
   *
   * @throws DomainError `unavailable` where Temporal does not answer within 2 s.
   */
  start(submission: SubmissionToStart): Promise<void>;
  /**
   * Has the workflow decide, and waits up to 5 s for the commit. The request's id is the update's id: asking again with it is safe.
   *
   * @throws DomainError `outcome-unknown` without an answer in time, `unavailable` where Temporal is down, or the workflow's refusal.
   */
  decide(workflowId: string, request: DecisionRequest): Promise<DecideResult>;
  /**
   * Has the workflow end the submission for its student or an admin.
   *
   * @throws DomainError as `decide`.
   */
  cancel(workflowId: string, request: CancelRequest): Promise<ToldResult>;
  /** Has a reviewer claim the submission, and waits for the commit. @throws DomainError as `decide`. */
  claim(workflowId: string, request: ClaimRequest): Promise<ClaimResult>;
  /** Gives a claim back, and waits for the commit. @throws DomainError as `decide`. */
  release(workflowId: string, request: ReleaseRequest): Promise<ToldResult>;
  /** An admin's word on a parked submission. @throws DomainError as `decide`. */
  resolveParked(workflowId: string, request: { requestId: string; action: 'redrive' | 'close' }): Promise<ToldResult>;
  /** Takes the submission out of its workflow's hands. @throws DomainError as `decide`, `already-decided` while a decision is committed. */
  override(workflowId: string, message: OverrideMessage): Promise<ToldResult>;
  /** Tells the workflow that the judge has begun. */
  announceChecksStarted(workflowId: string): Promise<void>;
  /**
   * What is there, asked for at most 2 s. A judging worker takes jobs only with a sandbox, so one that polls means that submissions are
   * judged; one that died is noticed after about a minute, the length of a poll.
   */
  health(): Promise<{ readonly temporal: boolean; readonly judging: boolean }>;
}

/** How long a request of the API waits: short, because the relay starts the workflow anyway. */
const startDeadlineMs = 2_000;
const updateDeadlineMs = 5_000;

/** A worker's poll is open for 60 s before it is renewed. */
const pollMs = 65_000;

/** TASK_QUEUE_TYPE_ACTIVITY of Temporal's API; the package that names it is CommonJS whose names Node does not see. */
const activityTaskQueue = 2;

export function createSubmissionWorkflows(client: Client): SubmissionWorkflows {
  const within = <T>(ms: number, call: () => Promise<T>) => client.connection.withDeadline(Date.now() + ms, call);

  /** The answer to an update with this id; null where the workflow is not running. */
  async function update<R extends object | void, A>(
    workflowId: string,
    updateId: string,
    definition: UpdateDefinition<R, [A]>,
    message: A,
  ): Promise<{ answer: R } | null> {
    try {
      const handle = client.workflow.getHandle(workflowId);
      const answer = await within(updateDeadlineMs, () =>
        handle.executeUpdate<R, [A]>(definition, { updateId, args: [message] }),
      );
      return { answer };
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return null;
      throw refusalOf(error);
    }
  }

  const closed: Closed = { status: 'closed' };
  const told = (result: object | null): ToldResult => (result === null ? closed : { status: 'told' });

  return {
    async start(submission) {
      try {
        await within(startDeadlineMs, () =>
          client.workflow.start<typeof submissionWorkflow>('submissionWorkflow', {
            taskQueue: taskQueues.submissions,
            workflowId: submission.workflowId,
            args: [{ submissionId: submission.id, studentId: submission.studentId }],
            memo: { [flowMemo]: currentFlow },
            // A run that is open is the one we want; a closed one must never be repeated: that would judge and reward twice.
            workflowIdConflictPolicy: 'USE_EXISTING',
            workflowIdReusePolicy: 'REJECT_DUPLICATE',
            // Students take turns at the judges, whoever sent how many: its activities have it from here.
            priority: { fairnessKey: submission.studentId },
            staticSummary: `attempt ${submission.attemptNo} of task ${submission.taskId}`,
            staticDetails: `submission ${submission.id} of student ${submission.studentId}`,
            typedSearchAttributes: [
              { key: searchAttributes.submissionStatus, value: 'QUEUED' },
              { key: searchAttributes.studentRef, value: submission.studentId },
              { key: searchAttributes.taskRef, value: submission.taskId },
              { key: searchAttributes.exerciseRef, value: submission.exerciseId },
              { key: searchAttributes.attempt, value: submission.attemptNo },
            ],
          }),
        );
      } catch (error) {
        if (error instanceof WorkflowExecutionAlreadyStartedError) return;
        throw new DomainError('unavailable', 'The workflow could not be started now.', { cause: error });
      }
    },

    async decide(workflowId, request) {
      const result = await update(workflowId, request.requestId, decideReview, request);
      return result === null ? closed : { status: 'decided', reviewId: result.answer.reviewId };
    },

    async claim(workflowId, request) {
      const result = await update(workflowId, request.requestId, claimReview, request);
      return result === null ? closed : { status: 'claimed', leaseUntil: new Date(result.answer.leaseUntil) };
    },

    async cancel(workflowId, request) {
      return told(await update(workflowId, request.requestId, cancelSubmission, request));
    },

    async release(workflowId, request) {
      return told(await update(workflowId, request.requestId, releaseReview, request));
    },

    async resolveParked(workflowId, { requestId, action }) {
      return told(await update(workflowId, requestId, resolveParked, { action }));
    },

    async override(workflowId, message) {
      return told(await update(workflowId, message.overrideId, overrideSubmission, message));
    },

    async announceChecksStarted(workflowId) {
      await within(startDeadlineMs, () => client.workflow.getHandle(workflowId).signal(checksStarted));
    },

    async health() {
      try {
        const { pollers } = await within(startDeadlineMs, () =>
          client.workflowService.describeTaskQueue({
            namespace: client.options.namespace,
            taskQueue: { name: taskQueues.judging },
            taskQueueType: activityTaskQueue,
          }),
        );
        const polledAt = (pollers ?? []).map((poller) => Number(poller.lastAccessTime?.seconds ?? 0) * 1000);
        return { temporal: true, judging: polledAt.some((at) => at > Date.now() - pollMs) };
      } catch {
        return { temporal: false, judging: false };
      }
    },
  };
}

/** The kinds that a workflow refuses an update with. */
const refusals: ReadonlySet<string> = new Set<ErrorKind>([
  'already-decided',
  'claimed',
  'invalid-state',
  'self-review',
  'forbidden',
  'validation',
]);

function refusalOf(error: unknown): DomainError {
  if (error instanceof WorkflowUpdateFailedError && error.cause instanceof ApplicationFailure) {
    const { type, message } = error.cause;
    if (type !== undefined && type !== null && refusals.has(type)) return new DomainError(type as ErrorKind, message);
  }
  if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError) {
    return new DomainError(
      'outcome-unknown',
      'No answer in time: it may or may not be done. Repeat with the same Idempotency-Key.',
      { cause: error },
    );
  }
  return new DomainError('unavailable', 'The workflow engine does not answer now. Repeat with the same Idempotency-Key.', {
    cause: error,
  });
}
