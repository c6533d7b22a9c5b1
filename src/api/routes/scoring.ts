import { selectScoringJob, selectScoringJobId } from '../../services/scoring.ts';
import { answerOnce } from '../answer-once.ts';
import type { scoringContract } from '../contract/scoring.ts';
import type { Handlers } from '../mount.ts';

/** The check run in the words of an ancestor's clients: a job with an id, looked at until it is done. */
export const scoringHandlers: Handlers<typeof scoringContract> = {
  /** Creates nothing: the job came with the submission. */
  requestScoring: ({ em, actor, body, keyed }) =>
    answerOnce(em, keyed, async (tx) => ({ job_id: await selectScoringJobId(tx, actor, body.submissionId) })),
  async getScoring({ em, actor, params }) {
    const { jobId, ...job } = await selectScoringJob(em, actor, params.id);
    return { body: { job_id: jobId, ...job } };
  },
};
