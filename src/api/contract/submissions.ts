import { z } from 'zod';
import { verdicts } from '../../domain/check-runs.ts';
import { reviewOutcomes } from '../../domain/reviews.ts';
import { conclusions, submissionStages, submissionStatuses } from '../../domain/submissions.ts';
import { ById, defineContract, Instant } from './core.ts';

const CheckRunView = z
  .object({
    id: z.uuid(),
    runNo: z.int(),
    verdict: z.enum(verdicts),
    sandbox: z.string(),
    runs: z.array(
      z.object({
        name: z.string(),
        status: z.string(),
        exitCode: z.int().nullable(),
        wallTimeMs: z.number(),
        cpuTimeMs: z.number(),
        memoryPeakBytes: z.number(),
      }),
    ),
    lintFindings: z.array(
      z.object({
        file: z.string(),
        line: z.int(),
        rule: z.string(),
        severity: z.enum(['error', 'warning']),
        message: z.string(),
      }),
    ),
    tests: z.array(
      z.object({
        suite: z.enum(['visible', 'hidden']),
        name: z.string(),
        outcome: z.enum(['passed', 'failed', 'skipped']),
        message: z.string(),
        timeMs: z.int(),
      }),
    ),
    finishedAt: Instant,
  })
  .meta({ id: 'CheckRun' });

export const submissionsContract = defineContract({
  cancelSubmission: {
    method: 'post',
    path: '/submissions/{id}/cancel',
    tag: 'submissions',
    summary: 'Take a submission back before it is decided; it costs no attempt',
    access: 'user',
    params: ById,
    status: 202,
    response: z.object({ status: z.literal('cancelling') }),
  },
  getSubmission: {
    method: 'get',
    path: '/submissions/{id}',
    tag: 'submissions',
    summary: 'One submission with its checks and its review',
    access: 'user',
    params: ById,
    status: 200,
    response: z
      .object({
        id: z.uuid(),
        taskId: z.uuid(),
        studentId: z.uuid(),
        attemptNo: z.int(),
        counted: z.boolean().nullable(),
        status: z.enum(submissionStatuses),
        stage: z.enum(submissionStages),
        conclusion: z.enum(conclusions).nullable(),
        commit: z.string(),
        submittedAt: Instant,
        answerDueAt: Instant.nullable(),
        closedAt: Instant.nullable(),
        checkRun: CheckRunView.nullable(),
        review: z.object({ id: z.uuid(), outcome: z.enum(reviewOutcomes), comment: z.string(), createdAt: Instant }).nullable(),
        workflow: z
          .object({ id: z.string(), url: z.string().nullable() })
          .optional()
          .meta({ description: "For admins: where Temporal's web UI shows it." }),
      })
      .meta({ id: 'Submission' }),
  },
});
