import assert from 'node:assert/strict';
import { test } from 'node:test';

import { boardLines, minutesUntil, waitText } from '../src/board.js';

test('minutesUntil counts within the same hour', () => {
  assert.equal(minutesUntil('22:10', '22:17'), 7);
});

test('minutesUntil goes across midnight', () => {
  assert.equal(minutesUntil('23:50', '00:05'), 15);
});

test('waitText says "now" for no wait', () => {
  assert.equal(waitText(0), 'now');
});

test('waitText gives minutes, and hours from 60 minutes on', () => {
  assert.equal(waitText(7), '7 min');
  assert.equal(waitText(125), '2 h 05 min');
});

test('boardLines puts the soonest departure first', () => {
  const departures = [
    { line: 'N5', destination: 'Harbour', time: '22:40' },
    { line: 'N1', destination: 'Main Station', time: '22:12' },
  ];
  assert.deepEqual(boardLines(departures, '22:10', 5), [
    'N1  Main Station          2 min',
    'N5  Harbour              30 min',
  ]);
});

test('boardLines shows the example of the statement', () => {
  const departures = [
    { line: 'N5', destination: 'Harbour', time: '00:20' },
    { line: 'N12', destination: 'Old Observatory Hill', time: '23:55', delay: 3 },
    { line: 'N5', destination: 'Harbour', time: '23:59', cancelled: true },
  ];
  assert.deepEqual(boardLines(departures, '23:50', 5), [
    'N12 Old Observatory…      8 min',
    'N5  Harbour           cancelled',
    'N5  Harbour              30 min',
  ]);
});
