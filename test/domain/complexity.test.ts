import { describe, expect, it } from '@jest/globals';
import { measureComplexity } from '../../src/domain/complexity.ts';

type Measures = Parameters<typeof measureComplexity>[0];

const found = (language: Measures, text: string) =>
  measureComplexity(language, [{ path: 'a', text }]).map(({ line, rule, message }) => `${line} ${rule} ${message.split(' ')[0]}`);

const repeat = (count: number, text: string) => Array.from({ length: count }, () => text).join('\n');

describe('complexity', () => {
  it.each<[Measures, string, readonly string[]]>([
    ['c', `#include <a.h>\n\nint main(void)\n{\n${repeat(12, 'if (a) b();')}\n}`, ['3 complexity main']],
    ['c', `int main(void) {\n${repeat(11, 'if (a) b();')}\n}`, []],
    ['c', `int main(void) {\n${repeat(30, '// if (a) {\n"if {"; /* while { */')}\n}`, []],
    ['c', `static int f(int a) { return a; }\nint g(int b) {\n${repeat(60, 'b++;')}\n}\nint h() { return 1; }`, ['2 max-lines']],
    [
      'cpp',
      'namespace n { class A { void f() { if (a) { for (;;) { while (b) { do { if (c) { } } while (d); } } } } }; }',
      ['1 max-depth'],
    ],
    ['java', `class Main {\n  int f(int a) throws E {\n    return ${repeat(12, "a == '{' && ")} b;\n  }\n}`, ['2 complexity f']],
    ['java', `class A {\n${repeat(40, '  int f(int a) { if (a > 0) { return 1; } return 2; }')}\n}`, []],
    ['go', `func (s *Set) Has(x int) bool {\n${repeat(12, 'if a {\n}')}\n}`, ['1 complexity Has']],
    [
      'rust',
      `impl A {\n  pub fn f<'a, T>(x: &'a T) -> i32 {\n    match x {\n${repeat(12, '_ => 1,')}\n    }\n  }\n}`,
      ['2 complexity f'],
    ],
    ['rust', `struct P { x: i32 }\nfn f() -> P { P { x: 1 } }`, []],
  ])('%s, case %#', (language, text, expected) => {
    const short = found(language, text).map((finding, index) => finding.slice(0, expected[index]?.length ?? finding.length));
    expect(short).toEqual(expected);
  });

  it('reads what is no code at all, and in time', () => {
    for (const text of [
      '}'.repeat(500_000),
      '{'.repeat(500_000),
      '/*'.repeat(500_000),
      `"${'\\'.repeat(500_000)}`,
      "'".repeat(500_000),
    ]) {
      for (const language of ['c', 'java', 'rust'] as const) expect(found(language, text)).toEqual([]);
    }
    expect(found('c', `int f() ${'{ if (a) '.repeat(20_000)}`)).toEqual([]);
  });
});
