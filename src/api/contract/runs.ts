import { z } from 'zod';
import { verdicts } from '../../domain/check-runs.ts';
import { trialStatuses } from '../../domain/trial-runs.ts';
import { ById, defineContract, Id, text } from './core.ts';
import { After, EventStream } from './events.ts';
import { DraftContent, DraftFiles } from './submissions.ts';

const TrialResult = z
  .object({
    name: z.string(),
    status: z.enum(['exited', 'signalled', 'wall-time-limit', 'cpu-time-limit', 'memory-limit', 'output-limit']),
    exitCode: z.int().nullable(),
    wallTimeMs: z.number(),
    memoryPeakBytes: z.number(),
    stdout: z.string(),
    stderr: z.string(),
    tests: z
      .array(z.object({ name: z.string(), outcome: z.enum(['passed', 'failed', 'skipped']), message: z.string() }))
      .nullable(),
    verdict: z.enum(verdicts).nullable().meta({ description: 'Of a program: on a sample, or compile-error.' }),
    message: z.string(),
    diff: z.string().nullable(),
  })
  .meta({ id: 'TrialResult' });

const TrialOutput = z
  .object({ run: z.string(), stream: z.enum(['stdout', 'stderr']), text: z.string() })
  .meta({ id: 'TrialOutput' });

export const runsContract = defineContract({
  createRun: {
    method: 'post',
    path: '/runs',
    tag: 'runs',
    summary: 'Try code without submitting it: run the visible tests or samples, or with an input the program alone',
    access: 'user',
    isKeyed: true,
    maxBodyBytes: 1_000_000,
    body: z.strictObject({
      taskId: Id,
      content: DraftContent.optional(),
      files: DraftFiles.optional(),
      stdin: text(100_000, 0)
        .optional()
        .meta({ description: 'What the program reads; without it the visible tests or samples are run.' }),
    }),
    status: 202,
    response: z.object({ runId: z.uuid() }),
  },
  getRun: {
    method: 'get',
    path: '/runs/{id}',
    tag: 'runs',
    summary: 'One run that you asked for; it is kept for an hour',
    access: 'user',
    params: ById,
    status: 200,
    response: z
      .object({
        runId: z.uuid(),
        status: z.enum(trialStatuses),
        problem: z.string().nullable(),
        results: z.array(TrialResult),
        output: z.array(TrialOutput).meta({ description: 'What the runs wrote while they were under way, cut.' }),
      })
      .meta({ id: 'TrialRun' }),
  },
  followRun: {
    method: 'get',
    path: '/runs/{id}/events',
    tag: 'runs',
    summary: 'Follow a run live until it is done',
    access: 'user',
    params: ById,
    query: z.object({ after: After.optional() }),
    isStream: true,
    status: 200,
    response: EventStream(
      'An `output` for each piece that a run writes while it is under way, then a `result` for each run, then `end` with `{status, problem}`.',
    ),
  },
});
