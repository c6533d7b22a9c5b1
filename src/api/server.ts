import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { createChatCompletions } from '../assistants/chat-completions.ts';
import { readConfig } from '../config.ts';
import { listen } from '../database/listen.ts';
import { openOrm } from '../database/orm.ts';
import { openFaults } from '../faults.ts';
import { openRepositories } from '../git/repositories.ts';
import { createLogger } from '../logger.ts';
import { createTemporalClient } from '../temporal/client.ts';
import { createOverrideWorkflows } from '../temporal/overrides.ts';
import { createSubmissionWorkflows } from '../temporal/submissions.ts';
import { createTrialWorkflows } from '../temporal/trial-runs.ts';
import { createAccessTokens } from './access-token.ts';
import { createApp } from './app.ts';
import { Drain } from './drain.ts';
import { LiveStreams } from './live-streams.ts';

/** The api process. */

/** From the signal to the end at all costs: a push over a thin line may not hold up a deployment. */
const stopDeadlineMs = 25_000;

/** One Ctrl-C may arrive several times; a signal after this is a second one. */
const sameSignalMs = 1_000;

const config = readConfig(process.env);
const logger = createLogger('api', config.LOG_LEVEL);
const faults = openFaults(config);
const orm = await openOrm(config.ATELIER_DATABASE_URL, faults.orm);
const client = createTemporalClient(config.TEMPORAL_ADDRESS, config.TEMPORAL_NAMESPACE);
const drain = new Drain();
const streams = new LiveStreams({ orm, logger });
const listening = listen(config.ATELIER_DATABASE_URL, {
  channels: ['submission_events', 'trial_run_events'],
  onNotification: (id) => streams.wake(id),
  onConnected: () => streams.wakeAll(),
  onError: (error) => logger.warn({ err: error }, 'live streams do not hear from PostgreSQL; they look by themselves meanwhile'),
});
drain.onDrain(() => streams.closeAll());
const app = createApp({
  config,
  drain,
  orm,
  logger,
  repositories: openRepositories(join(config.ATELIER_DATA, 'repositories')),
  workflows: faults.around(createSubmissionWorkflows(client), { start: 'relay-start', decide: 'decide-handler' }),
  overrides: createOverrideWorkflows(client),
  trials: createTrialWorkflows(client),
  streams,
  assistant:
    config.ASSISTANT_URL === undefined
      ? null
      : createChatCompletions({
          url: config.ASSISTANT_URL,
          key: config.ASSISTANT_KEY ?? null,
          model: config.ASSISTANT_MODEL ?? '',
          onProblem: (problem) => logger.warn({ problem }, 'no draft of a review'),
        }),
  queueLimits: { maxQueued: config.MAX_QUEUED_SUBMISSIONS, maxOpenPerStudent: config.MAX_OPEN_CHECKS_PER_STUDENT },
  tokens: createAccessTokens(config.JWT_SECRET, config.ACCESS_TOKEN_TTL_MS),
});
// Slow senders do not hold a socket for ever; a push over a thin line may take its minutes.
const server = createServer({ headersTimeout: 15_000, requestTimeout: 300_000, keepAliveTimeout: 5_000 }, faults.requests(app));
drain.watch(server);
server.listen(config.PORT, config.HOST);
await once(server, 'listening');
logger.info({ port: config.PORT }, 'listening');
await Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
const askedAtMs = Date.now();
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => Date.now() - askedAtMs > sameSignalMs && process.exit(1));
setTimeout(() => {
  logger.error('requests were still under way: ended without their answers');
  process.exit(1);
}, stopDeadlineMs).unref();
logger.info('draining');
await drain.stop(server, config.DRAIN_MS);
await listening.close();
await orm.close();
// Temporal's client ends with the process: closed while a question of /health is repeated by a timer, it throws in that timer.
process.exit();
