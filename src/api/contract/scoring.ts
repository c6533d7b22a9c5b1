import { z } from 'zod';
import { verdicts } from '../../domain/check-runs.ts';
import { ById, defineContract, Id } from './core.ts';
import { ScoreView } from './submissions.ts';

export const scoringContract = defineContract({
  requestScoring: {
    method: 'post',
    path: '/scoring',
    tag: 'scoring',
    summary: 'The scoring job of a submission: submitting has created it, so this names the same one each time',
    access: 'user',
    isKeyed: true,
    body: z.strictObject({ submissionId: Id }),
    status: 202,
    response: z.object({ job_id: z.uuid() }),
  },
  getScoring: {
    method: 'get',
    path: '/scoring/{id}',
    tag: 'scoring',
    summary: 'Where a scoring job stands',
    access: 'user',
    params: ById,
    status: 200,
    response: z
      .object({
        job_id: z.uuid(),
        submissionId: z.uuid(),
        status: z.enum(['QUEUED', 'RUNNING', 'DONE', 'ERROR']),
        verdict: z.enum(verdicts).nullable(),
        passedPercent: z.int().nullable(),
        points: z.int().nullable().meta({ description: 'Of the tests that passed.' }),
        maxPoints: z.int().nullable(),
        score: ScoreView.nullable().meta({ description: "By the exercise's rubric, each lost point with its reason." }),
      })
      .meta({ id: 'ScoringJob' }),
  },
});
