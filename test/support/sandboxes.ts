import { describe, it } from '@jest/globals';
import { probeSandboxes } from '../../src/sandbox/choose.ts';

/**
 * Describes the same tests for each sandbox of this machine. One that is missing is reported as skipped, with the reason in the name;
 * in CI it is not skipped but tried, and fails.
 */
export async function describeEachSandbox(title: string, tests: (kind: 'docker' | 'bubblewrap') => void): Promise<void> {
  for (const { kind, usable, reason } of await probeSandboxes()) {
    const isRequired = process.env['CI'] !== undefined;
    const describeKind = usable || isRequired ? describe : describe.skip;
    describeKind(`${title} with ${kind}`, () => {
      if (usable || isRequired) tests(kind);
      else it.todo(reason);
    });
  }
}
