import { readRunnerSettings } from '../../src/config.ts';

/** The runner image of all tests: the machine's CI makes a smaller one by RUNNER_LANGUAGES. */
export const runner = readRunnerSettings(process.env);

/** By which containers are run: `SANDBOX_RUNTIME=runsc npm test -- test/sandbox` tries the suites of the sandbox with gVisor. */
export const runtime = process.env['SANDBOX_RUNTIME'];
