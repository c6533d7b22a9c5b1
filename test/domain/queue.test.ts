import { describe, expect, it } from '@jest/globals';
import { expectedVerdictAt } from '../../src/domain/queue.ts';

describe('expectedVerdictAt', () => {
  it.each([
    { what: 'the next one, one judge', place: 1, judges: 1, expected: 2 },
    { what: 'the fifth, one judge', place: 5, judges: 1, expected: 6 },
    { what: 'the fourth, two judges', place: 4, judges: 2, expected: 3 },
    { what: 'where nothing is judged now, one judge is reckoned with', place: 3, judges: 0, expected: 4 },
  ])('$what: after $expected check runs', ({ place, judges, expected }) => {
    expect(expectedVerdictAt({ nowMs: 10_000, place, judges, medianMs: 700 })).toEqual(new Date(10_000 + expected * 700));
  });

  it('is not known where no check run is', () => {
    expect(expectedVerdictAt({ nowMs: 10_000, place: 1, judges: 1, medianMs: null })).toBeNull();
  });
});
