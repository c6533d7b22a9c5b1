import { readRunnerSettings } from '../../src/config.ts';

/** The runner image of all tests: the machine's CI makes a smaller one by RUNNER_LANGUAGES. */
export const runner = readRunnerSettings(process.env);
