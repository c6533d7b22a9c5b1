import { MockActivityEnvironment, TestWorkflowEnvironment } from '@temporalio/testing';
import { bundleWorkflowCode, DefaultLogger, Runtime, type WorkflowBundle } from '@temporalio/worker';
import { interceptors, workflowsPath } from '../../src/workers/create-worker.ts';
import { searchAttributes } from '../../src/workflows/contract.ts';

/**
 * A Temporal server of its own for one test file, in memory (it starts in half a second): task queues are the product's own names, so
 * files that shared a server would take each other's work.
 *
 * @param dynamicConfig `name=value` pairs that the file needs beyond the product's own.
 */
export async function startTemporal(
  logger = new DefaultLogger('ERROR'),
  dynamicConfig: readonly string[] = [],
): Promise<TestWorkflowEnvironment> {
  Runtime.install({ shutdownSignals: [], logger });
  return TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path: process.env['TEST_TEMPORAL_CLI'] ?? 'temporal' },
      // By default timers are rounded up to about a second.
      extraArgs: ['history.timerProcessorMaxTimeShift="1ms"', ...dynamicConfig].flatMap((value) => [
        '--dynamic-config-value',
        value,
      ]),
      searchAttributes: Object.values(searchAttributes),
    },
  });
}

/** The workflows as workers load them; made once per test file. */
export function bundleWorkflows(): Promise<WorkflowBundle> {
  return bundleWorkflowCode({
    workflowsPath,
    workflowInterceptorModules: interceptors.workflowModules,
    logger: new DefaultLogger('ERROR'),
  });
}

/** Where a test runs an activity; what fails on purpose is not logged. */
export function createActivityEnvironment(
  info: ConstructorParameters<typeof MockActivityEnvironment>[0] = {},
): MockActivityEnvironment {
  return new MockActivityEnvironment(info, { logger: new DefaultLogger('ERROR', () => undefined) });
}
