import { DomainError } from '../../domain/errors.ts';
import type { Actor } from '../../domain/users.ts';
import { renewClaim, requestClaim } from '../../services/claims.ts';
import { changeDraft, openDraft } from '../../services/drafts.ts';
import { selectSubmission, type SubmissionView } from '../../services/submission-views.ts';
import { cancelWithoutWorkflow, requestCancel, selectOptionalConclusion } from '../../services/submissions.ts';
import { selectTask } from '../../services/tasks.ts';
import { answerOnce } from '../answer-once.ts';
import type { submissionsContract } from '../contract/submissions.ts';
import type { Dependencies } from '../dependencies.ts';
import type { Handlers } from '../mount.ts';
import { createSubmit } from '../submit.ts';
import { temporalLink } from '../temporal-link.ts';

export function submissionsHandlers(dependencies: Dependencies): Handlers<typeof submissionsContract> {
  const { config, orm, workflows } = dependencies;
  const submit = createSubmit(dependencies);

  function shown(actor: Actor, { workflowId, checkRun, draft, ...submission }: SubmissionView) {
    return {
      ...submission,
      draft: draft && {
        content: { source_code: draft.sourceCode, documentation: draft.documentation },
        files: [...draft.files],
      },
      checkRun: checkRun && {
        ...checkRun,
        runs: [...checkRun.runs],
        lintFindings: [...checkRun.lintFindings],
        tests: [...checkRun.tests],
      },
      ...(actor.role === 'SUPER_ADMIN' && { workflow: temporalLink(config, workflowId) }),
    };
  }

  const select = async (actor: Actor, submissionId: string) =>
    shown(actor, await selectSubmission(orm.em.fork(), actor, submissionId));

  /** Who sees a submission that is not theirs is told so; who does not see it finds nothing. */
  async function selectOwn(actor: Actor, submissionId: string, refusal: string): Promise<SubmissionView> {
    const submission = await selectSubmission(orm.em.fork(), actor, submissionId);
    if (submission.studentId !== actor.id) throw new DomainError('forbidden', refusal);
    return submission;
  }

  return {
    createDraft: ({ em, actor, body, keyed }) =>
      answerOnce(em, keyed, async (tx) => {
        const task = await selectTask(tx, actor, body.taskId);
        if (task.assigneeId !== actor.id) throw new DomainError('forbidden', 'Only the assignee writes a draft.');
        const { submissionId } = await openDraft(tx, actor, body.taskId);
        await tx.flush();
        return shown(actor, await selectSubmission(tx, actor, submissionId));
      }),
    async changeDraft({ em, actor, params, body }) {
      await selectOwn(actor, params.id, 'Only the student changes a draft.');
      const { content, files } = body;
      const change = { sourceCode: content?.source_code, documentation: content?.documentation, files };
      await changeDraft(em, actor, params.id, change);
      return { body: await select(actor, params.id) };
    },
    async submitDraft({ actor, params, keyed }) {
      const { taskId } = await selectOwn(actor, params.id, 'Only the assignee submits.');
      return submit({ actor, taskId, draftId: params.id, keyed });
    },
    /** Stores what is asked, has the workflow claim, and answers when the claim is committed. Its holder only moves the lease. */
    async claimSubmission({ em, actor, params, body, keyed }) {
      // Before anything is looked up: the answer must not tell whose it is.
      if (body.takeOver === true && actor.role !== 'SUPER_ADMIN') {
        throw new DomainError('forbidden', 'Only admins take a claim over.');
      }
      const renewed = await renewClaim(em, actor, params.id);
      if (renewed !== null) return { body: { leaseUntil: renewed } };
      const about = { kind: 'claim', submissionId: params.id, key: keyed.key } as const;
      const { requestId, workflowId, isRepeat } = await requestClaim(orm.em.fork(), actor, { ...about, ...body });
      const result = await workflows.claim(workflowId, { requestId, actorId: actor.id, mayTakeOver: body.takeOver ?? false });
      if (result.status === 'closed') throw await notRunning(params.id);
      return { body: { leaseUntil: result.leaseUntil }, isReplay: isRepeat };
    },
    async releaseSubmission({ em, actor, params, keyed }) {
      const about = { kind: 'release', submissionId: params.id, key: keyed.key } as const;
      const { requestId, workflowId, isRepeat } = await requestClaim(em, actor, about);
      const request = { requestId, actorId: actor.id, isAdmin: actor.role === 'SUPER_ADMIN' };
      const { status } = await workflows.release(workflowId, request);
      if (status === 'closed') throw await notRunning(params.id);
      return { body: { status: 'released' }, isReplay: isRepeat };
    },
    /** Told is not yet done: a sandbox is stopped first. A repeat changes nothing. */
    async cancelSubmission({ em, actor, params, keyed }) {
      const asked = await requestCancel(em, actor, { submissionId: params.id, key: keyed.key });
      if ('conclusion' in asked) return { body: { status: 'cancelling' } };
      const { requestId, workflowId, isRepeat } = asked;
      const request = { requestId, actorId: actor.id, isAdmin: actor.role === 'SUPER_ADMIN' };
      const { status } = await workflows.cancel(workflowId, request);
      if (status === 'closed') {
        const conclusion = await cancelWithoutWorkflow(orm.em.fork(), actor, params.id);
        if (conclusion === null) throw new DomainError('unavailable', 'Its workflow is not started yet: try again.');
        if (conclusion !== 'cancelled' && conclusion !== 'closed-by-admin')
          throw new DomainError('already-decided', 'This submission is closed already.');
      }
      return { body: { status: 'cancelling' }, isReplay: isRepeat };
    },
    async getSubmission({ actor, params }) {
      return { body: await select(actor, params.id) };
    },
  };

  /** What to say where the workflow does not run: it has ended, is not started yet, or the reconciler is about to start another. */
  async function notRunning(submissionId: string): Promise<DomainError> {
    const conclusion = await selectOptionalConclusion(orm.em.fork(), submissionId);
    return conclusion === null
      ? new DomainError('invalid-state', 'This submission does not await a review.')
      : new DomainError('already-decided', 'This submission is closed already.');
  }
}
