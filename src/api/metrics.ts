import { setTimeout as delay } from 'node:timers/promises';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from '@prometheus-io/client';
import type { RequestHandler } from 'express';
import type { Orm } from '../database/orm.ts';
import { figures, readFigure } from '../services/figures.ts';
import type { Contract } from './contract/core.ts';

/** What Prometheus scrapes of this api. */
export interface Metrics {
  /** Measures every request that passes it. */
  readonly measure: RequestHandler;
  readonly contentType: string;
  /** This process, its requests, and the academy's figures as far as PostgreSQL tells them now. */
  scrape(): Promise<string>;
}

/** Shorter than what Prometheus waits (10 s): process and requests are worth seeing most when PostgreSQL hangs. */
const figuresDeadlineMs = 5_000;

const methods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** Metrics of one app, in a registry of its own. */
export function createMetrics(orm: Orm, contract: Contract): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const durations = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'From the request to the end of its answer. The route is a pattern, never a path.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1, 2.5, 5, 10, 30],
    registers: [registry],
  });
  const routeOf = createRouteNames(contract);
  let reading: Promise<Registry> | undefined;

  return {
    contentType: registry.contentType,

    measure(request, response, next) {
      const startedAtMs = performance.now();
      const { method } = request;
      const route = routeOf(request.path);
      response.once('close', () => {
        // A client that left, or a connection that broke, has seen no status.
        const status = response.writableFinished ? String(response.statusCode) : 'aborted';
        durations.observe(
          { method: methods.has(method) ? method : 'other', route, status },
          (performance.now() - startedAtMs) / 1000,
        );
      });
      next();
    },

    async scrape() {
      // Scrapes that meet share one reading, so that a slow PostgreSQL is not asked more and more.
      reading ??= readFigures(orm).finally(() => {
        reading = undefined;
      });
      const own = await Promise.race([reading, delay(figuresDeadlineMs, newFigures(figures.length), { ref: false })]);
      return (await registry.metrics()) + (await own.metrics());
    },
  };
}

/** A registry for one reading: a figure that cannot be read is missing from it, not old and not zero. */
async function readFigures(orm: Orm): Promise<Registry> {
  let unreadable = 0;
  const read: [(typeof figures)[number], Awaited<ReturnType<typeof readFigure>>][] = [];
  for (const figure of figures) {
    try {
      read.push([figure, await readFigure(orm.em.fork(), figure)]);
    } catch {
      unreadable += 1;
    }
  }
  const registry = newFigures(unreadable);
  for (const [{ name, help, type, label }, values] of read) {
    const options = { name, help, labelNames: label === undefined ? [] : [label], registers: [registry] };
    if (type === 'gauge') {
      const gauge = new Gauge(options);
      for (const { labels, value } of values) gauge.set(labels, value);
    } else {
      const counter = new Counter(options);
      for (const { labels, value } of values) counter.inc(labels, value);
    }
  }
  return registry;
}

function newFigures(unreadable: number): Registry {
  const registry = new Registry();
  new Gauge({ name: 'figures_unreadable', help: 'Figures that PostgreSQL did not tell.', registers: [registry] }).set(unreadable);
  return registry;
}

/** Names of paths that are the same for all ids: a label must not have a value for each submission, nor for each probe of a scanner. */
function createRouteNames(contract: Contract): (path: string) => string {
  const fixed = new Set(['/', '/docs', '/openapi.json', '/health', '/health/live', '/health/ready', '/metrics']);
  const patterns: { route: string; matches: RegExp }[] = [{ route: '/git/{id}.git', matches: /^\/git\/[^/]+\.git\// }];
  for (const { path } of Object.values(contract)) {
    const route = `/api${path}`;
    if (path.includes('{')) patterns.push({ route, matches: new RegExp(`^${route.replaceAll(/\{\w+\}/g, '[^/]+')}$`) });
    else fixed.add(route);
  }
  return (path) => {
    const trimmed = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
    if (fixed.has(trimmed)) return trimmed;
    return patterns.find(({ matches }) => matches.test(trimmed))?.route ?? 'other';
  };
}
