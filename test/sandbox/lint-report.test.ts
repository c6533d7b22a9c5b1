import { describe, expect, test } from '@jest/globals';
import { parseLintReport } from '../../src/sandbox/lint-report.ts';
import { MalformedReportError } from '../../src/sandbox/malformed-report.ts';

const finding = { file: 'src/a.js', line: 3, rule: 'eslint/no-debugger', severity: 'error', message: 'no' } as const;

describe('parseLintReport', () => {
  test('reads findings and nothing else of them', () => {
    expect(parseLintReport(JSON.stringify([{ ...finding, extra: 1 }]))).toEqual([finding]);
    expect(parseLintReport('[]')).toEqual([]);
  });

  test('keeps the first 200', () => {
    expect(parseLintReport(JSON.stringify(Array.from({ length: 1000 }, () => finding)))).toHaveLength(200);
  });

  test('cleans and cuts what a database would refuse, and halves no character', () => {
    const odd = { file: 'a\0.js', line: 1, rule: '\uDC00', severity: 'error', message: `\0 \uD83D ${'m'.repeat(995)}😀` };
    expect(parseLintReport(JSON.stringify([odd]))).toEqual([
      { file: 'a\uFFFD.js', line: 1, rule: '\uFFFD', severity: 'error', message: `\uFFFD \uFFFD ${'m'.repeat(995)}` },
    ]);
    expect(parseLintReport(JSON.stringify([{ ...odd, file: 'f'.repeat(2000) }]))[0]?.file).toHaveLength(1000);
  });

  test.each([
    '',
    'null',
    '{}',
    '[1]',
    '[',
    JSON.stringify([{ ...finding, severity: 'fatal' }]),
    JSON.stringify([{ ...finding, line: '3' }]),
  ])('refuses %j', (json) => {
    expect(() => parseLintReport(json)).toThrow(MalformedReportError);
  });
});
