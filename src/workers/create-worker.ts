import { once } from 'node:events';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DefaultLogger, NativeConnection, Runtime, Worker, type WorkerOptions } from '@temporalio/worker';
import type { Config } from '../config.ts';
import type { Logger } from '../logger.ts';
import { traceActivity } from '../temporal/tracing.ts';

/** `.ts` when run from the sources, `.js` when run from a build: tsc rewrites import specifiers, not other strings. */
const pathInWorkflows = (name: string) =>
  fileURLToPath(new URL(`../workflows/${name}${extname(import.meta.filename)}`, import.meta.url));

/** What workers make the workflow bundle of. */
export const workflowsPath = pathInWorkflows('index');

/** They carry the trace; `workflowModules` is part of the workflow bundle. */
export const interceptors = { workflowModules: [pathInWorkflows('interceptors')], activity: [traceActivity] };

/** How long running activities may take to end after SIGTERM before they are handed to another worker. */
const shutdownGraceTime = '10s';

/** Temporal's logs in ours. */
export function temporalLogger(logger: Logger): DefaultLogger {
  const levels = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;
  return new DefaultLogger('INFO', ({ level, message, meta }) => {
    const { error, ...rest } = meta ?? {};
    logger[levels[level]]({ ...rest, ...(error !== undefined && { err: error as unknown }) }, message);
  });
}

/** Temporal's own signal handling would race with our order of shutting down. */
function installRuntime(config: Config, logger: Logger): void {
  const bindAddress = config.WORKER_METRICS_ADDRESS;
  // Names as Prometheus wants them: counters end in _total, durations in _seconds.
  const prometheus = { countersTotalSuffix: true, unitSuffix: true, useSecondsForDurations: true };
  Runtime.install({
    shutdownSignals: [],
    logger: temporalLogger(logger),
    ...(bindAddress !== undefined && { telemetryOptions: { metrics: { prometheus: { ...prometheus, bindAddress } } } }),
  });
}

/**
 * Runs one worker until SIGTERM or SIGINT, then ends it in order: no new work, running activities get their grace time, and at last
 * `close` lets go of connections. Rejects where the worker fails, so that the process ends with an error and is started again.
 */
export async function runWorker(
  config: Config,
  logger: Logger,
  options: Pick<WorkerOptions, 'taskQueue' | 'activities' | 'workflowsPath' | 'maxConcurrentActivityTaskExecutions'>,
  close: () => Promise<void>,
): Promise<void> {
  installRuntime(config, logger);
  const connection = await NativeConnection.connect({ address: config.TEMPORAL_ADDRESS });
  try {
    const worker = await Worker.create({
      connection,
      namespace: config.TEMPORAL_NAMESPACE,
      shutdownGraceTime,
      // A worker that dies leaves its workflows' next tasks on its own queue for this long (default 10 s).
      stickyQueueScheduleToStartTimeout: '3s',
      // Beats reach the server at once: by default the SDK holds them back for most of the timeout.
      maxHeartbeatThrottleInterval: '2s',
      interceptors,
      ...options,
    });
    const running = worker.run();
    await Promise.race([running, once(process, 'SIGTERM'), once(process, 'SIGINT')]);
    if (worker.getState() === 'RUNNING') worker.shutdown();
    await running;
  } finally {
    await close();
    await connection.close();
  }
}
