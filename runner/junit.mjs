/**
 * Writes what Node's test runner tells as JUnit XML, and as text for people to standard output.
 *
 * The XML is written here because Node's junit reporter drops line ends of messages, escapes quotes twice and lets control
 * characters through, which makes the report malformed.
 */
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { spec } from 'node:test/reporters';

const maxMessageLength = 4000;
const entities = { '<': '&lt;', '>': '&gt;', '&': '&amp;', '"': '&quot;', '\n': '&#10;', '\t': '&#9;', '\r': '&#13;' };

/** Escapes for content and attributes; what XML 1.0 cannot hold at all (control characters, lone surrogates) is dropped. */
function xml(text) {
  const allowed = text.toWellFormed().replaceAll(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '');
  return allowed.replaceAll(/[<>&"\n\t\r]/g, (character) => entities[character]);
}

/** The message, and those lines of the stack that lie in the student's or the exercise's files. */
function describe(error) {
  const cause = error.cause instanceof Error ? error.cause : error;
  const message = typeof error.cause === 'string' ? error.cause : String(cause.message);
  const frames = String(cause.stack ?? '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line) && line.includes(`${process.cwd()}/`));
  const lines = frames.map((line) => line.replaceAll(`file://${process.cwd()}/`, '').replaceAll(`${process.cwd()}/`, ''));
  return [message, ...lines].join('\n').slice(0, maxMessageLength);
}

/**
 * Writes the report when the events end; exit code 1 where anything failed. `findFault` says, at the end of each test, why it cannot
 * count as passed; null where it can.
 */
export function reportTests(events, { files, descriptor, findFault = () => null }) {
  const testcases = [];
  const suiteNames = [];
  /** Node reports a file that ended without any test, such as by `process.exit(0)`, as one passed test named after the file. */
  const isFileItself = (test) => test.nesting === 0 && files.includes(test.name);

  function record(test, problem) {
    const isOptional = test.skip !== undefined || test.todo !== undefined;
    if (problem !== null && !isOptional) process.exitCode = 1;
    if (problem === null && isFileItself(test)) {
      process.exitCode = 1;
      return;
    }
    const name = isFileItself(test)
      ? relative(process.cwd(), test.name)
      : [...suiteNames.slice(0, test.nesting), test.name].join(' > ');
    const seconds = (test.details.duration_ms / 1000).toFixed(4);
    const failure = problem === null ? '' : `<failure>${xml(problem)}</failure>`;
    testcases.push(`<testcase name="${xml(name)}" time="${seconds}">${isOptional ? '<skipped/>' : failure}</testcase>`);
  }

  // Names of enclosing suites: a suite starts before its tests report.
  events.on('test:start', (test) => {
    suiteNames[test.nesting] = test.name;
  });
  events.on('test:pass', (test) => {
    if (test.details.type !== 'suite') record(test, findFault());
  });
  events.on('test:fail', (test) => {
    // A suite is its tests; it counts by itself only where a hook failed, and not for failures of its tests.
    if (test.details.type === 'suite' && test.details.error.failureType === 'subtestsFailed') return;
    record(test, describe(test.details.error));
  });
  events.once('end', () => {
    const body = `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n${testcases.join('\n')}\n</testsuites>\n`;
    writeFileSync(descriptor, body);
  });
  events.compose(spec).pipe(process.stdout);
}
