import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  checkRunVerdict,
  type LintFinding,
  type ReportedTest,
  type RunStatus,
  sharePoints,
  type TestRun,
} from '../../src/domain/check-runs.ts';

const reported = (...outcomes: ReportedTest['outcome'][]): ReportedTest[] =>
  outcomes.map((outcome, index) => ({ name: `test ${index}`, outcome, message: '', timeMs: 1 }));

/** A run of two tests that pass, but for what a case is about. */
const run = (changes: Partial<TestRun> = {}): TestRun => ({
  status: 'exited',
  exitCode: 0,
  expectedTests: 2,
  tests: reported('passed', 'passed'),
  ...changes,
});

const finding = (severity: LintFinding['severity']): LintFinding => ({
  file: 'main.py',
  line: 1,
  rule: 'F401',
  severity,
  message: 'unused import',
});

describe('the verdict of one test run', () => {
  const cases: [string, Partial<TestRun>, string][] = [
    ['all tests passed', {}, 'accepted'],
    ['a test failed', { exitCode: 1, tests: reported('passed', 'failed') }, 'wrong-answer'],
    ['a test failed although the process ended with 0', { tests: reported('passed', 'failed') }, 'wrong-answer'],
    ['a test failed and then the program ended early', { tests: reported('failed') }, 'wrong-answer'],
    ['the program ended early with 0, after one test', { tests: reported('passed') }, 'run-error'],
    ['the program ended early with 0, before any test', { tests: [] }, 'run-error'],
    ['the program ended with 0 and left no report', { tests: null }, 'run-error'],
    ['the program crashed without a report', { exitCode: 1, tests: null }, 'run-error'],
    ['more tests are reported than there are', { tests: reported('passed', 'passed', 'passed') }, 'wrong-answer'],
    ['a test is skipped', { tests: reported('passed', 'skipped') }, 'wrong-answer'],
    ['all tests are skipped', { tests: reported('skipped', 'skipped') }, 'wrong-answer'],
    ['all tests passed, then the process failed', { exitCode: 1 }, 'run-error'],
    ['all tests passed, but no exit code is known', { exitCode: null }, 'run-error'],
    ['a signal ended it, whatever the report says', { status: 'signalled', exitCode: null }, 'run-error'],
    ['it ran too long', { status: 'wall-time-limit', exitCode: null }, 'time-limit'],
    ['it computed too long', { status: 'cpu-time-limit', exitCode: null }, 'time-limit'],
    ['it took too much memory', { status: 'memory-limit', exitCode: null }, 'memory-limit'],
    ['it wrote too much', { status: 'output-limit', exitCode: null }, 'output-limit'],
    ['it ran into a limit after a failed test', { status: 'wall-time-limit', tests: reported('failed') }, 'time-limit'],
  ];

  it.each(cases)('%s', (_case, changes, verdict) => {
    expect(checkRunVerdict([run(changes)], [])).toBe(verdict);
  });

  it('is accepted only where the known number of tests passed and the process ended with 0', () => {
    const statuses: RunStatus[] = ['exited', 'signalled', 'wall-time-limit', 'cpu-time-limit', 'memory-limit', 'output-limit'];
    const anyRun = fc.record({
      status: fc.oneof(fc.constant<RunStatus>('exited'), fc.constantFrom(...statuses)),
      exitCode: fc.constantFrom(0, 0, 0, 1, null),
      expectedTests: fc.integer({ min: 1, max: 3 }),
      tests: fc.option(
        fc
          .array(fc.constantFrom<ReportedTest['outcome'][]>('passed', 'passed', 'passed', 'failed', 'skipped'), { maxLength: 4 })
          .map((outcomes) => reported(...outcomes)),
      ),
    });
    fc.assert(
      fc.property(anyRun, (judged) => {
        const passed = (judged.tests ?? []).filter((test) => test.outcome === 'passed').length;
        const isRight =
          judged.status === 'exited' &&
          judged.exitCode === 0 &&
          judged.tests?.length === judged.expectedTests &&
          passed === judged.expectedTests;
        expect(checkRunVerdict([judged], []) === 'accepted').toBe(isRight);
      }),
      { numRuns: 500 },
    );
  });
});

describe('the verdict of all runs', () => {
  it('is that of the first run that is not accepted', () => {
    const wrong = run({ tests: reported('passed', 'failed') });
    const slow = run({ status: 'wall-time-limit' });
    expect(checkRunVerdict([run(), wrong, slow], [])).toBe('wrong-answer');
    expect(checkRunVerdict([run(), slow, wrong], [])).toBe('time-limit');
    expect(checkRunVerdict([run(), run()], [])).toBe('accepted');
  });

  it('is check-failed where only the linter has an error', () => {
    expect(checkRunVerdict([run()], [finding('warning'), finding('error')])).toBe('check-failed');
  });

  it('lets warnings pass', () => {
    expect(checkRunVerdict([run()], [finding('warning')])).toBe('accepted');
  });

  it('is that of the tests where the linter has an error too', () => {
    expect(checkRunVerdict([run({ tests: null })], [finding('error')])).toBe('run-error');
  });
});

describe('sharePoints', () => {
  it('shares evenly where all weigh the same, and what is left over goes to the first', () => {
    expect(sharePoints(10, [1, 1, 1, 1])).toEqual([3, 3, 2, 2]);
    expect(sharePoints(0, [1, 1])).toEqual([0, 0]);
    expect(sharePoints(7, [])).toEqual([]);
  });

  it('shares by weight, and what is left over goes to the largest remainders', () => {
    expect(sharePoints(50, [3, 1, 1])).toEqual([30, 10, 10]);
    expect(sharePoints(10, [5, 3, 1])).toEqual([6, 3, 1]);
  });

  it('gives all points, whole ones, and more to nobody who weighs less', () => {
    fc.assert(
      fc.property(
        fc.nat(1000),
        fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 50 }),
        (points, weights) => {
          const shares = sharePoints(points, weights);
          expect(shares.reduce((sum, share) => sum + share, 0)).toBe(points);
          for (const [index, share] of shares.entries()) {
            expect(Number.isInteger(share) && share >= 0).toBe(true);
            const lighter = shares.filter((_, other) => (weights[other] ?? 0) < (weights[index] ?? 0));
            expect(Math.max(0, ...lighter)).toBeLessThanOrEqual(share);
          }
        },
      ),
    );
  });
});
