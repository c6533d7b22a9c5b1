import { createTrialRun, lookAtTrialRun, removeTrialRun, selectTrialRun } from '../../services/trial-runs.ts';
import type { runsContract } from '../contract/runs.ts';
import type { Dependencies } from '../dependencies.ts';
import { HttpProblem } from '../middleware/problems.ts';
import type { Handlers } from '../mount.ts';

export function runsHandlers({
  orm,
  trials,
  queueLimits,
}: Pick<Dependencies, 'orm' | 'trials' | 'queueLimits'>): Handlers<typeof runsContract> {
  return {
    /** Unlike a submission, a run is not worth keeping for later: where its workflow cannot be started, it is not there. */
    async createRun({ em, actor, body, keyed }) {
      const { taskId, content, files = [], stdin = null } = body;
      const draft = { sourceCode: content?.source_code ?? null, documentation: content?.documentation ?? null, files };
      const answer = await createTrialRun(em, actor, { taskId, draft, stdin, key: keyed.key, queueLimits });
      if (answer.status === 'limited') {
        throw new HttpProblem(
          429,
          'rate-limited',
          'Your runs are used up for now: wait for those under way, or a little longer.',
          {
            headers: { 'Retry-After': String(Math.ceil(answer.waitMs / 1000)) },
          },
        );
      }
      const { runId, isReplay } = answer;
      try {
        // Also for a repeat: the first try may have ended before this.
        await trials.start({ runId, userId: actor.id });
      } catch (error) {
        await removeTrialRun(orm.em.fork(), runId);
        throw error;
      }
      return { body: { runId }, isReplay };
    },
    async getRun({ em, actor, params }) {
      const { results, output, ...run } = await selectTrialRun(em, actor, params.id);
      const shown = results.map((result) => ({ ...result, tests: result.tests && [...result.tests] }));
      return { body: { ...run, results: shown, output: [...output] } };
    },
    followRun: ({ params }) =>
      Promise.resolve({
        topic: params.id.toLowerCase(),
        look: (actor, after) => lookAtTrialRun(orm.em.fork(), actor, params.id, after),
      }),
  };
}
