import { describe, expect, it } from '@jest/globals';
import { conclusions, isCounted } from '../../src/domain/submissions.ts';

describe('isCounted', () => {
  it('charges the student for answers to the work, not for our trouble, a missing source or a cancel', () => {
    expect(conclusions.filter(isCounted)).toEqual(['approved', 'rejected', 'checks-failed']);
    expect(conclusions.filter((conclusion) => !isCounted(conclusion))).toEqual([
      'source-unavailable',
      'cancelled',
      'closed-by-admin',
    ]);
  });
});
