/** A draft is IN_PROGRESS; SUBMITTED is locked and never goes back. */
export const submissionStatuses = ['IN_PROGRESS', 'SUBMITTED'] as const;
export type SubmissionStatus = (typeof submissionStatuses)[number];

/** Where the workflow is; written only by its activities, equal to the search attribute SubmissionStatus. */
export const submissionStages = ['QUEUED', 'CHECKING', 'AWAITING_REVIEW', 'UNDER_REVIEW', 'PARKED', 'CLOSED'] as const;
export type SubmissionStage = (typeof submissionStages)[number];

/** How a submission's workflow ended. */
export const conclusions = [
  'approved',
  'rejected',
  'checks-failed',
  'source-unavailable',
  'cancelled',
  'closed-by-admin',
] as const;
export type Conclusion = (typeof conclusions)[number];

/** Where the submitted code is: a commit, resolved once, so that the verdict is for what was submitted whatever is pushed later. */
export interface HostedSource {
  readonly kind: 'hosted';
  /** Id of the task whose repository it is. */
  readonly repositoryId: string;
  readonly commit: string;
}
export type SubmissionSource = HostedSource;

/** Whom and what a submission's workflow is started for: ids only, they are stored in the history. */
export interface SubmissionToStart {
  readonly id: string;
  readonly workflowId: string;
  readonly studentId: string;
  readonly taskId: string;
  readonly exerciseId: string;
  readonly attemptNo: number;
}

/** Whether an attempt with this conclusion costs the student: our trouble, a missing source and a cancel do not. */
export function isCounted(conclusion: Conclusion): boolean {
  return conclusion === 'approved' || conclusion === 'rejected' || conclusion === 'checks-failed';
}
