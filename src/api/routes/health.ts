import { sql } from '@mikro-orm/core';
import { setTimeout as delay } from 'node:timers/promises';
import { Router } from 'express';
import type { Dependencies } from '../dependencies.ts';

/** How long PostgreSQL has for the simplest answer. */
const answerMs = 2_000;

/** `/health`, `/health/live`, `/health/ready`: for people, for what restarts the process, for what routes to it. */
export function healthRouter({ orm, workflows }: Dependencies): Router {
  const router = Router();
  const alive = { status: 'ok' } as const;

  router.get(['/', '/live'], (_request, response) => {
    response.json({ ...alive, timestamp: new Date() });
  });

  // Without PostgreSQL nothing can be answered; without the others submissions are still taken, so that is degraded, not down.
  router.get('/ready', async (_request, response) => {
    const [postgresql, engine] = await Promise.all([isDatabaseReachable(), workflows.health()]);
    const status = !postgresql ? 'unavailable' : engine.temporal && engine.judging ? 'ok' : 'degraded';
    const parts = { postgresql, temporal: engine.temporal, sandbox: engine.judging };
    response.status(postgresql ? 200 : 503).json({ status, timestamp: new Date(), parts });
  });

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
