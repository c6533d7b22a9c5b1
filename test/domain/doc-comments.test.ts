import { describe, expect, it } from '@jest/globals';
import { isSourceOf, readDocComments } from '../../src/domain/doc-comments.ts';

type Reads = Parameters<typeof readDocComments>[0];

/** `name` for what is documented, `-name` for what is not. */
function read(language: Reads, ...lines: string[]): readonly string[] {
  const { things } = readDocComments(language, [{ path: 'a', text: lines.join('\n') }]);
  return things.map(({ name, line, isDocumented }) => `${isDocumented ? '' : '-'}${name}:${line}`);
}

describe('what a file documents', () => {
  it('is what JavaScript exports, however it says so', () => {
    const lines = [
      '/** Adds. */',
      'export function add(a, b) {}',
      'export const half = (n) => n / 2;',
      'function inner() {}',
      '/** Doubles. */',
      'async function twice() {}',
      'export { twice as double };',
      'export const limit = 3;',
    ];
    expect(read('javascript', ...lines)).toEqual(['add:2', '-half:3', 'twice:6']);
    expect(read('javascript', 'class A {}', 'function b() {}', 'module.exports = { A };')).toEqual(['-A:1']);
    expect(read('javascript', '/** Runs. */', 'exports.run = function () {};')).toEqual(['run:2']);
    expect(read('typescript', '/** A box. */', '@frozen', 'export default abstract class Box<T> {}')).toEqual(['Box:3']);
  });

  it('is all of a program, which exports nothing', () => {
    expect(read('javascript', '/** Adds. */', 'function add() {}', 'const f = async (x) => x;', 'main();')).toEqual([
      'add:2',
      '-f:3',
    ]);
  });

  it.each<[Reads, readonly string[], readonly string[]]>([
    ['javascript', ['// not a doc comment', 'function a() {}'], ['-a:2']],
    ['javascript', ['/** */', 'function a() {}'], ['-a:2']],
    ['javascript', ['/**', ' * -----', ' */', 'function a() {}'], ['-a:4']],
    ['javascript', ['/** Of something else. */', 'let x = 1;', 'function a() {}'], ['-a:3']],
    ['javascript', ['/*', 'function hidden() {}', '*/'], []],
    ['c', ['#include <stdio.h>', '// Adds two numbers.', 'int add(int a, int b) {', '  if (a) return b;', '}'], ['add:3']],
    ['c', ['int add(int a, int b);', 'static int help(void) {', '}', 'int *use(void)', '{', '}', 'int main(void) {'], ['-use:4']],
    [
      'cpp',
      ['/** A stack. */', 'template <typename T>', 'class Stack {', '};', 'std::vector<int> f(int n) {'],
      ['Stack:3', '-f:5'],
    ],
    ['go', ['package main', '', '// solve does it.', 'func solve(n int) int {', '}', 'func main() {'], ['solve:4']],
    ['go', ['// Add adds.', 'func Add() {}', 'func (s *Set) Has() bool {', 'func help() {}'], ['Add:2', '-Has:3']],
    ['rust', ['/// Adds.', '#[inline]', 'pub fn add() {}', 'fn help() {}', '// no', 'pub struct P;'], ['add:3', '-P:6']],
    ['rust', ['fn solve() {}', 'fn main() {'], ['-solve:1']],
    [
      'java',
      [
        '/** Adds. */',
        'public class Main {',
        '  /** Sums. */',
        '  @Deprecated',
        '  static int sum(int a, int b) {',
        '    return helper(a);',
        '  }',
        '  private static int helper(int a) {',
        '  public Map<String, Integer> count(List<String> words) {',
        '  public static void main(String[] args) {',
      ],
      ['Main:2', 'sum:5', '-count:9'],
    ],
  ])('%s %j', (language, lines, expected) => {
    expect(read(language, ...lines)).toEqual(expected);
  });

  it('has an overview where a file begins with a comment', () => {
    const overview = (text: string) => readDocComments('javascript', [{ path: 'a', text }]).hasOverview;
    expect(overview('#!/usr/bin/env node\n\n// Sorts its input.\nrun();')).toBe(true);
    expect(overview('/*\n * Sorts.\n */\nrun();')).toBe(true);
    expect(overview('import a from "a";\n// Sorts its input.')).toBe(false);
    expect(overview('// -----\nrun();')).toBe(false);
    expect(overview('/* never closed')).toBe(false);
  });

  it('takes no longer for lines that are made to be slow', () => {
    const slow = [
      'a '.repeat(200_000),
      'a::'.repeat(100_000),
      `const x = ${'('.repeat(100_000)}`,
      '// '.repeat(100_000),
      'export {\n'.repeat(2_000),
    ];
    for (const language of ['javascript', 'java', 'cpp', 'rust', 'go'] as const) {
      const text = slow.flatMap((line) => Array.from({ length: 20 }, () => line)).join('\n');
      // A pattern that backtracks over such a line would take minutes: over the limit of any test.
      expect(readDocComments(language, [{ path: 'a', text }]).things.length).toBeLessThan(100);
    }
  });

  it('asks only files of the language', () => {
    expect(['a.js', 'a.mjs', 'a.tsx', 'a.json', 'a.py'].filter((path) => isSourceOf('javascript', path))).toEqual([
      'a.js',
      'a.mjs',
      'a.tsx',
    ]);
    expect(isSourceOf('python', 'a.py')).toBe(true);
    expect(isSourceOf('go', 'a_test.go')).toBe(false);
  });
});
