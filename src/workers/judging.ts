import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createJudgingActivities } from '../activities/judging.ts';
import { createTrialJudgeActivities } from '../activities/trial-runs.ts';
import { readConfig } from '../config.ts';
import { openOrm } from '../database/orm.ts';
import { openFaults } from '../faults.ts';
import { createLogger } from '../logger.ts';
import { openSandbox } from '../sandbox/choose.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import { createBlobStore } from '../storage/blobs.ts';
import { createTemporalClient } from '../temporal/client.ts';
import { createSubmissionWorkflows } from '../temporal/submissions.ts';
import { taskQueues } from '../workflows/contract.ts';
import { runWorker } from './create-worker.ts';
import { repeatUntilStopped } from './repeat.ts';

/** The judging worker: the only process that runs untrusted code, and so the only one that may reach the Docker engine. */
const config = readConfig(process.env);
const logger = createLogger('judging-worker', config.LOG_LEVEL);

/** How often a machine without a sandbox is looked at again. */
const sandboxRetryMs = 15_000;

/** How often leftovers of dead workers are looked for. */
const reapIntervalMs = 60_000;

/** Waits for a sandbox: until there is one, this worker takes no job, and submissions wait in QUEUED. */
async function waitForSandbox(): Promise<Sandbox> {
  for (;;) {
    const { sandbox, probes } = await openSandbox(config.SANDBOX, {
      onMessage: (message) => logger.info(message),
      pool: config.SANDBOX_POOL,
      runtime: config.SANDBOX_RUNTIME,
      runner: { languages: config.RUNNER_LANGUAGES, base: config.RUNNER_BASE },
    });
    if (sandbox !== null) return sandbox;
    logger.error({ probes }, 'no sandbox: submissions wait in the queue');
    await delay(sandboxRetryMs);
  }
}

const sandbox = await waitForSandbox();

/** What other workers left, too: the deadline says that nobody works with it any more. */
async function reap(): Promise<void> {
  const sandboxes = await sandbox.reap(new Date());
  if (sandboxes > 0) logger.info({ sandboxes }, 'removed what a dead worker left');
}

const tellReapTrouble = (error: unknown) => logger.error({ err: error }, 'could not remove what dead workers left; trying again');
// Before this process can end because Temporal is away: the host is cleared whatever else is not there.
await reap().catch(tellReapTrouble);
const stopReaping = repeatUntilStopped(reap, { intervalMs: reapIntervalMs, onError: tellReapTrouble });
const faults = openFaults(config);
const orm = await openOrm(config.ATELIER_DATABASE_URL, faults.orm);
const client = createTemporalClient(config.TEMPORAL_ADDRESS, config.TEMPORAL_NAMESPACE);
const blobs = createBlobStore(join(config.ATELIER_DATA, 'blobs'));
const workflows = createSubmissionWorkflows(client);
await runWorker(
  config,
  logger,
  {
    taskQueue: taskQueues.judging,
    maxConcurrentActivityTaskExecutions: config.JUDGE_CONCURRENCY,
    activities: faults.around(
      {
        ...createJudgingActivities({
          orm,
          sandbox: faults.sandbox(sandbox),
          blobs,
          concurrency: config.JUDGE_CONCURRENCY,
          gitOrigin: config.ATELIER_GIT_ORIGIN,
          secret: config.JWT_SECRET,
          announceChecksStarted: (workflowId) => workflows.announceChecksStarted(workflowId),
        }),
        ...createTrialJudgeActivities({ orm, sandbox, blobs }),
      },
      { judgeSubmission: 'clone' },
    ),
  },
  async () => {
    stopReaping();
    await sandbox.close();
    await client.connection.close();
    await orm.close();
  },
);
