import { sql } from '@mikro-orm/core';
import { setTimeout as delay } from 'node:timers/promises';
import { Router } from 'express';
import type { Dependencies } from '../dependencies.ts';

/** How long PostgreSQL has for the simplest answer. */
const answerMs = 2_000;

/** `/health`, `/health/live`, `/health/ready`: for people, for what restarts the process, for what routes to it. */
export function healthRouter({ orm, workflows, drain }: Dependencies): Router {
  const router = Router();
  const alive = { status: 'ok' } as const;

  router.get(['/', '/live'], (_request, response) => {
    response.json({ ...alive, timestamp: new Date() });
  });

  router.get('/ready', async (_request, response) => {
    // A load balancer must hear of the end at once, though Temporal may take its time to answer, and never of a ready server afterwards.
    const begun = delay(2 * answerMs, null, { signal: drain.begun, ref: false }).catch(() => null);
    const parts = await Promise.race([begun, askParts()]);
    const status = parts === null || drain.begun.aborted ? 'draining' : statusOf(parts);
    response
      .status(status === 'ok' || status === 'degraded' ? 200 : 503)
      .json({ status, timestamp: new Date(), ...(parts !== null && { parts }) });
  });

  async function askParts() {
    const [postgresql, engine] = await Promise.all([isDatabaseReachable(), workflows.health()]);
    return { postgresql, temporal: engine.temporal, sandbox: engine.judging };
  }

  async function isDatabaseReachable(): Promise<boolean> {
    const answer = orm.em
      .fork()
      .execute(sql`select 1`)
      .then(
        () => true,
        () => false,
      );
    // A server that takes the question and never answers is as good as none.
    return Promise.race([answer, delay(answerMs, false)]);
  }

  return router;
}

/** Without PostgreSQL nothing can be answered; without the others submissions are still taken, so that is degraded, not down. */
function statusOf(parts: { postgresql: boolean; temporal: boolean; sandbox: boolean }): 'ok' | 'degraded' | 'unavailable' {
  if (!parts.postgresql) return 'unavailable';
  return parts.temporal && parts.sandbox ? 'ok' : 'degraded';
}
