import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { canonicalEmail, mayReview, roles } from '../../src/domain/users.ts';

describe('canonicalEmail', () => {
  it.each([
    ['another case', 'Ann@Example.TEST', 'ann@example.test'],
    ['spaces around it', '  ann@example.test\n', 'ann@example.test'],
    ['full-width letters', 'ａｎｎ＠ｅｘａｍｐｌｅ.test', 'ann@example.test'],
    ['a decomposed accent', 'rene\u0301@example.test', 'ren\u00e9@example.test'],
    ['a ligature', 'o\ufb03ce@example.test', 'office@example.test'],
    ['a no-break space at the end', 'ann@example.test\u00a0', 'ann@example.test'],
  ])('is the same for %s', (_case, written, canonical) => {
    expect(canonicalEmail(written)).toBe(canonical);
  });

  it('keeps apart what a host tells apart: dots and tags', () => {
    const forms = ['ann@example.test', 'a.nn@example.test', 'ann+tag@example.test'];
    expect(new Set(forms.map(canonicalEmail)).size).toBe(3);
  });

  it('changes nothing more when it is applied to its own result', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const once = canonicalEmail(text);
        expect(canonicalEmail(once)).toBe(once);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('mayReview', () => {
  it('holds for reviewers and admins alone', () => {
    expect(roles.filter((role) => mayReview({ id: 'someone', role }))).toEqual(['ACADEMY_REVIEWER', 'SUPER_ADMIN']);
  });
});
