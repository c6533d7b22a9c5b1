import { describe, expect, test } from '@jest/globals';
import { parseJunitReport } from '../../src/sandbox/junit-report.ts';
import { MalformedReportError } from '../../src/sandbox/malformed-report.ts';

describe('parseJunitReport', () => {
  test('reads outcomes, times, messages and the names of nested suites', () => {
    const xml = `<?xml version="1.0"?><testsuites>
      <testsuite name="outer"><testsuite name="inner">
        <testcase name="passes" time="0.0123"/>
        <testcase name="fails"><failure message="in short">at length:\n a &lt; b</failure></testcase>
        <testcase name="errs"><error message="only in short"/></testcase>
      </testsuite><testcase name="skips"><skipped>later</skipped></testcase></testsuite>
      <testcase name="cdata"><failure><![CDATA[<raw>]]></failure><system-out>noise</system-out></testcase>
    </testsuites>`;
    expect(parseJunitReport(xml)).toEqual([
      { name: 'outer > inner > passes', outcome: 'passed', message: '', timeMs: 12 },
      { name: 'outer > inner > fails', outcome: 'failed', message: 'at length:\n a < b', timeMs: 0 },
      { name: 'outer > inner > errs', outcome: 'failed', message: 'only in short', timeMs: 0 },
      { name: 'outer > skips', outcome: 'skipped', message: 'later', timeMs: 0 },
      { name: 'cdata', outcome: 'failed', message: '<raw>', timeMs: 0 },
    ]);
  });

  test('a failed test that is also marked as skipped is failed', () => {
    const xml =
      '<testsuite><testcase name="a"><failure/><skipped/></testcase><testcase name="b"><skipped/><error/></testcase></testsuite>';
    expect(parseJunitReport(xml).map(({ outcome }) => outcome)).toEqual(['failed', 'failed']);
  });

  test('long messages and names are cut, odd times are zero', () => {
    const xml = `<testsuite><testcase name="${'n'.repeat(9000)}" time="-1e999"><failure>${'m'.repeat(90_000)}</failure></testcase></testsuite>`;
    const [only] = parseJunitReport(xml);
    expect(only).toMatchObject({ timeMs: 0, name: 'n'.repeat(500), message: 'm'.repeat(4000) });
  });

  test.each([
    ['1e300', 2_147_483_647],
    ['2147484', 2_147_483_647],
    ['Infinity', 2_147_483_647],
    ['NaN', 0],
    ['-5', 0],
    ['', 0],
    ['soon', 0],
    ['0.0004', 0],
    ['1.2346', 1235],
  ])('time %j is %d ms, which an integer column takes', (time, timeMs) => {
    expect(parseJunitReport(`<testsuite><testcase name="a" time="${time}"/></testsuite>`)).toMatchObject([{ timeMs }]);
  });

  test('no half characters, whether written so or made by cutting', () => {
    const odd = `${'n'.repeat(499)}😀`;
    const xml = `<testsuite><testcase name="${odd}"><failure>\uD83D.${'m'.repeat(3997)}😀</failure></testcase></testsuite>`;
    expect(parseJunitReport(xml)).toMatchObject([{ name: 'n'.repeat(499), message: `\uFFFD.${'m'.repeat(3997)}` }]);
  });

  test('an element named like a property of every object is no outcome', () => {
    const xml = '<testsuite><testcase name="a"><constructor/><toString>text</toString></testcase></testsuite>';
    expect(parseJunitReport(xml)).toEqual([{ name: 'a', outcome: 'passed', message: '', timeMs: 0 }]);
  });

  const laughs = Array.from({ length: 9 }, (_, i) => `<!ENTITY l${i + 1} "${`&l${i};`.repeat(10)}">`).join('');
  test.each([
    ['billion laughs', `<!DOCTYPE t [<!ENTITY l0 "ha">${laughs}]><testsuite><testcase name="&l9;"/></testsuite>`],
    ['external entity', '<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/passwd">]><testsuite><testcase name="&x;"/></testsuite>'],
    ['document type alone', '<!DOCTYPE testsuite><testsuite/>'],
    ['unknown entity', '<testsuite><testcase name="&nbsp;"/></testsuite>'],
    ['nothing', ''],
    ['no XML', 'all tests passed'],
    ['other XML', '<html><testcase name="a"/></html>'],
    ['cut off', '<testsuites><testcase name="a"/>'],
    ['two reports', '<testsuite/><testsuite/>'],
    ['text behind', '<testsuite/>forged'],
    ['wrong nesting', '<testsuite><testcase></testsuite></testcase>'],
    ['test case in a test case', '<testsuite><testcase name="a"><testcase name="b"/></testcase></testsuite>'],
    ['NUL', '<testsuite><testcase name="\0"/></testsuite>'],
    ['NUL by its number', '<testsuite><testcase name="&#0;"/></testsuite>'],
    ['control character', '<testsuite><testcase name="\u0001"/></testsuite>'],
    ['too deep', `${'<testsuite>'.repeat(60)}${'</testsuite>'.repeat(60)}`],
    ['too many tests', `<testsuite>${'<testcase name="a"/>'.repeat(10_001)}</testsuite>`],
  ])('refuses: %s', (_, xml) => {
    expect(() => parseJunitReport(xml)).toThrow(MalformedReportError);
  });
});
