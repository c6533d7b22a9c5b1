import { describe, it } from '@jest/globals';
import { probeSandboxes } from '../../src/sandbox/choose.ts';

/**
 * Describes the same tests for each sandbox of this machine. One that is missing is reported as skipped, with the reason in the name;
 * in CI it is not skipped but tried, and fails.
 */
export async function describeEachSandbox(title: string, tests: (kind: 'docker' | 'bubblewrap') => void): Promise<void> {
  for (const { kind, usable, reason } of await probeSandboxes()) {
    if (usable || process.env['CI'] !== undefined) describe(`${title} with ${kind}`, tests.bind(null, kind));
    else
      describe.skip(`${title} with ${kind}`, () => {
        it.todo(reason);
      });
  }
}
