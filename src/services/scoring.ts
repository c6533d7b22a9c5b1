import { CheckRun } from '../database/entities/check-runs.ts';
import { Submission } from '../database/entities/submissions.ts';
import type { Em } from '../database/orm.ts';
import type { Verdict } from '../domain/check-runs.ts';
import { DomainError } from '../domain/errors.ts';
import type { Score } from '../domain/score.ts';
import type { Actor } from '../domain/users.ts';
import { isSubmissionVisible, submissionNotFound } from './submissions.ts';

export const scoringStatuses = ['QUEUED', 'RUNNING', 'DONE', 'ERROR'] as const;

/** A check run seen as a job: what an ancestor's clients ask for. */
export interface ScoringJob {
  readonly jobId: string;
  readonly submissionId: string;
  readonly status: (typeof scoringStatuses)[number];
  readonly verdict: Verdict | null;
  /** Share of the tests that passed, in percent; null until it is done. */
  readonly passedPercent: number | null;
  /** Of the tests that passed; null until it is done. */
  readonly points: number | null;
  readonly maxPoints: number | null;
  /** By the exercise's rubric; null until it is done, and where there is none. */
  readonly score: Score | null;
}

/**
 * The scoring job of a submission; the same one each time.
 *
 * @throws DomainError `not-found`, also for a submission that is not visible to the actor; `invalid-state` for a draft.
 */
export async function selectScoringJobId(em: Em, actor: Actor, submissionId: string): Promise<string> {
  const submission = await em.findOne(Submission, submissionId);
  if (submission === null || !isSubmissionVisible(submission, actor)) throw submissionNotFound();
  if (submission.status !== 'SUBMITTED') throw new DomainError('invalid-state', 'A draft is not scored: submit it first.');
  return submission.checkRunId;
}

/** Where a scoring job stands. @throws DomainError `not-found`. */
export async function selectScoringJob(em: Em, actor: Actor, jobId: string): Promise<ScoringJob> {
  const submission = await em.findOne(Submission, { checkRunId: jobId, status: 'SUBMITTED' });
  if (submission === null || !isSubmissionVisible(submission, actor)) {
    throw new DomainError('not-found', 'There is no such scoring job.');
  }
  const checkRun = await em.findOne(CheckRun, jobId, { populate: ['testCaseResults'] });
  const tests = checkRun?.testCaseResults.getItems() ?? [];
  const passed = tests.filter((test) => test.outcome === 'passed').length;
  return {
    jobId,
    submissionId: submission.id,
    status: checkRun === null ? statusOf(submission) : 'DONE',
    verdict: checkRun?.verdict ?? null,
    passedPercent: tests.length === 0 ? null : Math.floor((100 * passed) / tests.length),
    points: checkRun?.points ?? null,
    maxPoints: checkRun?.maxPoints ?? null,
    score: checkRun?.score ?? null,
  };
}

function statusOf({ stage }: Submission): ScoringJob['status'] {
  if (stage === 'QUEUED') return 'QUEUED';
  // Closed without a check run: its source was not there, or it was taken back.
  return stage === 'PARKED' || stage === 'CLOSED' ? 'ERROR' : 'RUNNING';
}
