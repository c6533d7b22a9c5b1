import type { JudgedChecks, JudgedTest } from '../../src/domain/check-runs.ts';

/** A visible test that passed, with what a test changes of it. */
export function judgedTest(changes: Partial<JudgedTest> = {}): JudgedTest {
  return {
    suite: 'visible',
    group: changes.suite ?? 'visible',
    name: 'works',
    outcome: 'passed',
    verdict: null,
    message: '',
    diff: null,
    hint: '',
    points: 0,
    maxPoints: 0,
    timeMs: 1,
    cpuTimeMs: null,
    memoryPeakBytes: null,
    ...changes,
  };
}

/** An accepted judging without tests, with what a test changes of it. */
export function judgedChecks(changes: Partial<JudgedChecks> = {}): JudgedChecks {
  return {
    verdict: 'accepted',
    tests: [],
    lintFindings: [],
    points: 0,
    maxPoints: 0,
    compilerOutput: null,
    testsShareProcess: false,
    notes: [],
    language: 'javascript',
    languageVersion: 'v24.21.0',
    ...changes,
  };
}
