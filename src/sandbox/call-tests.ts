import type { Language } from '../domain/check-runs.ts';
import { runnerFolder } from './languages.ts';

/** The two halves of tests of style `calls`, each a process and a user of its own. */
interface CallTests {
  /** Runs the test files and writes a JUnit XML report to descriptor 4; `own` are the exercise's files that tests may load. */
  readonly tester: (files: readonly string[], own: readonly string[]) => readonly string[];
  /** Loads the student's code and answers the tester's calls on descriptor 3. */
  readonly peer: readonly string[];
}

const folder = `${runnerFolder}/calls`;

const node: CallTests = {
  // Tests that start programs would start the student's code as their own user: the tester may start none.
  tester: (files, own) => [
    'node',
    '--no-warnings',
    '--permission',
    '--allow-fs-read=*',
    '--allow-fs-write=/tmp/*',
    `${folder}/tester.mjs`,
    ...files,
    '--',
    ...own,
  ],
  peer: ['node', `${folder}/serve.mjs`],
};

const python: CallTests = {
  // Isolated: no folder of the student's, no environment, no site-packages, no compiled leftovers.
  tester: (files, own) => ['python3', '-I', '-S', '-B', `${folder}/tester.py`, ...files, '--', ...own],
  peer: ['python3', `${folder}/serve.py`],
};

/** The languages whose tests can be of style `calls`. */
export const callTests: Partial<Record<Language, CallTests>> = { javascript: node, typescript: node, python };
