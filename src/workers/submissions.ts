import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createOverrideActivities } from '../activities/overrides.ts';
import { createSubmissionActivities } from '../activities/submissions.ts';
import { createTrialRunActivities } from '../activities/trial-runs.ts';
import { readConfig } from '../config.ts';
import { openOrm } from '../database/orm.ts';
import { openFaults } from '../faults.ts';
import { removeStaleFetches } from '../git/stale-fetches.ts';
import { openRepositories } from '../git/repositories.ts';
import { createLogger } from '../logger.ts';
import { prune } from '../services/prune.ts';
import { removeOldTrialRuns } from '../services/trial-runs.ts';
import { createTemporalClient } from '../temporal/client.ts';
import { createDeliveryStarter } from '../temporal/deliveries.ts';
import { prepareNamespace } from '../temporal/namespace.ts';
import { createOverrideWorkflows } from '../temporal/overrides.ts';
import { createWorkflowInspection } from '../temporal/reconcile.ts';
import { createSubmissionWorkflows } from '../temporal/submissions.ts';
import { taskQueues } from '../workflows/contract.ts';
import { runWorker, workflowsPath } from './create-worker.ts';
import { reconcile } from './reconciler.ts';
import { runRelay } from './relay.ts';
import { repeatUntilStopped } from './repeat.ts';

/** The submissions worker: all workflows, their short database activities, the relay, and the reconciler. */
const config = readConfig(process.env);
const logger = createLogger('submissions-worker', config.LOG_LEVEL);

/** How often PostgreSQL and Temporal are compared; a workflow that is gone is replaced within two turns. */
const reconcileIntervalMs = 60_000;
const reconcileGraces = { lost: 60_000, idle: 5 * 60_000 } as const;

/** Longer than any fetch takes. */
const staleFetchMs = 10 * 60_000;

/** How often what is old is removed: fetches of dead workers, trial runs, keys, ended sessions. */
const cleaningIntervalMs = 5 * 60_000;

const faults = openFaults(config);
const orm = await openOrm(config.ATELIER_DATABASE_URL, faults.orm);
const client = createTemporalClient(config.TEMPORAL_ADDRESS, config.TEMPORAL_NAMESPACE);
await prepareNamespace(client);
const workflows = createSubmissionWorkflows(client);
const stopRelay = new AbortController();
const relay = runRelay({
  orm,
  workflows: faults.around(workflows, { start: 'relay-start' }),
  ...faults.around({ startDelivery: createDeliveryStarter(client) }, { startDelivery: 'enqueue-mail' }),
  startOverride: (overrideId) => createOverrideWorkflows(client).start(overrideId),
  logger,
  signal: stopRelay.signal,
});
const stopReconciling = repeatUntilStopped(
  async () => {
    await reconcile({ orm, inspection: createWorkflowInspection(client), logger }, reconcileGraces);
  },
  {
    intervalMs: reconcileIntervalMs,
    onError: (error) => logger.warn({ err: error }, 'could not reconcile PostgreSQL and Temporal; trying again'),
  },
);
const scratchFolder = join(config.ATELIER_DATA, 'fetches');
await mkdir(scratchFolder, { recursive: true, mode: 0o700 });
const stopCleaning = repeatUntilStopped(
  async () => {
    const now = new Date();
    await removeStaleFetches(scratchFolder, new Date(now.getTime() - staleFetchMs));
    await removeOldTrialRuns(orm.em.fork());
    await prune(orm.em.fork(), now);
  },
  {
    intervalMs: cleaningIntervalMs,
    onError: (error) => logger.warn({ err: error }, 'could not remove what is old; trying again'),
  },
);
const repositories = openRepositories(join(config.ATELIER_DATA, 'repositories'));
await runWorker(
  config,
  logger,
  {
    taskQueue: taskQueues.submissions,
    workflowsPath,
    activities: faults.around(
      {
        ...createSubmissionActivities({ orm, repositories, repoHosts: config.REPO_HOSTS, scratchFolder }),
        ...createOverrideActivities({ orm, workflows }),
        ...createTrialRunActivities({ orm }),
      },
      {
        fetchSource: 'fetch-source',
        fetchRemoteSource: 'fetch-source',
        openReview: 'await-review',
        commitDecision: 'apply-tx',
        commitOverride: 'reverse-xp',
        concludeWithoutReview: 'close',
      },
    ),
  },
  async () => {
    stopReconciling();
    stopCleaning();
    stopRelay.abort();
    await relay;
    await client.connection.close();
    await orm.close();
  },
);
