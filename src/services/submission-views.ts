import { CheckRun, type TestCaseResult } from '../database/entities/check-runs.ts';
import { Review } from '../database/entities/reviews.ts';
import { Submission } from '../database/entities/submissions.ts';
import type { Em } from '../database/orm.ts';
import type { JudgedTest, Language, LintFinding, Verdict } from '../domain/check-runs.ts';
import type { Score } from '../domain/score.ts';
import type { QueuePlace } from '../domain/queue.ts';
import type { ReviewOutcome } from '../domain/reviews.ts';
import type { Conclusion, Draft, SubmissionStage, SubmissionStatus } from '../domain/submissions.ts';
import type { Actor } from '../domain/users.ts';
import { selectQueuePlace } from './queue.ts';
import { type ClaimView, claimOf } from './reviews.ts';
import { isSubmissionVisible, submissionNotFound } from './submissions.ts';

export interface CheckRunView {
  readonly id: string;
  readonly runNo: number;
  readonly verdict: Verdict;
  readonly sandbox: string;
  readonly language: Language;
  readonly languageVersion: string;
  readonly points: number;
  readonly maxPoints: number;
  readonly score: Score | null;
  readonly compilerOutput: string | null;
  /** For reviewers: the student's code could have forged the report of its tests. */
  readonly testsShareProcess: boolean;
  readonly notes: readonly string[];
  readonly runs: readonly {
    readonly name: string;
    readonly status: string;
    readonly exitCode: number | null;
    readonly wallTimeMs: number;
    readonly cpuTimeMs: number;
    readonly memoryPeakBytes: number;
  }[];
  readonly lintFindings: readonly LintFinding[];
  readonly tests: readonly JudgedTest[];
  readonly finishedAt: Date;
}

export interface SubmissionView {
  readonly id: string;
  readonly taskId: string;
  readonly studentId: string;
  readonly attemptNo: number;
  readonly counted: boolean | null;
  readonly status: SubmissionStatus;
  /** Null while it is a draft. */
  readonly stage: SubmissionStage | null;
  /** Null unless QUEUED. */
  readonly queue: QueuePlace | null;
  readonly conclusion: Conclusion | null;
  /** Where the code came from; null while it is a draft. */
  readonly source: { readonly kind: 'hosted' | 'files' | 'remote'; readonly url: string | null } | null;
  /** Null for a draft, and until a remote source is fetched. */
  readonly commit: string | null;
  /** What was written in the academy; null where the code came by git. */
  readonly draft: Draft | null;
  readonly workflowId: string;
  readonly submittedAt: Date | null;
  readonly answerDueAt: Date | null;
  readonly claim: ClaimView | null;
  readonly closedAt: Date | null;
  readonly checkRun: CheckRunView | null;
  readonly review: {
    readonly id: string;
    readonly outcome: ReviewOutcome;
    readonly comment: string;
    readonly createdAt: Date;
  } | null;
}

/**
 * One submission, for its student, reviewers and admins.
 *
 * A student sees of hidden tests only whether they passed: names and messages would give the tests away.
 *
 * @throws DomainError `not-found`, also for a submission that is not visible to the actor.
 */
export async function selectSubmission(em: Em, actor: Actor, submissionId: string): Promise<SubmissionView> {
  const submission = await em.findOne(Submission, submissionId, { populate: ['claimedBy'] });
  if (submission === null || !isSubmissionVisible(submission, actor)) throw submissionNotFound();
  const isOwn = submission.student.id === actor.id;
  const checkRun = await em.findOne(CheckRun, { submission }, { orderBy: { runNo: 'desc' }, populate: ['testCaseResults'] });
  const review = await em.findOne(Review, { submission, supersededBy: null });
  return {
    id: submission.id,
    taskId: submission.task.id,
    studentId: submission.student.id,
    attemptNo: submission.attemptNo,
    counted: submission.counted,
    status: submission.status,
    stage: submission.stage,
    queue: submission.stage === 'QUEUED' ? await selectQueuePlace(em, submission.id) : null,
    conclusion: submission.conclusion,
    source:
      submission.source === null
        ? null
        : { kind: submission.source.kind, url: submission.source.kind === 'remote' ? submission.source.url : null },
    commit: submission.source?.commit ?? null,
    draft: submission.draft,
    workflowId: submission.workflowId,
    submittedAt: submission.submittedAt,
    answerDueAt: submission.answerDueAt,
    claim: claimOf(submission),
    closedAt: submission.closedAt,
    checkRun: checkRun === null ? null : viewCheckRun(checkRun, isOwn),
    review:
      review === null ? null : { id: review.id, outcome: review.outcome, comment: review.comment, createdAt: review.createdAt },
  };
}

function viewCheckRun(checkRun: CheckRun, isRedacted: boolean): CheckRunView {
  return {
    id: checkRun.id,
    runNo: checkRun.runNo,
    verdict: checkRun.verdict,
    sandbox: checkRun.sandboxKind,
    language: checkRun.language,
    languageVersion: checkRun.languageVersion,
    points: checkRun.points,
    maxPoints: checkRun.maxPoints,
    score: checkRun.score,
    compilerOutput: checkRun.compilerOutput,
    testsShareProcess: checkRun.testsShareProcess,
    notes: checkRun.notes,
    runs: checkRun.runs.map(({ name, status, exitCode, wallTimeMs, cpuTimeMs, memoryPeakBytes }) => ({
      name,
      status,
      exitCode,
      wallTimeMs,
      cpuTimeMs,
      memoryPeakBytes,
    })),
    lintFindings: checkRun.lintFindings,
    tests: checkRun.testCaseResults.getItems().map((result) => viewTest(result, isRedacted)),
    finishedAt: checkRun.finishedAt,
  };
}

/** Of a hidden test a student sees the verdict and the author's hint, and what it cost; nothing that gives the test away. */
function viewTest(result: TestCaseResult, isRedacted: boolean): JudgedTest {
  const { suite, group, outcome, verdict, hint, points, maxPoints, timeMs, cpuTimeMs, memoryPeakBytes, position } = result;
  const shown = { suite, group, outcome, verdict, hint, points, maxPoints, timeMs, cpuTimeMs, memoryPeakBytes };
  return isRedacted && suite === 'hidden'
    ? { ...shown, name: `hidden test ${position + 1}`, message: '', diff: null }
    : { ...shown, name: result.name, message: result.message, diff: result.diff };
}
