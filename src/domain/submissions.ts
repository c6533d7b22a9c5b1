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

/**
 * Where the submitted code is: a commit of one of our own repositories, resolved once, so that the verdict is for what was submitted
 * whatever is pushed later. `hosted` was pushed there, `files` were sent to the API.
 */
interface OwnSource {
  readonly kind: 'hosted' | 'files';
  readonly repositoryId: string;
  readonly commit: string;
}

/** Code of another host. Its commit is null until the workflow's first step has fetched it into our own repository. */
interface RemoteSource {
  readonly kind: 'remote';
  readonly repositoryId: string;
  readonly commit: string | null;
  /** In canonical form (`repo-urls.ts`). */
  readonly url: string;
  /** Branch, tag or commit; null is the host's default branch. */
  readonly ref: string | null;
}

export type SubmissionSource = OwnSource | RemoteSource;

/** What a draft holds; `path` is relative to the repository, with `/`. */
export interface DraftFile {
  readonly path: string;
  readonly content: string;
}

/** Code that is written in the academy itself, on top of the starter. */
export interface Draft {
  /** The file that the exercise's solution is written in; null leaves the starter's. */
  readonly sourceCode: string | null;
  /** The README.md of the submission; null leaves the starter's. */
  readonly documentation: string | null;
  readonly files: readonly DraftFile[];
}

/** Whether nothing was written: then what was pushed counts. */
export function isEmptyDraft(draft: Draft): boolean {
  return draft.sourceCode === null && draft.documentation === null && draft.files.length === 0;
}

/** Why a submission is parked: `transient` trouble outlasted its retries, `permanent` trouble had none. */
export const parkedClasses = ['transient', 'permanent'] as const;
export type ParkedClass = (typeof parkedClasses)[number];

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
