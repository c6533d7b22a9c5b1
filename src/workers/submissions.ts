import { join } from 'node:path';
import { createSubmissionActivities } from '../activities/submissions.ts';
import { readConfig } from '../config.ts';
import { openOrm } from '../database/orm.ts';
import { openRepositories } from '../git/repositories.ts';
import { createLogger } from '../logger.ts';
import { createTemporalClient } from '../temporal/client.ts';
import { createDeliveryStarter } from '../temporal/deliveries.ts';
import { prepareNamespace } from '../temporal/namespace.ts';
import { createSubmissionWorkflows } from '../temporal/submissions.ts';
import { taskQueues } from '../workflows/contract.ts';
import { runWorker, workflowsPath } from './create-worker.ts';
import { runRelay } from './relay.ts';

/** The submissions worker: all workflows, their short database activities, and the relay. */
const config = readConfig(process.env);
const logger = createLogger('submissions-worker', config.LOG_LEVEL);
const orm = await openOrm(config.ATELIER_DATABASE_URL);
const client = createTemporalClient(config.TEMPORAL_ADDRESS, config.TEMPORAL_NAMESPACE);
await prepareNamespace(client);
const stopRelay = new AbortController();
const relay = runRelay({
  orm,
  workflows: createSubmissionWorkflows(client),
  startDelivery: createDeliveryStarter(client),
  logger,
  signal: stopRelay.signal,
});
const repositories = openRepositories(join(config.ATELIER_DATA, 'repositories'));
await runWorker(
  config,
  logger,
  { taskQueue: taskQueues.submissions, workflowsPath, activities: createSubmissionActivities({ orm, repositories }) },
  async () => {
    stopRelay.abort();
    await relay;
    await client.connection.close();
    await orm.close();
  },
);
