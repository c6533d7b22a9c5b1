import type { Em } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import { isEmptyDraft, type SubmissionSource } from '../domain/submissions.ts';
import type { Actor } from '../domain/users.ts';
import { defaultBranch } from '../git/repositories.ts';
import { selectDraftFiles } from '../services/drafts.ts';
import { selectStarterFiles } from '../services/exercises.ts';
import { type KeyedRequest, once } from '../services/idempotency.ts';
import { admitSubmission } from '../services/queue.ts';
import {
  markSubmissionStarted,
  newSubmissionId,
  selectStartable,
  type SourceInput,
  submitTask,
} from '../services/submissions.ts';
import { selectTask } from '../services/tasks.ts';
import type { tasksContract } from './contract/tasks.ts';
import type { Dependencies } from './dependencies.ts';
import type { Answer } from './mount.ts';

type Accepted = Answer<typeof tasksContract.submitTask>['body'];

/** What is submitted: the task's open draft or repository, at a ref; or one draft. */
export interface SubmitInput {
  readonly actor: Actor;
  readonly taskId: string;
  readonly ref?: string | undefined;
  readonly draftId?: string;
  readonly keyed: KeyedRequest;
}

/** Accepts a submission: in one transaction the row, then best effort its workflow. Both ways to submit come here. */
export function createSubmit({ config, orm, repositories, workflows, logger, queueLimits }: Dependencies) {
  /**
   * The commit to judge, resolved once: what is pushed later is the next attempt's. Only another host's is resolved by the workflow.
   * Reads by the caller's transaction: others who wait for its locks may hold all other connections.
   */
  async function makeSource(tx: Em, about: SourceInput, ref: string | undefined): Promise<SubmissionSource> {
    const { repositoryId, submissionId, draft, repoUrl, revisionId } = about;
    if (draft !== null && !isEmptyDraft(draft)) {
      if (ref !== undefined) {
        throw new DomainError(
          'validation',
          'A draft is open: submit it without a ref, or take it back to submit what was pushed.',
        );
      }
      const files = await selectDraftFiles(tx, revisionId, draft);
      return { kind: 'files', repositoryId, commit: await repositories.commitFiles(repositoryId, submissionId, files) };
    }
    if (repoUrl !== null) return { kind: 'remote', repositoryId, url: repoUrl, ref: ref ?? null, commit: null };
    const commit = await resolvePushed(repositoryId, ref ?? defaultBranch);
    // Before the transaction ends: a submission without its commit cannot exist.
    await repositories.pin(repositoryId, submissionId, commit);
    return { kind: 'hosted', repositoryId, commit };
  }

  async function resolvePushed(repositoryId: string, ref: string): Promise<string> {
    const resolved = await repositories.resolve(repositoryId, ref);
    if (resolved.status === 'missing') {
      throw new DomainError('ref-not-found', `The repository has no branch, tag or commit "${ref}": push it first.`);
    }
    if (resolved.isStarter) {
      throw new DomainError('nothing-pushed', 'Only the starter is there: commit your work, push it, then submit.');
    }
    return resolved.commit;
  }

  /** Starts the workflow without making the student wait for it: where it fails, the relay starts it from the row. */
  async function startSoon(submissionId: string): Promise<void> {
    try {
      await workflows.start(await selectStartable(orm.em.fork(), submissionId));
      await markSubmissionStarted(orm.em.fork(), submissionId);
    } catch (error) {
      logger.warn({ err: error, submissionId }, 'accepted; the relay will start its workflow');
    }
  }

  return async ({ actor, taskId, ref, draftId, keyed }: SubmitInput): Promise<{ body: Accepted; isReplay: boolean }> => {
    const task = await selectTask(orm.em.fork(), actor, taskId);
    if (task.assigneeId !== actor.id) throw new DomainError('forbidden', 'Only the assignee submits.');
    // Before the transaction: making a repository takes a connection of its own.
    await repositories.ensure(task.repositoryId, () => selectStarterFiles(orm.em.fork(), task.repositoryId));
    const answer = await once(orm.em.fork(), keyed, async (tx) => {
      // Here and not before: a repeat of what was accepted gets its answer, however full the queue is now.
      await admitSubmission(tx, actor.id, queueLimits);
      const submitted = await submitTask(tx, {
        taskId: task.id,
        actorId: actor.id,
        submissionId: newSubmissionId(),
        ...(draftId !== undefined && { draftId }),
        makeSource: (about) => makeSource(tx, about, ref),
      });
      const accepted: Accepted = {
        ...submitted,
        statusUrl: `${config.ATELIER_ORIGIN}/api/submissions/${submitted.submissionId}`,
      };
      return { status: 202, body: accepted };
    });
    const body = answer.body as Accepted;
    if (!answer.isReplay) await startSoon(body.submissionId);
    return { body, isReplay: answer.isReplay };
  };
}
