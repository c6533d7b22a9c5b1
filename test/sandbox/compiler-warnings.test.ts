import { expect, it } from '@jest/globals';
import type { Language } from '../../src/domain/check-runs.ts';
import { parseCompilerWarnings } from '../../src/sandbox/compiler-warnings.ts';

const found = (language: Language, output: string) =>
  parseCompilerWarnings(language, output, (path) => path.startsWith('main') || path === 'Main.java').map(
    ({ file, line, rule, message }) => `${file}:${line} ${rule} ${message}`,
  );

const gcc = [
  'main.c: In function ‘main’:',
  'main.c:3:7: warning: unused variable ‘x’ [-Wunused-variable]',
  '    3 |   int x;',
  '      |       ^',
  'main.c:5:3: error: expected ‘;’',
  '/usr/include/stdio.h:1:1: warning: of the system [-Wsystem]',
  './main.h:2:1: warning: extra tokens',
].join('\n');
const javac = [
  'Main.java:3: warning: [rawtypes] found raw type: List',
  '  List list;',
  '  ^',
  'Main.java:9: error: not a statement',
  'warning: unknown option',
  '1 warning',
].join('\n');
const vet = [
  '# command-line-arguments',
  './main.go:5:2: result of fmt.Sprint call not used',
  'main.go:7:3: unreachable code',
].join('\n');
const rustc = [
  'warning: unused variable: `x`',
  ' --> main.rs:2:9',
  '  |',
  '2 |     let x = 1;',
  '',
  'warning: function `f` is never used',
  '  --> main.rs:12:4',
  '',
  'error: aborting',
  ' --> main.rs:1:1',
  'warning: 2 warnings emitted',
  '',
  'main.rs:4:5: warning: unused import: `std::io` [unused_imports]',
].join('\n');

it.each<[Language, string, readonly string[]]>([
  ['c', gcc, ['main.c:3 -Wunused-variable unused variable ‘x’', 'main.h:2 compiler extra tokens']],
  ['java', javac, ['Main.java:3 rawtypes found raw type: List']],
  ['go', vet, ['main.go:5 vet result of fmt.Sprint call not used', 'main.go:7 vet unreachable code']],
  ['c', vet, []],
  [
    'rust',
    rustc,
    [
      'main.rs:2 compiler unused variable: `x`',
      'main.rs:12 compiler function `f` is never used',
      'main.rs:4 unused_imports unused import: `std::io`',
    ],
  ],
])('%s: its warnings about the student’s files', (language, output, expected) => {
  expect(found(language, output)).toEqual(expected);
});

it('takes so many and no more, and nothing that a database would refuse', () => {
  const many = 'main.c:99999999999:1: warning: \0\n'.repeat(1000);
  const findings = parseCompilerWarnings('c', many, () => true);
  expect(findings).toHaveLength(200);
  expect(findings[0]).toMatchObject({ line: 2 ** 31 - 1, message: '\uFFFD' });
});
