/**
 * `node run-tests.mjs FILE...`: runs test files with Node's own runner, each in a process of its own, and writes JUnit XML to
 * descriptor 3; the readable report goes to standard output. Exit code 1 where anything failed.
 *
 * The XML is written here because Node's junit reporter drops line ends of messages, escapes quotes twice and lets control
 * characters through, which makes the report malformed.
 */
import { writeFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const reportDescriptor = 3;
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
  const message = typeof error.cause === 'string' ? error.cause : cause.message;
  const frames = (cause.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line) && line.includes(`${process.cwd()}/`));
  const lines = frames.map((line) => line.replaceAll(`file://${process.cwd()}/`, '').replaceAll(`${process.cwd()}/`, ''));
  return [message, ...lines].join('\n').slice(0, maxMessageLength);
}

/** Node reports a file that ended without any test, such as by `process.exit(0)`, as one passed test named after the file. */
const isFileItself = (test) => test.nesting === 0 && files.includes(test.name);

function outcomeElement(test, passed) {
  if (test.skip !== undefined || test.todo !== undefined) return '<skipped/>';
  if (passed) return '';
  return `<failure>${xml(describe(test.details.error))}</failure>`;
}

const files = process.argv.slice(2).map((file) => resolve(file));
const testcases = [];
const suiteNames = [];

function record(test, passed) {
  const isOptional = test.skip !== undefined || test.todo !== undefined;
  if (!passed && !isOptional) process.exitCode = 1;
  if (passed && isFileItself(test)) {
    process.exitCode = 1;
    return;
  }
  // A suite is its tests; it counts by itself only where a hook failed, and not for failures of its tests.
  if (test.details.type === 'suite' && (passed || test.details.error.failureType === 'subtestsFailed')) return;
  const name = isFileItself(test)
    ? relative(process.cwd(), test.name)
    : [...suiteNames.slice(0, test.nesting), test.name].join(' > ');
  const seconds = (test.details.duration_ms / 1000).toFixed(4);
  testcases.push(`<testcase name="${xml(name)}" time="${seconds}">${outcomeElement(test, passed)}</testcase>`);
}

const events = run({ files, concurrency: false });
// Names of enclosing suites: a suite starts before its tests report.
events.on('test:start', (test) => {
  suiteNames[test.nesting] = test.name;
});
events.on('test:pass', (test) => record(test, true));
events.on('test:fail', (test) => record(test, false));
events.once('end', () => {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n${testcases.join('\n')}\n</testsuites>\n`;
  writeFileSync(reportDescriptor, body);
});
events.compose(spec).pipe(process.stdout);
