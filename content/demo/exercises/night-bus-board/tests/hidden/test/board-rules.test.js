import assert from 'node:assert/strict';
import { test } from 'node:test';

import { boardLines, minutesUntil, waitText } from '../src/board.js';

/** The text at the right end of each line, without its padding. */
const texts = (lines) => lines.map((line) => line.slice(20).trim());

test('minutesUntil is 0 for the same time and 1439 for a minute ago', () => {
  assert.equal(minutesUntil('22:10', '22:10'), 0);
  assert.equal(minutesUntil('22:10', '22:09'), 1439);
});

test('minutesUntil counts across several hours', () => {
  assert.equal(minutesUntil('09:58', '11:03'), 65);
});

test('waitText changes from minutes to hours at 60', () => {
  assert.deepEqual([1, 59, 60, 61, 360].map(waitText), ['1 min', '59 min', '1 h 00 min', '1 h 01 min', '6 h 00 min']);
});

test('a delay moves the departure, even across midnight', () => {
  const departures = [
    { line: 'N1', destination: 'Zoo', time: '23:58', delay: 10 },
    { line: 'N2', destination: 'Mill', time: '00:04' },
  ];
  assert.deepEqual(boardLines(departures, '00:02', 5), [
    'N2  Mill                  2 min',
    'N1  Zoo                   6 min',
  ]);
});

test('a cancelled bus stands at its planned time, whatever its delay', () => {
  const departures = [
    { line: 'N1', destination: 'Zoo', time: '01:10' },
    { line: 'N2', destination: 'Mill', time: '01:05', delay: 30, cancelled: true },
  ];
  assert.deepEqual(texts(boardLines(departures, '01:00', 5)), ['cancelled', '10 min']);
});

test('a departure is shown up to exactly 6 hours ahead', () => {
  const departures = [
    { line: 'N1', destination: 'Zoo', time: '04:01' },
    { line: 'N2', destination: 'Mill', time: '04:00' },
    { line: 'N3', destination: 'Quay', time: '21:59' },
  ];
  assert.deepEqual(boardLines(departures, '22:00', 5), ['N2  Mill             6 h 00 min']);
});

test('departures that are not shown do not use up the count', () => {
  const departures = [
    { line: 'N1', destination: 'Zoo', time: '21:59' },
    { line: 'N2', destination: 'Mill', time: '22:09' },
    { line: 'N3', destination: 'Quay', time: '22:03' },
    { line: 'N4', destination: 'Fair', time: '22:30' },
  ];
  assert.deepEqual(texts(boardLines(departures, '22:00', 2)), ['3 min', '9 min']);
  assert.deepEqual(boardLines(departures, '22:00', 0), []);
});

test('the same wait keeps the order of the list', () => {
  const departures = ['N9', 'N1', 'N5'].map((line) => ({ line, destination: 'Zoo', time: '22:10' }));
  assert.deepEqual(
    boardLines(departures, '22:00', 3).map((line) => line.slice(0, 4)),
    ['N9  ', 'N1  ', 'N5  '],
  );
});

test('a destination of 16 characters is whole, one of 17 is cut', () => {
  const departures = [
    { line: 'N1', destination: 'Museum of Clocks', time: '22:10' },
    { line: 'N2', destination: 'Museum of Engines', time: '22:11' },
  ];
  assert.deepEqual(boardLines(departures, '22:00', 2), [
    'N1  Museum of Clocks     10 min',
    'N2  Museum of Engin…     11 min',
  ]);
});

test('the list of the caller stays as it was', () => {
  const departures = [
    { line: 'N5', destination: 'Harbour', time: '22:40', delay: 5 },
    { line: 'N1', destination: 'Main Station', time: '22:12' },
  ];
  const before = structuredClone(departures);
  assert.equal(boardLines(departures, '22:10', 5).length, 2);
  assert.deepEqual(departures, before);
});
