import { newId } from '../database/columns.ts';
import { RevisionFile } from '../database/entities/exercises.ts';
import { Submission } from '../database/entities/submissions.ts';
import type { Em } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import { findPathProblem } from '../domain/file-paths.ts';
import type { Draft, DraftFile } from '../domain/submissions.ts';
import { taskAfter } from '../domain/tasks.ts';
import type { Actor } from '../domain/users.ts';
import { recordActivity } from './activity.ts';
import { createDraft, lockSubmission, selectOpenSubmission, submissionNotFound } from './submissions.ts';
import { lockTask, taskNotFound } from './tasks.ts';

const emptyDraft: Draft = { sourceCode: null, documentation: null, files: [] };

/** The file that a draft's documentation is written to. */
const documentationPath = 'README.md';

/**
 * Opens a draft of the task, in the caller's transaction; a second call returns the open one.
 *
 * @throws DomainError `not-found` unless the actor is the assignee, `invalid-state` while a submitted attempt is open.
 */
export async function openDraft(em: Em, actor: Actor, taskId: string): Promise<{ submissionId: string }> {
  const task = await lockTask(em, taskId);
  if (task.assignee.id !== actor.id) throw taskNotFound();
  const open = await selectOpenSubmission(em, task.id);
  if (open?.status === 'SUBMITTED') {
    throw new DomainError('invalid-state', 'The last submission of this task is still open: wait for its answer.');
  }
  if (open !== null) {
    open.draft ??= emptyDraft;
    return { submissionId: open.id };
  }
  task.status = taskAfter(task.status, 'begin');
  task.updatedAt = new Date();
  const submission = await createDraft(em, task, newId());
  submission.draft = emptyDraft;
  recordActivity(em, 'submission.drafted', { actorId: actor.id, submission });
  return { submissionId: submission.id };
}

/** What is changed of a draft; what is left out stays. */
export interface DraftChange {
  readonly sourceCode?: string | undefined;
  readonly documentation?: string | undefined;
  /** All of the further files, in place of those before. */
  readonly files?: readonly DraftFile[] | undefined;
}

/**
 * Changes a draft.
 *
 * @throws DomainError `not-found` unless it is the actor's own, `invalid-state` once it is submitted, `validation` for paths that
 *   cannot be and for source code where the exercise does not say which file that is.
 */
export async function changeDraft(em: Em, actor: Actor, submissionId: string, change: DraftChange): Promise<void> {
  await em.transactional(async (tx) => {
    const found = await tx.findOne(Submission, submissionId);
    if (found === null || found.student.id !== actor.id) throw submissionNotFound();
    const { submission } = await lockSubmission(tx, submissionId);
    if (submission.status !== 'IN_PROGRESS' || submission.closedAt !== null) {
      throw new DomainError('invalid-state', 'This submission is no draft any more: it cannot be changed.');
    }
    const before = submission.draft ?? emptyDraft;
    const draft: Draft = {
      sourceCode: change.sourceCode ?? before.sourceCode,
      documentation: change.documentation ?? before.documentation,
      files: change.files ?? before.files,
    };
    filesOf(draft, await selectSourcePath(tx, submission.revision.id));
    submission.draft = draft;
  });
}

/**
 * The files that a draft puts on top of the starter.
 *
 * @throws DomainError `validation`.
 */
export async function selectDraftFiles(em: Em, revisionId: string, draft: Draft): Promise<readonly DraftFile[]> {
  return filesOf(draft, await selectSourcePath(em, revisionId));
}

function filesOf(draft: Draft, sourcePath: string | null): readonly DraftFile[] {
  if (draft.sourceCode !== null && sourcePath === null) {
    throw new DomainError(
      'validation',
      'This exercise is solved in several files or languages: send them in files, not as source_code.',
    );
  }
  const files = [
    ...(draft.sourceCode === null || sourcePath === null ? [] : [{ path: sourcePath, content: draft.sourceCode }]),
    ...(draft.documentation === null ? [] : [{ path: documentationPath, content: draft.documentation }]),
    ...draft.files,
  ];
  const problem = findPathProblem(files.map((file) => file.path)) ?? gitPathOf(files);
  if (problem !== null) throw new DomainError('validation', `The path ${JSON.stringify(problem.path)} ${problem.problem}.`);
  return files;
}

/** git keeps its own data below such names, and refuses them in a commit; also as Windows reads names, where `\` parts them as well. */
function gitPathOf(files: readonly DraftFile[]): { path: string; problem: string } | null {
  const file = files.find(({ path }) => path.split(/[/\\]/).some((name) => /^(?:\.git|git~\d)/i.test(name)));
  return file === undefined ? null : { path: file.path, problem: "has a part that is git's own" };
}

/** Where `source_code` goes: the one file that the exercise's solution is written in; null where that is not one. */
export async function selectSourcePath(em: Em, revisionId: string): Promise<string | null> {
  const files = await em.find(RevisionFile, { revision: revisionId, role: 'solution' }, { fields: ['path'], limit: 2 });
  return files.length === 1 ? (files[0]?.path ?? null) : null;
}
