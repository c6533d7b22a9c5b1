import { diffArrays } from 'diff';
import { isSameLine } from '../domain/comparison.ts';
import type { Comparison } from '../domain/exercises.ts';
import { reportText } from './report-text.ts';

/** Of what is compared for showing; a difference further down is seldom the first. */
const maxLines = 500;
const maxLineLength = 200;
/** More changes than this are a different output, of which the first lines say enough. */
const maxEdits = 200;
const contextLines = 3;
const maxShownLines = 80;

interface DiffLine {
  readonly sign: ' ' | '-' | '+';
  readonly text: string;
}

/**
 * Shows how an output differs from the expected one: lines with `-` (expected), `+` (found) and a space (both, as found), `…` where
 * lines are left out. Lines that the comparison takes for the same are. Any bytes can be shown; all is cut.
 */
export function diffOutput(comparison: Comparison, expected: string, output: Buffer): string {
  const lines = diffLines(comparison, linesOf(expected), linesOf(output.toString()));
  const isNear = lines.map((_, index) =>
    lines.slice(Math.max(0, index - contextLines), index + contextLines + 1).some(({ sign }) => sign !== ' '),
  );
  const shown: string[] = [];
  for (const [index, { sign, text }] of lines.entries()) {
    if (isNear[index] === true) shown.push(sign + text);
    else if (shown.at(-1) !== '…') shown.push('…');
  }
  const cut = shown.length > maxShownLines ? [...shown.slice(0, maxShownLines), '…'] : shown;
  return reportText(cut.join('\n'), maxShownLines * (maxLineLength + 3));
}

function linesOf(text: string): readonly string[] {
  // Cut before it is parted: an output may be one line of a megabyte, or a million lines.
  const lines = text.slice(0, maxLines * maxLineLength).split('\n', maxLines);
  return lines.map((line) => (line.length > maxLineLength ? `${line.slice(0, maxLineLength)}…` : line));
}

function diffLines(comparison: Comparison, expected: readonly string[], actual: readonly string[]): readonly DiffLine[] {
  const comparator = (left: string, right: string) => isSameLine(comparison, left, right);
  const changes = diffArrays([...expected], [...actual], { comparator, maxEditLength: maxEdits });
  if (changes === undefined) {
    const index = expected.findIndex((line, place) => !comparator(line, actual[place] ?? ''));
    const first = index === -1 ? expected.length : index;
    const few = (sign: DiffLine['sign'], lines: readonly string[]) =>
      lines.slice(first, first + maxShownLines / 2).map((text) => ({ sign, text }));
    return [...few('-', expected), ...few('+', actual)];
  }
  return changes.flatMap(({ added, removed, value }) => {
    const sign = added ? '+' : removed ? '-' : ' ';
    return value.map((text): DiffLine => ({ sign, text }));
  });
}
