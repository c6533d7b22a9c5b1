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
