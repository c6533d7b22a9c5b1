import { afterAll, beforeAll } from '@jest/globals';
import { bundleWorkflows, startTemporal } from '../support/temporal.ts';
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker, type WorkflowBundle } from '@temporalio/worker';
import type { JudgingActivities } from '../../src/activities/judging.ts';
import type { OverrideActivities } from '../../src/activities/overrides.ts';
import type { SubmissionActivities } from '../../src/activities/submissions.ts';
import type { ClaimRequest, DecisionRequest, ReleaseRequest } from '../../src/domain/reviews.ts';
import { currentFlow, flowMemo, searchAttributes, submissionState, taskQueues } from '../../src/workflows/contract.ts';
import { submissionWorkflow } from '../../src/workflows/submission.ts';
import { waitFor } from '../support/wait.ts';

export type FakeActivities = SubmissionActivities & JudgingActivities & OverrideActivities;

export const hourMs = 3_600_000;

export type Handle = Awaited<ReturnType<typeof startSubmission>>['handle'];

/** Activities that succeed and write down what they were asked; a test overrides the one that it is about. */
export function createFakeActivities(overrides: Partial<FakeActivities> = {}): { calls: string[]; activities: FakeActivities } {
  const calls: string[] = [];
  const plain: FakeActivities = {
    fetchSource: async () => ({ status: 'ready' }),
    fetchRemoteSource: async () => ({ status: 'ready' }),
    judgeSubmission: async () => ({ status: 'judged', verdict: 'accepted', checkRunId: 'run-1' }),
    openReview: async () => ({ remindAt: Date.now() + hourMs, dueAt: Date.now() + 2 * hourMs }),
    commitDecision: async ({ requestId }) => ({ status: 'committed', reviewId: `review-of-${requestId}`, xpAdded: 50 }),
    remindReviewers: async () => null,
    concludeWithoutReview: async ({ conclusion }) => ({ conclusion }),
    enterStage: async () => undefined,
    commitClaim: async () => ({ status: 'claimed', leaseUntil: Date.now() + hourMs }),
    commitRelease: async () => null,
    checkLease: async () => ({ status: 'lapsed' }),
    recordOverrideSignal: async () => ({ status: 'recorded' }),
    stopSubmission: async () => undefined,
    commitOverride: async () => undefined,
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
export async function startSubmission(env: TestWorkflowEnvironment, studentId: string = randomUUID(), flow = currentFlow) {
  const submissionId = randomUUID();
  const handle = await env.client.workflow.start(submissionWorkflow, {
    taskQueue: taskQueues.submissions,
    workflowId: `submission-${submissionId}`,
    args: [{ submissionId, studentId }],
    memo: { [flowMemo]: flow },
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
export const permanentFailure = (message: string, details: unknown[] = []) =>
  ApplicationFailure.nonRetryable(message, 'sandbox', ...details);

export const claimOf = (actorId: string, mayTakeOver = false): ClaimRequest => ({
  requestId: randomUUID(),
  actorId,
  mayTakeOver,
});

export const releaseOf = (actorId: string, isAdmin = false): ReleaseRequest => ({ requestId: randomUUID(), actorId, isAdmin });

export const stageOf = async (handle: Handle) => (await handle.query(submissionState)).stage;

export const waitForStage = (handle: Handle, stage: string) =>
  waitFor(`stage ${stage}`, async () => ((await stageOf(handle)) === stage ? stage : null));

export const waitForCall = (calls: readonly string[], call: string) =>
  waitFor(call, async () => (calls.includes(call) ? call : null));

/** The type of the failure that an update is refused with. */
export async function refusalType(update: Promise<unknown>): Promise<string | null | undefined> {
  try {
    await update;
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError && error.cause instanceof ApplicationFailure) return error.cause.type;
    throw error;
  }
  return 'not refused';
}

export const historiesFolder = join(import.meta.dirname, 'histories');

/** What a stored history shows: its file is named <release>-<branch>.json. */
export const branchOf = (file: string) => file.replace(/^[\d.]+-|\.json$/g, '');

/** With RECORD_HISTORIES=<release> the histories of all branches are kept for replay.test.ts, those that the release has already excepted. */
export async function record(handle: Handle, branch: string): Promise<void> {
  const release = process.env['RECORD_HISTORIES'];
  if (release === undefined) return;
  await mkdir(historiesFolder, { recursive: true });
  if ((await readdir(historiesFolder)).includes(`${release}-${branch}.json`)) return;
  // Who recorded it, and where, is nobody's business.
  const history = historyToJSON(await handle.fetchHistory())
    .replaceAll(/"identity": *"[^"]*"/g, '"identity":"worker"')
    .replaceAll(join(import.meta.dirname, '../..'), '');
  await writeFile(join(historiesFolder, `${release}-${branch}.json`), history);
}

/** A Temporal server of its own and the bundled workflows for all tests of a file. */
export function useTemporal(): { readonly env: TestWorkflowEnvironment; readonly bundle: WorkflowBundle } {
  let env: TestWorkflowEnvironment;
  let bundle: WorkflowBundle;
  beforeAll(async () => {
    env = await startTemporal();
    bundle = await bundleWorkflows();
  }, 60_000);
  afterAll(() => env.teardown());
  return {
    get env() {
      return env;
    },
    get bundle() {
      return bundle;
    },
  };
}
