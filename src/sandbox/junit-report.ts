import { SaxesParser, type SaxesTagPlain } from 'saxes';
import type { ReportedTest } from '../domain/check-runs.ts';
import { MalformedReportError } from './malformed-report.ts';
import { reportText } from './report-text.ts';

const maxTests = 10_000;
const maxDepth = 50;
const maxNameLength = 500;
const maxMessageLength = 4000;
/** The largest integer column of PostgreSQL. */
const maxTimeMs = 2_147_483_647;

type Outcome = ReportedTest['outcome'];

/** A map, as element names are the report's: an object would answer to `constructor`. */
const outcomeElements: ReadonlyMap<string, Outcome> = new Map([
  ['failure', 'failed'],
  ['error', 'failed'],
  ['skipped', 'skipped'],
]);

interface OpenTestcase {
  readonly name: string;
  readonly timeMs: number;
  outcome: Outcome;
  message: string;
  /** Text of the element that gave the outcome; preferred to its attribute, in which line ends are lost. */
  text: string;
}

/** Milliseconds of a `time` attribute, which is in seconds; whatever is no time is 0. */
function timeMsOf(seconds: string): number {
  const timeMs = Math.round(Number(seconds) * 1000);
  return timeMs > 0 ? Math.min(timeMs, maxTimeMs) : 0;
}

/** Collects test cases; suites only matter for the names of those that are nested in named ones. */
class ReportReader {
  readonly tests: ReportedTest[] = [];
  readonly #open: string[] = [];
  readonly #suites: string[] = [];
  #testcase: OpenTestcase | null = null;

  openElement({ name, attributes }: SaxesTagPlain): void {
    this.#open.push(name);
    if (this.#open.length > maxDepth) throw new MalformedReportError(`the test report is nested deeper than ${maxDepth}`);
    if (this.#open.length === 1 && name !== 'testsuites' && name !== 'testsuite') {
      throw new MalformedReportError('the test report is no JUnit XML');
    }
    const outcome = outcomeElements.get(name);
    if (name === 'testsuite') this.#suites.push(attributes['name'] ?? '');
    else if (name === 'testcase') this.#openTestcase(attributes);
    else if (outcome !== undefined && this.#testcase !== null) {
      if (this.#testcase.outcome !== 'failed') this.#testcase.outcome = outcome;
      this.#testcase.message ||= attributes['message'] ?? '';
    }
  }

  text(text: string): void {
    const element = this.#open.at(-1);
    if (this.#testcase === null || element === undefined || !outcomeElements.has(element)) return;
    this.#testcase.text += text.slice(0, maxMessageLength - this.#testcase.text.length);
  }

  closeElement(): void {
    const name = this.#open.pop();
    if (name === 'testsuite') this.#suites.pop();
    if (name !== 'testcase' || this.#testcase === null) return;
    const { text, message, ...test } = this.#testcase;
    this.tests.push({ ...test, message: reportText(text.trim() || message, maxMessageLength) });
    this.#testcase = null;
  }

  #openTestcase(attributes: Readonly<Record<string, string>>): void {
    if (this.#testcase !== null) throw new MalformedReportError('the test report has a test case within a test case');
    if (this.tests.length === maxTests) throw new MalformedReportError(`the test report has more than ${maxTests} test cases`);
    const nameParts = [...this.#suites, attributes['name'] ?? ''].filter((part) => part !== '');
    this.#testcase = {
      name: reportText(nameParts.join(' > '), maxNameLength),
      timeMs: timeMsOf(attributes['time'] ?? '0'),
      outcome: 'passed',
      message: '',
      text: '',
    };
  }
}

/**
 * Reads a JUnit XML report that untrusted code may have written. Refuses document types, so no entities are ever defined; names of
 * nested suites precede the test's own. Messages are cut at 4,000 characters.
 *
 * @throws MalformedReportError for anything that is not one whole, well-formed report of at most 10,000 tests.
 */
export function parseJunitReport(xml: string): readonly ReportedTest[] {
  const reader = new ReportReader();
  const parser = new SaxesParser();
  parser.on('doctype', () => {
    throw new MalformedReportError('the test report has a document type');
  });
  parser.on('error', (error) => {
    throw new MalformedReportError(`the test report is malformed: ${error.message}`, { cause: error });
  });
  parser.on('opentag', (tag) => reader.openElement(tag));
  parser.on('text', (text) => reader.text(text));
  parser.on('cdata', (text) => reader.text(text));
  parser.on('closetag', () => reader.closeElement());
  parser.write(xml).close();
  return reader.tests;
}
