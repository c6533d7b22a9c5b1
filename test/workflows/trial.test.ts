import { setTimeout as delay } from 'node:timers/promises';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ApplicationFailure } from '@temporalio/common';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker, type WorkflowBundle } from '@temporalio/worker';
import type { TrialJudgeActivities, TrialRunActivities } from '../../src/activities/trial-runs.ts';
import { createTrialWorkflows } from '../../src/temporal/trial-runs.ts';
import { taskQueues, trialWorkflowId } from '../../src/workflows/contract.ts';
import { trialWorkflow } from '../../src/workflows/trial.ts';
import { bundleWorkflows, startTemporal } from '../support/temporal.ts';
import { waitFor } from '../support/wait.ts';
import { createFakeActivities, startSubmission } from './support.ts';

let env: TestWorkflowEnvironment;
let workflowBundle: WorkflowBundle;

beforeAll(async () => {
  // As the product starts it; and with one queue in place of four, between which there is no order.
  const dynamicConfig = [
    'matching.useNewMatcher=true',
    ...['Read', 'Write'].map((side) => `matching.numTaskqueue${side}Partitions=1`),
  ];
  [env, workflowBundle] = await Promise.all([startTemporal(undefined, dynamicConfig), bundleWorkflows()]);
}, 60_000);

afterAll(() => env.teardown());

type Failure = Parameters<TrialRunActivities['failTrialRun']>[0];

const connectionOf = () => ({ connection: env.nativeConnection, namespace: env.namespace ?? 'default' });

/** Runs `use` beside the submissions worker, which writes down what it was told, and beside a judge where there is one. */
async function withWorkers<T>(judge: TrialJudgeActivities | null, use: (failures: Failure[]) => Promise<T>): Promise<T> {
  const failures: Failure[] = [];
  const submissions = await Worker.create({
    ...connectionOf(),
    taskQueue: taskQueues.submissions,
    workflowBundle,
    activities: { failTrialRun: async (failure: Failure) => void failures.push(failure) },
  });
  if (judge === null) return submissions.runUntil(use(failures));
  const judging = await Worker.create({ ...connectionOf(), taskQueue: taskQueues.judging, activities: judge });
  return submissions.runUntil(judging.runUntil(use(failures)));
}

const tryOut = (runId: string, queueMs = 30_000) =>
  env.client.workflow.execute(trialWorkflow, {
    taskQueue: taskQueues.submissions,
    workflowId: trialWorkflowId(runId),
    args: [{ runId, queueMs }],
  });

describe('trialWorkflow', () => {
  it('has a judge run the code', async () => {
    const runId = randomUUID();
    const made: string[] = [];
    await withWorkers({ makeTrialRun: async (input) => void made.push(input.runId) }, async (failures) => {
      await tryOut(runId);
      expect({ made, failures }).toEqual({ made: [runId], failures: [] });
    });
  });

  it("tries once more after a sandbox's passing trouble, and not a third time", async () => {
    const runId = randomUUID();
    let attempts = 0;
    const judge = (troubles: number): TrialJudgeActivities => ({
      makeTrialRun: async () => {
        attempts += 1;
        if (attempts <= troubles) throw ApplicationFailure.create({ message: 'no room', type: 'sandbox' });
      },
    });
    await withWorkers(judge(1), async (failures) => {
      await tryOut(runId);
      expect({ attempts, failures }).toEqual({ attempts: 2, failures: [] });
    });
    attempts = 0;
    const second = randomUUID();
    await withWorkers(judge(5), async (failures) => {
      await tryOut(second);
      expect({ attempts, failures }).toEqual({ attempts: 2, failures: [{ runId: second, reason: 'trouble' }] });
    });
  });

  it('does not repeat what a repeat cannot mend', async () => {
    const runId = randomUUID();
    let attempts = 0;
    const makeTrialRun = async () => {
      attempts += 1;
      throw ApplicationFailure.nonRetryable('the image is missing', 'sandbox');
    };
    await withWorkers({ makeTrialRun }, async (failures) => {
      await tryOut(runId);
      expect({ attempts, failures }).toEqual({ attempts: 1, failures: [{ runId, reason: 'trouble' }] });
    });
  });

  it('ends in an answer where no judge is there', async () => {
    const runId = randomUUID();
    await withWorkers(null, async (failures) => {
      await tryOut(runId, 300);
      expect(failures).toEqual([{ runId, reason: 'no-judge' }]);
    });
  });

  it('waits behind submissions, however late they come', async () => {
    const order: string[] = [];
    const { activities } = createFakeActivities();
    const { judgeSubmission: _, ...rest } = activities;
    const submissions = await Worker.create({
      ...connectionOf(),
      taskQueue: taskQueues.submissions,
      workflowBundle,
      activities: { ...rest, failTrialRun: async () => undefined },
    });
    await submissions.runUntil(async () => {
      const trials = Array.from({ length: 8 }, () => tryOut(randomUUID(), 60_000));
      await waitFor('the trials in the queue', async () => ((await backlog()) >= 8 ? true : null));
      await startSubmission(env);
      await waitFor('the submission in the queue', async () => ((await backlog()) >= 9 ? true : null));
      // As a judge with one place that has been busy until now.
      const judge = await Worker.create({
        ...connectionOf(),
        taskQueue: taskQueues.judging,
        maxConcurrentActivityTaskExecutions: 1,
        maxConcurrentActivityTaskPolls: 1,
        activities: {
          async makeTrialRun() {
            order.push('trial');
            // The server reads each priority by itself: a busy one may give out some trials before it has read the submission.
            await delay(250);
          },
          judgeSubmission: async () => {
            order.push('submission');
            return { status: 'source-unavailable' };
          },
        },
      });
      await judge.runUntil(Promise.all(trials));
    });
    expect(order.filter((what) => what === 'trial')).toHaveLength(8);
    // Without a priority it would be last.
    expect(order.indexOf('submission')).toBeLessThan(8);
    expect(order).toContain('submission');
  });
});

/** Tasks that wait for a judge. */
async function backlog(): Promise<number> {
  const { stats } = await env.client.workflowService.describeTaskQueue({
    namespace: env.namespace ?? 'default',
    taskQueue: { name: taskQueues.judging },
    taskQueueType: 2,
    reportStats: true,
  });
  return Number(stats?.approximateBacklogCount ?? 0);
}

describe('createTrialWorkflows', () => {
  it('starts a run once, also when it is asked twice and when the run is over', async () => {
    const runId = randomUUID();
    const made: string[] = [];
    const { start } = createTrialWorkflows(env.client);
    const trial = { runId, userId: randomUUID() };
    await withWorkers({ makeTrialRun: async (input) => void made.push(input.runId) }, async () => {
      await Promise.all([start(trial), start(trial)]);
      await env.client.workflow.getHandle(trialWorkflowId(runId)).result();
      await start(trial);
    });
    expect(made).toEqual([runId]);
  });
});
