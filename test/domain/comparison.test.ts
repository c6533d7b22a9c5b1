import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { compareOutput, type DirectComparison, isSameLine } from '../../src/domain/comparison.ts';

const exact: DirectComparison = { mode: 'exact' };
const tokens: DirectComparison = { mode: 'tokens', isCaseSensitive: true };
const anyCase: DirectComparison = { mode: 'tokens', isCaseSensitive: false };
const numeric: DirectComparison = { mode: 'numeric', absolute: 1e-6, relative: 1e-6 };

const compare = (comparison: DirectComparison, expected: string, actual: string | Uint8Array): string | null =>
  compareOutput(comparison, expected, typeof actual === 'string' ? Buffer.from(actual) : actual);

describe('exact', () => {
  test('is byte by byte', () => {
    expect(compare(exact, 'a\nb\n', 'a\nb\n')).toBeNull();
    expect(compare(exact, '', '')).toBeNull();
    expect(compare(exact, '\uFEFFa', 'a')).not.toBeNull();
  });

  test.each([
    ['a\n', 'a', 'only the line break at the end of the output is missing'],
    ['a', 'a\n', 'only the line break at the end of the output is too much'],
    ['a\n', 'a \n\n', 'only spaces or line breaks at the end of the output differ'],
    ['a\nb\n', 'a\r\nb\r\n', 'only spaces at the ends of lines differ'],
    ['a\nb\n', 'a\nc\n', 'line 2 differs'],
    ['a\nb\n', 'a\n', 'line 2 differs'],
    ['a', 'a\nb', 'line 2 differs'],
    ['a b', 'a  b', 'line 1 differs'],
  ])('%j against %j: %s', (expected, actual, message) => {
    expect(compare(exact, expected, actual)).toBe(message);
  });

  test('any two different texts differ, with a word on it', () => {
    const text = fc.string({ unit: 'binary' }).map((value) => value.toWellFormed());
    fc.assert(
      fc.property(text, text, (expected, actual) => {
        expect(compare(exact, expected, actual) === null).toBe(expected === actual);
      }),
    );
  });
});

describe('tokens', () => {
  test.each([
    ['1 2\n3\n', '  1\t2\r\n\n3', true],
    ['1 2', '12', false],
    ['a', 'A', false],
    ['', ' \n', true],
    ['1', '', false],
    ['1', '1 2', false],
    // No-break space is a letter to a judge, as it is to C's isspace.
    ['1 2', '1\u00A02', false],
  ])('%j against %j: %s', (expected, actual, isRight) => {
    expect(compare(tokens, expected, actual) === null).toBe(isRight);
  });

  test('may leave case aside', () => {
    expect(compare(anyCase, 'Yes', 'YES')).toBeNull();
    expect(compare(anyCase, 'Yes', 'YE')).not.toBeNull();
  });

  test('says which word it is', () => {
    expect(compare(tokens, '1 2\n3', '1 2\n\n4')).toBe('word 3 (line 3): expected "3", found "4"');
    expect(compare(tokens, '1 2 3', '1 2')).toBe('the output ends after 2 words: expected "3" next');
    expect(compare(tokens, '1', '1\n2')).toBe('the output goes on after what is expected: "2" in line 2');
    expect(compare(tokens, '1', 'x'.repeat(5000))?.length).toBeLessThan(200);
  });
});

describe('numeric', () => {
  test.each([
    ['1.0', '1', true],
    ['0.1', '.1000001', true],
    ['1', '1.0000009', true],
    ['1', '1.000003', false],
    ['1000000', '1000000.9', true],
    ['1000000', '1000001.1', false],
    ['0', '-0', true],
    ['1e3', '1000', true],
    ['-5', '+5', false],
    ['+5', '5', true],
    ['answer 2', 'answer 2.0', true],
    ['answer 2', 'Answer 2', false],
    ['nan', 'NaN', true],
    ['nan', '0', false],
    ['0', 'nan', false],
    ['inf', 'Infinity', true],
    ['inf', '-inf', false],
    ['inf', '1e999', false],
    ['1e999', '1e999', true],
    ['0', 'inf', false],
    // What another language would read as a number is text here.
    ['16', '0x10', false],
    ['10', '1_0', false],
    ['1', '1f', false],
    ['1', '', false],
    ['constructor', '0', false],
  ])('%s against %s: %s', (expected, actual, isRight) => {
    expect(compare(numeric, expected, actual) === null).toBe(isRight);
  });

  test('neighbours among large integers are told apart where the tolerance says so', () => {
    const absolute: DirectComparison = { mode: 'numeric', absolute: 0.5, relative: 0 };
    expect(compare(absolute, '12345678901234567890', '12345678901234567891')).not.toBeNull();
    expect(compare(absolute, '12345678901234567890', '+12345678901234567890')).toBeNull();
    expect(compare(absolute, '9'.repeat(1000), `+${'9'.repeat(1000)}`)).not.toBeNull();
  });

  test('no number is both right and further away than the tolerance', () => {
    fc.assert(
      fc.property(
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        (a, b) => {
          const isRight = compare(numeric, String(a), String(b)) === null;
          const error = Math.abs(a - b);
          expect(isRight).toBe(error <= 1e-6 || error <= 1e-6 * Math.abs(a));
        },
      ),
    );
  });
});

test.each([exact, tokens, numeric])('what is not UTF-8 is wrong: $mode', (comparison) => {
  expect(compare(comparison, '\uFFFD', Buffer.from([0xff]))).toBe('the output is not UTF-8 text');
});

test('half a million words are compared word by word', () => {
  const expected = '1 '.repeat(500_000);
  expect(compare(numeric, expected, '1\n'.repeat(500_000))).toBeNull();
  expect(compare(numeric, expected, `${'1\n'.repeat(499_999)}2`)).toBe('word 500000 (line 500000): expected "1", found "2"');
});

test('a line is the same as the comparison says', () => {
  expect(isSameLine(numeric, '1.0  x', '1 x')).toBe(true);
  expect(isSameLine(tokens, '1.0 x', '1 x')).toBe(false);
  expect(isSameLine(exact, '1 x', '1  x')).toBe(false);
  expect(isSameLine({ mode: 'checker', language: 'python', path: 'checker/check.py' }, '1', '1 ')).toBe(false);
});
