import { z } from 'zod';
import { languageNames, verdicts } from '../../domain/check-runs.ts';
import { reviewOutcomes } from '../../domain/reviews.ts';
import { conclusions, submissionStages, submissionStatuses } from '../../domain/submissions.ts';
import { ById, defineContract, Id, Instant, text } from './core.ts';
import { ClaimView, reviewers } from './reviews.ts';
import { AcceptedSubmission } from './tasks.ts';

const ScorePart = z.object({
  points: z.int(),
  maxPoints: z.int(),
  losses: z.array(z.object({ points: z.int(), file: z.string(), line: z.int(), message: z.string() })).readonly(),
});

export const ScoreView = z
  .object({
    points: z.int(),
    maxPoints: z.int(),
    parts: z.object({ quality: ScorePart, documentation: ScorePart, performance: ScorePart }),
  })
  .meta({ id: 'Score' });

const CheckRunView = z
  .object({
    id: z.uuid(),
    runNo: z.int(),
    verdict: z.enum(verdicts),
    sandbox: z.string(),
    language: z.enum(languageNames),
    languageVersion: z.string(),
    points: z.int().meta({ description: 'Of the tests that passed.' }),
    maxPoints: z.int(),
    score: ScoreView.nullable().meta({ description: "By the exercise's rubric; null where there is none." }),
    compilerOutput: z.string().nullable(),
    testsShareProcess: z.boolean().meta({
      description: "The student's code ran in the process that reported these tests, and could have forged the report.",
    }),
    notes: z.array(z.string()).readonly(),
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
        group: z.string(),
        verdict: z.enum(verdicts).nullable(),
        message: z.string(),
        diff: z.string().nullable().meta({ description: 'Expected against actual, as lines with - and +.' }),
        hint: z.string(),
        points: z.int(),
        maxPoints: z.int(),
        timeMs: z.int(),
        cpuTimeMs: z.int().nullable(),
        memoryPeakBytes: z.int().nullable(),
      }),
    ),
    finishedAt: Instant,
  })
  .meta({ id: 'CheckRun' });

/** What is written in the academy itself. */
export const DraftContent = z.strictObject({
  source_code: text(500_000, 0).optional(),
  documentation: text(200_000, 0).optional(),
});

export const DraftFiles = z.array(z.strictObject({ path: text(400), content: text(500_000, 0) })).max(200);

const DraftView = z.object({
  content: z.object({ source_code: z.string().nullable(), documentation: z.string().nullable() }),
  files: z.array(z.object({ path: z.string(), content: z.string() })),
});

const SubmissionView = z
  .object({
    id: z.uuid(),
    taskId: z.uuid(),
    studentId: z.uuid(),
    attemptNo: z.int(),
    counted: z.boolean().nullable(),
    status: z.enum(submissionStatuses),
    stage: z.enum(submissionStages).nullable(),
    queue: z
      .object({
        place: z
          .int()
          .meta({ description: 'Among those that wait for their checks, one of each student in turn; 1 is the next.' }),
        expectedAt: Instant.nullable().meta({
          description: 'When the verdict is expected; null where nothing is known to tell by.',
        }),
      })
      .nullable()
      .meta({ description: 'Null unless QUEUED.' }),
    conclusion: z.enum(conclusions).nullable(),
    source: z.object({ kind: z.enum(['hosted', 'files', 'remote']), url: z.string().nullable() }).nullable(),
    commit: z.string().nullable(),
    draft: DraftView.nullable().meta({ description: 'What was written in the academy; null where the code came by git.' }),
    submittedAt: Instant.nullable(),
    answerDueAt: Instant.nullable(),
    claim: ClaimView.nullable(),
    closedAt: Instant.nullable(),
    checkRun: CheckRunView.nullable(),
    review: z.object({ id: z.uuid(), outcome: z.enum(reviewOutcomes), comment: z.string(), createdAt: Instant }).nullable(),
    workflow: z
      .object({ id: z.string(), url: z.string().nullable() })
      .optional()
      .meta({ description: "For admins: where Temporal's web UI shows it." }),
  })
  .meta({ id: 'Submission' });

export const submissionsContract = defineContract({
  createDraft: {
    method: 'post',
    path: '/submissions',
    tag: 'submissions',
    summary: 'Open a draft of a task, to be written in the academy; a second call returns the open one',
    access: 'user',
    isKeyed: true,
    body: z.strictObject({ taskId: Id }),
    status: 201,
    response: SubmissionView,
  },
  changeDraft: {
    method: 'patch',
    path: '/submissions/{id}',
    tag: 'submissions',
    summary: 'Change a draft; what is left out stays',
    access: 'user',
    params: ById,
    maxBodyBytes: 2_000_000,
    body: z.strictObject({
      content: DraftContent.optional(),
      files: DraftFiles.optional().meta({
        description: 'All further files, in place of those before; they lie on top of the starter.',
      }),
    }),
    status: 200,
    response: SubmissionView,
  },
  submitDraft: {
    method: 'post',
    path: '/submissions/{id}/submit',
    tag: 'submissions',
    summary: 'Submit a draft; from then on it is locked',
    access: 'user',
    isKeyed: true,
    params: ById,
    status: 202,
    response: AcceptedSubmission,
  },
  claimSubmission: {
    method: 'post',
    path: '/submissions/{id}/claim',
    tag: 'reviews',
    summary: 'Claim a submission to review it; the holder repeats this as a sign of being there',
    access: reviewers,
    isKeyed: true,
    params: ById,
    body: z.strictObject({
      takeOver: z.boolean().optional().meta({ description: 'For admins: take it from the one who holds it.' }),
    }),
    status: 200,
    response: z.object({ leaseUntil: Instant }),
  },
  releaseSubmission: {
    method: 'post',
    path: '/submissions/{id}/release',
    tag: 'reviews',
    summary: 'Give a claim back',
    access: reviewers,
    isKeyed: true,
    params: ById,
    status: 200,
    response: z.object({ status: z.literal('released') }),
  },
  cancelSubmission: {
    method: 'post',
    path: '/submissions/{id}/cancel',
    tag: 'submissions',
    summary: 'Take a submission back before it is decided; it costs no attempt',
    access: 'user',
    isKeyed: true,
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
    response: SubmissionView,
  },
});
