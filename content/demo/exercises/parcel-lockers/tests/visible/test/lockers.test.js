import assert from 'node:assert/strict';
import { test } from 'node:test';

import { LockerWall } from '../src/lockers.js';

test('a new wall is empty', () => {
  assert.deepEqual(new LockerWall({ small: 2, medium: 1, large: 3 }).emptyLockers(), { small: 2, medium: 1, large: 3 });
});

test('drop fills the lockers of a size from the lowest number', () => {
  const wall = new LockerWall({ small: 2, medium: 1, large: 1 });
  assert.equal(wall.drop('book', 'small', 1), 'S1');
  assert.equal(wall.drop('pens', 'small', 1), 'S2');
  assert.equal(wall.drop('lamp', 'medium', 1), 'M1');
  assert.deepEqual(wall.emptyLockers(), { small: 0, medium: 0, large: 1 });
});

test('drop takes the next bigger size when one is full', () => {
  const wall = new LockerWall({ small: 1, medium: 1, large: 1 });
  assert.deepEqual(
    ['book', 'pens', 'mugs'].map((id) => wall.drop(id, 'small', 1)),
    ['S1', 'M1', 'L1'],
  );
});

test('drop refuses a parcel when the wall is full', () => {
  const wall = new LockerWall({ small: 1, medium: 0, large: 0 });
  wall.drop('book', 'small', 1);
  assert.throws(() => wall.drop('pens', 'small', 1), { name: 'LockerError', code: 'full' });
});

test('collect is free for three days', () => {
  const wall = new LockerWall({ small: 1, medium: 0, large: 0 });
  wall.drop('book', 'small', 10);
  assert.deepEqual(wall.collect('book', 13), { locker: 'S1', fee: 0 });
  assert.deepEqual(wall.emptyLockers(), { small: 1, medium: 0, large: 0 });
});

test('collect costs something after that', () => {
  const wall = new LockerWall({ small: 1, medium: 1, large: 0 });
  wall.drop('book', 'small', 10);
  wall.drop('lamp', 'medium', 10);
  assert.equal(wall.collect('book', 14).fee, 40);
  assert.equal(wall.collect('lamp', 15).fee, 120);
});

test('collect refuses a parcel that is not here', () => {
  const wall = new LockerWall({ small: 1, medium: 0, large: 0 });
  assert.throws(() => wall.collect('book', 1), { name: 'LockerError', code: 'not-here' });
});

test('overdue lists who is late', () => {
  const wall = new LockerWall({ small: 2, medium: 0, large: 0 });
  wall.drop('book', 'small', 10);
  wall.drop('pens', 'small', 12);
  assert.deepEqual(wall.overdue(14), ['book']);
});
