import { setTimeout as delay } from 'node:timers/promises';
import type { Orm } from '../database/orm.ts';
import type { DeliveryToStart } from '../domain/notifications.ts';
import type { Logger } from '../logger.ts';
import { relayUnstartedDeliveries } from '../services/deliveries.ts';
import { relayUnstartedOverrides } from '../services/overrides.ts';
import { relayUnstartedSubmissions } from '../services/submissions.ts';
import type { SubmissionWorkflows } from '../temporal/submissions.ts';

/** How often the outbox is looked at; the api starts most workflows itself at once. */
const intervalMs = 1_000;

/** Rows started in one transaction. */
const batchSize = 20;

/**
 * Starts the workflows of all that was accepted while Temporal was away, until `signal` aborts. A plain loop, not a schedule: it must
 * work without any state in Temporal. Several may run at once: each skips the rows that another holds.
 */
export async function runRelay(dependencies: {
  orm: Orm;
  workflows: Pick<SubmissionWorkflows, 'start'>;
  startDelivery: (delivery: DeliveryToStart) => Promise<void>;
  startOverride: (overrideId: string) => Promise<void>;
  logger: Logger;
  signal: AbortSignal;
}): Promise<void> {
  const { orm, workflows, startDelivery, startOverride, logger, signal } = dependencies;
  const attempt = async (relay: () => Promise<number>) => {
    try {
      await relay();
    } catch (error) {
      logger.warn({ err: error }, 'the relay could not start all that is waiting; it tries again');
    }
  };
  while (!signal.aborted) {
    await attempt(() => relayUnstartedSubmissions(orm.em.fork(), batchSize, (submission) => workflows.start(submission)));
    await attempt(() => relayUnstartedOverrides(orm.em.fork(), batchSize, startOverride));
    await attempt(() => relayUnstartedDeliveries(orm.em.fork(), batchSize, startDelivery));
    await delay(intervalMs, undefined, { signal }).catch(() => undefined);
  }
}
