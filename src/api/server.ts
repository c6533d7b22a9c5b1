import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { readConfig } from '../config.ts';
import { openOrm } from '../database/orm.ts';
import { openRepositories } from '../git/repositories.ts';
import { createLogger } from '../logger.ts';
import { createTemporalClient } from '../temporal/client.ts';
import { createOverrideWorkflows } from '../temporal/overrides.ts';
import { createSubmissionWorkflows } from '../temporal/submissions.ts';
import { createAccessTokens } from './access-token.ts';
import { createApp } from './app.ts';

/** The api process. */
const config = readConfig(process.env);
const logger = createLogger('api', config.LOG_LEVEL);
const orm = await openOrm(config.ATELIER_DATABASE_URL);
const client = createTemporalClient(config.TEMPORAL_ADDRESS, config.TEMPORAL_NAMESPACE);
const app = createApp({
  config,
  orm,
  logger,
  repositories: openRepositories(join(config.ATELIER_DATA, 'repositories')),
  workflows: createSubmissionWorkflows(client),
  overrides: createOverrideWorkflows(client),
  tokens: createAccessTokens(config.JWT_SECRET, config.ACCESS_TOKEN_TTL_MS),
});
// Slow senders do not hold a socket for ever; a push over a thin line may take its minutes.
const server = createServer({ headersTimeout: 15_000, requestTimeout: 300_000, keepAliveTimeout: 5_000 }, app);
server.listen(config.PORT, config.HOST);
await once(server, 'listening');
logger.info({ port: config.PORT }, 'listening');
await Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
// Requests under way are answered; idle connections are let go, so that closing ends.
const closed = once(server, 'close');
server.close();
server.closeIdleConnections();
await closed;
await client.connection.close();
await orm.close();
