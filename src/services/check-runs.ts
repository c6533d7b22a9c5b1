import { newId } from '../database/columns.ts';
import { CheckRun, type StoredRun, TestCaseResult } from '../database/entities/check-runs.ts';
import type { Em } from '../database/orm.ts';
import type { JudgedChecks, Verdict } from '../domain/check-runs.ts';
import type { Score } from '../domain/score.ts';
import { recordActivity } from './activity.ts';
import { changeOpenSubmission, type Concluded } from './submissions.ts';

export interface NewCheckRun extends JudgedChecks {
  readonly submissionId: string;
  readonly revisionId: string;
  readonly runNo: number;
  readonly sandboxKind: string;
  readonly sandboxIdentity: string;
  readonly runs: readonly StoredRun[];
  /** Names of those that have begun and were not announced yet (`recordRunStarts`). Default: none. */
  readonly begunRuns?: readonly string[];
  readonly score: Score | null;
  readonly startedAt: Date;
}

/** What is stored of a judging, as far as the workflow needs it. */
export interface CheckRunSummary {
  readonly checkRunId: string;
  readonly verdict: Verdict;
}

/** The check run with this key; null where it has not been judged. */
export async function selectOptionalCheckRun(
  em: Em,
  key: { submissionId: string; revisionId: string; runNo: number },
): Promise<CheckRunSummary | null> {
  const row = await em.findOne(CheckRun, { submission: key.submissionId, revision: key.revisionId, runNo: key.runNo });
  return row === null ? null : { checkRunId: row.id, verdict: row.verdict };
}

/**
 * Stores a judging, under the submission's lock. The first to store a key wins: a second attempt (a worker that was thought dead) gets
 * what the first stored, so there is never more than one verdict of one run. A submission that was ended meanwhile takes none.
 */
export async function insertCheckRun(em: Em, input: NewCheckRun): Promise<CheckRunSummary | Concluded> {
  return changeOpenSubmission(em, input.submissionId, async (tx, submission) => {
    const stored = await selectOptionalCheckRun(tx, input);
    if (stored !== null) return stored;
    const checkRun = tx.create(CheckRun, {
      id: input.runNo === 1 ? submission.checkRunId : newId(),
      createdAt: new Date(),
      submission,
      revision: input.revisionId,
      runNo: input.runNo,
      verdict: input.verdict,
      sandboxKind: input.sandboxKind,
      sandboxIdentity: input.sandboxIdentity,
      runs: input.runs,
      lintFindings: input.lintFindings,
      points: input.points,
      maxPoints: input.maxPoints,
      compilerOutput: input.compilerOutput,
      testsShareProcess: input.testsShareProcess,
      notes: input.notes,
      language: input.language,
      languageVersion: input.languageVersion,
      score: input.score,
      startedAt: input.startedAt,
      finishedAt: new Date(),
    });
    input.tests.forEach((test, position) => tx.create(TestCaseResult, { ...test, id: newId(), checkRun, position }));
    for (const run of input.begunRuns ?? []) recordActivity(tx, 'ci.run.started', { submission, data: { run } });
    recordActivity(tx, input.verdict === 'accepted' ? 'ci.result.passed' : 'ci.result.failed', {
      submission,
      data: { verdict: input.verdict, runNo: input.runNo },
    });
    return { checkRunId: checkRun.id, verdict: input.verdict };
  });
}
