import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { xpDifference } from '../../src/domain/progress.ts';
import { taskStatuses } from '../../src/domain/tasks.ts';

describe('xpDifference', () => {
  it.each([
    ['the first approval', 'APPROVED', 0, 50],
    ['an approval that is in the ledger already', 'APPROVED', 50, 0],
    ['an approval whose worth has risen', 'APPROVED', 20, 30],
    ['an approval taken back', 'REJECTED', 50, -50],
    ['a rejection', 'REJECTED', 0, 0],
    ['a task under way', 'SUBMITTED', 0, 0],
  ] as const)('%s', (_case, status, ledgerSum, difference) => {
    expect(xpDifference(status, 50, ledgerSum)).toBe(difference);
  });

  it('makes the sum right, and owes nothing after its own entry, through any history of states', () => {
    const history = fc.array(fc.tuple(fc.constantFrom(...taskStatuses), fc.integer({ min: 1, max: 10_000 })), { minLength: 1 });
    fc.assert(
      fc.property(history, (states) => {
        let ledgerSum = 0;
        for (const [status, xp] of states) {
          ledgerSum += xpDifference(status, xp, ledgerSum);
          expect(ledgerSum).toBe(status === 'APPROVED' ? xp : 0);
          expect(xpDifference(status, xp, ledgerSum)).toBe(0);
        }
      }),
    );
  });
});
