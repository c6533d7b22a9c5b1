import { DomainError } from '../../domain/errors.ts';
import { selectSubmission } from '../../services/submission-views.ts';
import { cancelWithoutWorkflow, requestCancel } from '../../services/submissions.ts';
import type { submissionsContract } from '../contract/submissions.ts';
import type { Dependencies } from '../dependencies.ts';
import type { Handlers } from '../mount.ts';

export function submissionsHandlers({ config, orm, workflows }: Dependencies): Handlers<typeof submissionsContract> {
  const workflowUrl = (workflowId: string) =>
    config.TEMPORAL_UI_ORIGIN === undefined
      ? null
      : `${config.TEMPORAL_UI_ORIGIN}/namespaces/${config.TEMPORAL_NAMESPACE}/workflows/${workflowId}`;
  return {
    /** Told is not yet done: a sandbox is stopped first. A repeat changes nothing. */
    async cancelSubmission({ em, actor, params }) {
      const { workflowId } = await requestCancel(em, actor, params.id);
      const request = { actorId: actor.id, isAdmin: actor.role === 'SUPER_ADMIN' };
      const { status } = await workflows.cancel(workflowId, request);
      if (status === 'closed') {
        const conclusion = await cancelWithoutWorkflow(orm.em.fork(), actor, params.id);
        if (conclusion === null) throw new DomainError('unavailable', 'Its workflow is not started yet: try again.');
        if (conclusion !== 'cancelled' && conclusion !== 'closed-by-admin')
          throw new DomainError('already-decided', 'This submission is closed already.');
      }
      return { body: { status: 'cancelling' } };
    },
    async getSubmission({ em, actor, params }) {
      const { workflowId, checkRun, ...submission } = await selectSubmission(em, actor, params.id);
      return {
        body: {
          ...submission,
          checkRun: checkRun && {
            ...checkRun,
            runs: [...checkRun.runs],
            lintFindings: [...checkRun.lintFindings],
            tests: [...checkRun.tests],
          },
          ...(actor.role === 'SUPER_ADMIN' && { workflow: { id: workflowId, url: workflowUrl(workflowId) } }),
        },
      };
    },
  };
}
