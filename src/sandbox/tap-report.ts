import type { ReportedTest } from '../domain/check-runs.ts';
import { MalformedReportError } from './malformed-report.ts';
import { reportText } from './report-text.ts';

const maxTests = 10_000;
const maxDepth = 20;
const maxNameLength = 500;
const maxMessageLength = 4000;
const indentWidth = 4;

const testPoint = /^(ok|not ok)\b(?: +(\d+))?(?: +-)? *(.*)$/;
const plan = /^1\.\.(\d+)(?:\s*#.*)?$/;
const directive = /\s#\s*(?:skip|todo)\b.*$/i;

/** Test points of one depth. A point that follows deeper ones is a suite of those: it counts by itself only where it alone failed. */
interface Level {
  points: number;
  planned: number | null;
  tests: ReportedTest[];
}

class TapReader {
  readonly #levels: Level[] = [{ points: 0, planned: null, tests: [] }];
  #diagnosis: string[] | null = null;

  read(line: string): void {
    const text = line.trimStart();
    const indent = line.length - text.length;
    if (this.#diagnosis !== null) {
      if (text === '...') this.#endDiagnosis();
      else if (this.#diagnosis.length < maxMessageLength) this.#diagnosis.push(text);
    } else if (text === '---' && indent % indentWidth === 2) {
      this.#diagnosis = [];
    } else if (/^Bail out!/i.test(text)) {
      throw new MalformedReportError('the test report ends before its tests');
    } else if (indent % indentWidth === 0) {
      this.#readAt(indent / indentWidth, text);
    }
  }

  #readAt(depth: number, text: string): void {
    const planned = plan.exec(text)?.[1];
    const point = testPoint.exec(text);
    if (planned === undefined && point === null) return;
    if (depth > maxDepth) throw new MalformedReportError(`the test report is nested deeper than ${maxDepth}`);
    while (this.#levels.length <= depth) this.#levels.push({ points: 0, planned: null, tests: [] });
    if (planned !== undefined) this.#readPlan(depth, Number(planned));
    else if (point !== null) this.#readPoint(depth, point);
  }

  #readPlan(depth: number, count: number): void {
    const level = this.#level(depth);
    if (level.planned !== null) throw new MalformedReportError('the test report has two plans');
    level.planned = count;
  }

  #readPoint(depth: number, [, word, number, rest = '']: RegExpExecArray): void {
    const inner = this.#takeInner(depth);
    const level = this.#level(depth);
    level.points += 1;
    if (number !== undefined && Number(number) !== level.points) {
      throw new MalformedReportError('the test report numbers its tests otherwise than in order');
    }
    const name = reportText(rest.replace(directive, ''), maxNameLength);
    const outcome = directive.test(` ${rest}`) ? 'skipped' : word === 'ok' ? 'passed' : 'failed';
    for (const test of inner) level.tests.push({ ...test, name: reportText(`${name} > ${test.name}`, maxNameLength) });
    const isSuite = inner.length > 0 && (outcome !== 'failed' || inner.some((test) => test.outcome === 'failed'));
    if (!isSuite) level.tests.push({ name, outcome, message: '', timeMs: 0 });
    if (level.tests.length > maxTests) throw new MalformedReportError(`the test report has more than ${maxTests} tests`);
  }

  /** What was reported one level deeper since the last point of this depth. */
  #takeInner(depth: number): readonly ReportedTest[] {
    const [inner, ...deeper] = this.#levels.splice(depth + 1);
    if (deeper.some(({ points }) => points > 0)) throw new MalformedReportError('the test report leaves out a level');
    if (inner === undefined) return [];
    checkPlan(inner);
    return inner.tests;
  }

  /** A diagnosis belongs to the test before it; one that passed needs none. */
  #endDiagnosis(): void {
    const message = reportText((this.#diagnosis ?? []).join('\n'), maxMessageLength);
    this.#diagnosis = null;
    const tests = this.#levels.at(-1)?.tests;
    const last = tests?.at(-1);
    if (last?.outcome === 'failed' && last.message === '') tests?.splice(-1, 1, { ...last, message });
  }

  #level(depth: number): Level {
    const level = this.#levels[depth];
    if (level === undefined) throw new MalformedReportError('the test report leaves out a level');
    return level;
  }

  end(): readonly ReportedTest[] {
    if (this.#levels.length > 1 || this.#diagnosis !== null) throw new MalformedReportError('the test report ends within a test');
    const level = this.#level(0);
    if (level.planned === null) throw new MalformedReportError('the test report has no plan');
    checkPlan(level);
    return level.tests;
  }
}

function checkPlan({ planned, points }: Level): void {
  if (planned !== null && planned !== points) {
    throw new MalformedReportError(`the test report plans ${planned} tests and has ${points}`);
  }
}

/**
 * Reads a TAP report (versions 13 and 14) that untrusted code may have written. Lines that are none of TAP are left out, as programs print
 * to the same stream. Subtests count instead of the test that holds them; `skip` and `todo` are not passed.
 *
 * Our own reader and no package: those take as much as they can of what is malformed, and what is wanted here is the contrary.
 *
 * @throws MalformedReportError for a report without a plan, whose plan or numbers do not fit its tests, that bails out or ends midway.
 */
export function parseTapReport(tap: string): readonly ReportedTest[] {
  const reader = new TapReader();
  for (const line of tap.split(/\r?\n/)) reader.read(line);
  return reader.end();
}
