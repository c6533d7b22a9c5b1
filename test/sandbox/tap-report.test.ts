import { describe, expect, test } from '@jest/globals';
import { MalformedReportError } from '../../src/sandbox/malformed-report.ts';
import { parseTapReport } from '../../src/sandbox/tap-report.ts';

describe('parseTapReport', () => {
  test('reads outcomes, directives and the diagnosis of what failed', () => {
    const tap = `TAP version 13
1..4
ok 1 - adds
not ok 2 - subtracts
  ---
  expected: 1
    actual: 2
  ...
ok 3 - multiplies # SKIP later
not ok 4 divides # TODO
# tests 4
`;
    expect(parseTapReport(tap)).toEqual([
      { name: 'adds', outcome: 'passed', message: '', timeMs: 0 },
      { name: 'subtracts', outcome: 'failed', message: 'expected: 1\nactual: 2', timeMs: 0 },
      { name: 'multiplies', outcome: 'skipped', message: '', timeMs: 0 },
      { name: 'divides', outcome: 'skipped', message: '', timeMs: 0 },
    ]);
  });

  test('subtests count instead of the suite that holds them; a suite that alone failed counts, too', () => {
    const tap = `# Subtest: outer
    # Subtest: inner
        ok 1 - a
        not ok 2 - b
        1..2
    not ok 1 - inner
    1..1
not ok 1 - outer
    ok 1 - c
    1..1
not ok 2 - clean-up
1..2`;
    expect(parseTapReport(tap).map(({ name, outcome }) => [name, outcome])).toEqual([
      ['outer > inner > a', 'passed'],
      ['outer > inner > b', 'failed'],
      ['clean-up > c', 'passed'],
      ['clean-up', 'failed'],
    ]);
  });

  test('what the program prints between is left out', () => {
    expect(parseTapReport('hello\nok 1 - a\nokay\n   ok odd\n1..1\n')).toHaveLength(1);
  });

  test.each([
    ['no plan', 'ok 1 - a\n'],
    ['two plans', '1..1\nok 1\n1..1\n'],
    ['a plan of more', '1..2\nok 1 - a\n'],
    ['a plan of fewer', '1..1\nok 1 - a\nok 2 - b\n'],
    ['a number twice', '1..2\nok 1 - a\nok 1 - a\n'],
    ['a subtest’s plan of more', '    ok 1 - a\n    1..2\nok 1 - s\n1..1\n'],
    ['subtests without their suite', 'ok 1 - a\n    ok 1 - b\n'],
    ['a level left out', '        ok 1 - a\nok 1 - s\n1..1\n'],
    ['an end', '1..2\nok 1\nBail out! no more\n'],
    ['an open diagnosis', '1..1\nnot ok 1\n  ---\n  a: 1\n'],
    ['nothing', ''],
  ])('a report with %s is refused', (_, tap) => {
    expect(() => parseTapReport(tap)).toThrow(MalformedReportError);
  });

  test('names and messages are cut', () => {
    const tap = `1..1\nnot ok 1 - ${'n'.repeat(9000)}\n  ---\n  ${'m'.repeat(9000)}\n  ...\n`;
    expect(parseTapReport(tap)).toEqual([{ name: 'n'.repeat(500), outcome: 'failed', message: 'm'.repeat(4000), timeMs: 0 }]);
  });
});
