import type { Comparison } from './exercises.ts';

/** Ways of comparing that need no program of the exercise. */
export type DirectComparison = Exclude<Comparison, { mode: 'checker' }>;

/** Of a word in a message: long ones are cut. */
const maxShownWord = 80;

/** More digits than a double can tell apart are read by hand; more than this are no number but text. */
const maxNumberLength = 400;

const decimal = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
const integer = /^[+-]?\d+$/;
const named: ReadonlyMap<string, number> = new Map([
  ['nan', Number.NaN],
  ['inf', Number.POSITIVE_INFINITY],
  ['infinity', Number.POSITIVE_INFINITY],
]);

/**
 * Compares what a program wrote with what is expected. Null where it is right; else what is wrong with it, in words that quote both: for
 * visible cases only.
 *
 * The work grows with the length of the output, not with how it is made: floods of small words included.
 */
export function compareOutput(comparison: DirectComparison, expected: string, output: Uint8Array): string | null {
  const text = decodeText(output);
  // What is expected is valid UTF-8, so this cannot be it, however it is compared.
  if (text === null) return 'the output is not UTF-8 text';
  if (text === expected) return null;
  return comparison.mode === 'exact' ? describeExact(expected, text) : compareWords(comparison, expected, text);
}

/** Whether one line of the output stands for one that is expected, for showing how the two differ. */
export function isSameLine(comparison: Comparison, expected: string, actual: string): boolean {
  if (expected === actual || comparison.mode === 'exact' || comparison.mode === 'checker') return expected === actual;
  return compareWords(comparison, expected, actual) === null;
}

/** Null for what is not valid UTF-8. */
function decodeText(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** Spaces and line breaks are what students do not see: if it is only them, they are told. */
function describeExact(expected: string, actual: string): string {
  if (expected.trimEnd() === actual.trimEnd()) {
    if (`${actual}\n` === expected) return 'only the line break at the end of the output is missing';
    if (actual === `${expected}\n`) return 'only the line break at the end of the output is too much';
    return 'only spaces or line breaks at the end of the output differ';
  }
  const withoutLineEnds = (text: string) => text.replace(/[ \t\r]+$/gm, '').trimEnd();
  if (withoutLineEnds(expected) === withoutLineEnds(actual)) return 'only spaces at the ends of lines differ';
  const expectedLines = expected.split('\n');
  const actualLines = actual.split('\n');
  const index = expectedLines.findIndex((line, place) => line !== actualLines[place]);
  return `line ${(index === -1 ? expectedLines.length : index) + 1} differs`;
}

const isSpace = (code: number): boolean => code === 0x20 || (code >= 0x09 && code <= 0x0d);

/** Words of a text, one at a time: an output may hold hundreds of thousands. */
class WordReader {
  /** 1, 2, … of the word that was read last. */
  line = 1;
  readonly #text: string;
  #position = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Null at the end. */
  next(): string | null {
    const text = this.#text;
    let start = this.#position;
    for (; start < text.length && isSpace(text.charCodeAt(start)); start += 1) {
      if (text.charCodeAt(start) === 0x0a) this.line += 1;
    }
    let end = start;
    while (end < text.length && !isSpace(text.charCodeAt(end))) end += 1;
    this.#position = end;
    return start === end ? null : text.slice(start, end);
  }
}

function compareWords(comparison: Exclude<DirectComparison, { mode: 'exact' }>, expected: string, actual: string): string | null {
  const expectedWords = new WordReader(expected);
  const actualWords = new WordReader(actual);
  for (let count = 1; ; count += 1) {
    const wanted = expectedWords.next();
    const found = actualWords.next();
    if (wanted === null && found === null) return null;
    if (found === null) return `the output ends after ${count - 1} words: expected ${quote(wanted)} next`;
    if (wanted === null) return `the output goes on after what is expected: ${quote(found)} in line ${actualWords.line}`;
    if (!isSameWord(comparison, wanted, found)) {
      return `word ${count} (line ${actualWords.line}): expected ${quote(wanted)}, found ${quote(found)}`;
    }
  }
}

function quote(word: string | null): string {
  if (word === null || word.length <= maxShownWord) return JSON.stringify(word);
  return `${JSON.stringify(word.slice(0, maxShownWord).toWellFormed())}…`;
}

function isSameWord(comparison: Exclude<DirectComparison, { mode: 'exact' }>, expected: string, actual: string): boolean {
  if (expected === actual) return true;
  if (comparison.mode === 'tokens') return !comparison.isCaseSensitive && expected.toLowerCase() === actual.toLowerCase();
  const wanted = readNumber(expected);
  const found = readNumber(actual);
  if (wanted === null || found === null) return false;
  if (Number.isNaN(wanted) || Number.isNaN(found)) return Number.isNaN(wanted) && Number.isNaN(found);
  if (!Number.isFinite(wanted) || !Number.isFinite(found)) return wanted === found;
  const error = distance({ text: expected, value: wanted }, { text: actual, value: found });
  return error <= comparison.absolute || error <= comparison.relative * Math.abs(wanted);
}

/** Null for what is no number, or a larger one than a double holds; numbers are decimal fractions, `nan`, `inf` and `infinity`. */
function readNumber(word: string): number | null {
  if (word.length > maxNumberLength) return null;
  if (decimal.test(word)) {
    const value = Number(word);
    return Number.isFinite(value) ? value : null;
  }
  const value = named.get(word.replace(/^[+-]/, '').toLowerCase());
  if (value === undefined) return null;
  return word.startsWith('-') ? -value : value;
}

interface ReadNumber {
  readonly text: string;
  readonly value: number;
}

/** Integers beyond what a double holds are subtracted as such, or neighbours would seem equal. */
function distance(expected: ReadNumber, actual: ReadNumber): number {
  const isBig = [expected, actual].every(({ text, value }) => integer.test(text) && Math.abs(value) > Number.MAX_SAFE_INTEGER);
  if (!isBig) return Math.abs(expected.value - actual.value);
  const [wanted = 0n, found = 0n] = [expected, actual].map(({ text }) => BigInt(text.replace(/^\+/, '')));
  return Math.abs(Number(wanted - found));
}
