import { CheckRun } from '../database/entities/check-runs.ts';
import { RevisionFile } from '../database/entities/exercises.ts';
import { Submission } from '../database/entities/submissions.ts';
import type { Em } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import type { Actor } from '../domain/users.ts';
import { isSubmissionVisible, submissionNotFound } from './submissions.ts';

/** What a draft of a review is made from; the files are in the repository. */
export interface DraftMaterial {
  readonly statement: string;
  readonly repositoryId: string;
  readonly commit: string;
  /** What the exercise gave: no work of the student. */
  readonly givenFiles: readonly { readonly path: string; readonly content: string }[];
  readonly checks: string;
}

/**
 * What a reviewer's assistant is told of a submission: no names of people, and nothing of hidden tests but how many passed, since a
 * reviewer may send its words to the student.
 *
 * @throws DomainError `not-found`, `self-review`, `invalid-state` for a submission without a commit.
 */
export async function selectDraftMaterial(em: Em, actor: Actor, submissionId: string): Promise<DraftMaterial> {
  const submission = await em.findOne(Submission, submissionId, { populate: ['revision'] });
  if (submission === null || submission.status !== 'SUBMITTED' || !isSubmissionVisible(submission, actor))
    throw submissionNotFound();
  if (submission.student.id === actor.id) throw new DomainError('self-review', 'Nobody reviews their own work.');
  const { source } = submission;
  if (source === null || source.commit === null) {
    throw new DomainError('invalid-state', 'The files of this submission are not there yet.');
  }
  const revision = submission.revision.$;
  const givenFiles = await em.find(RevisionFile, { revision, role: ['starter', 'visible-test', 'configuration'] });
  const checkRun = await em.findOne(CheckRun, { submission }, { orderBy: { runNo: 'desc' }, populate: ['testCaseResults'] });
  return {
    statement: revision.statement,
    repositoryId: source.repositoryId,
    commit: source.commit,
    givenFiles: givenFiles.map(({ path, content }) => ({ path, content })),
    checks: checkRun === null ? 'Not checked yet.' : describeChecks(checkRun),
  };
}

function describeChecks({ verdict, testCaseResults, score }: CheckRun): string {
  const tests = testCaseResults.getItems();
  const passed = tests.filter(({ outcome }) => outcome === 'passed').length;
  const failed = tests.filter(({ outcome, suite }) => outcome !== 'passed' && suite === 'visible');
  const losses = Object.values(score?.parts ?? {}).flatMap((part) => part.losses);
  return [
    `Verdict: ${verdict}. ${passed} of ${tests.length} tests passed.`,
    ...failed.map(({ name, message }) => `Failed: ${name}: ${message}`),
    ...losses.map(({ points, file, line, message }) => `-${points} points: ${file}${line > 0 ? `:${line}` : ''} ${message}`),
  ].join('\n');
}
