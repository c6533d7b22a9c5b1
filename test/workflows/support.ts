import { randomUUID } from 'node:crypto';
import { ApplicationFailure } from '@temporalio/common';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker, type WorkflowBundle } from '@temporalio/worker';
import type { JudgingActivities } from '../../src/activities/judging.ts';
import type { SubmissionActivities } from '../../src/activities/submissions.ts';
import type { DecisionRequest } from '../../src/domain/reviews.ts';
import { searchAttributes, taskQueues } from '../../src/workflows/contract.ts';
import { submissionWorkflow } from '../../src/workflows/submission.ts';

export type FakeActivities = SubmissionActivities & JudgingActivities;

export const hourMs = 3_600_000;

/** Activities that succeed and write down what they were asked; a test overrides the one that it is about. */
export function createFakeActivities(overrides: Partial<FakeActivities> = {}): { calls: string[]; activities: FakeActivities } {
  const calls: string[] = [];
  const plain: FakeActivities = {
    fetchSource: async () => ({ status: 'ready' }),
    judgeSubmission: async () => ({ status: 'judged', verdict: 'accepted', checkRunId: 'run-1' }),
    openReview: async () => ({ remindAt: Date.now() + hourMs, dueAt: Date.now() + 2 * hourMs }),
    commitDecision: async ({ requestId }) => ({ status: 'committed', reviewId: `review-of-${requestId}`, xpAdded: 50 }),
    remindReviewers: async () => undefined,
    concludeWithoutReview: async () => undefined,
    enterStage: async () => undefined,
  };
  const activities = { ...plain, ...overrides };
  const recorded = Object.fromEntries(
    Object.entries(activities).map(([name, run]) => [
      name,
      async (input: { stage?: string; kind?: string; conclusion?: string }) => {
        const detail = input.stage ?? input.kind ?? input.conclusion;
        calls.push(detail === undefined ? name : `${name} ${detail}`);
        return (run as (input: unknown) => Promise<unknown>)(input);
      },
    ]),
  );
  return { calls, activities: recorded as unknown as FakeActivities };
}

/** Runs `use` while workers serve both task queues with these activities. */
export async function withWorkers<T>(
  env: TestWorkflowEnvironment,
  workflowBundle: WorkflowBundle,
  activities: FakeActivities,
  use: () => Promise<T>,
): Promise<T> {
  const { nativeConnection: connection, namespace = 'default' } = env;
  const { judgeSubmission, ...rest } = activities;
  const common = { connection, namespace, shutdownForceTime: '2s' } as const;
  const submissions = await Worker.create({ ...common, taskQueue: taskQueues.submissions, workflowBundle, activities: rest });
  const judging = await Worker.create({ ...common, taskQueue: taskQueues.judging, activities: { judgeSubmission } });
  return submissions.runUntil(judging.runUntil(use()));
}

/** Starts a submission's workflow as the product does. */
export async function startSubmission(env: TestWorkflowEnvironment, studentId: string = randomUUID()) {
  const submissionId = randomUUID();
  const handle = await env.client.workflow.start(submissionWorkflow, {
    taskQueue: taskQueues.submissions,
    workflowId: `submission-${submissionId}`,
    args: [{ submissionId, studentId }],
    typedSearchAttributes: [{ key: searchAttributes.submissionStatus, value: 'QUEUED' }],
  });
  return { submissionId, studentId, handle };
}

export const decisionOf = (outcome: DecisionRequest['outcome'], actorId: string = randomUUID()): DecisionRequest => ({
  requestId: randomUUID(),
  actorId,
  outcome,
  via: 'api',
});

/** What a permanently failing activity throws. */
export const permanentFailure = (message: string) => ApplicationFailure.nonRetryable(message, 'sandbox');
