import { selectSubmission } from '../../services/submissions.ts';
import type { submissionsContract } from '../contract/submissions.ts';
import type { Dependencies } from '../dependencies.ts';
import type { Handlers } from '../mount.ts';

export function submissionsHandlers({ config }: Dependencies): Handlers<typeof submissionsContract> {
  const workflowUrl = (workflowId: string) =>
    config.TEMPORAL_UI_ORIGIN === undefined
      ? null
      : `${config.TEMPORAL_UI_ORIGIN}/namespaces/${config.TEMPORAL_NAMESPACE}/workflows/${workflowId}`;
  return {
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
