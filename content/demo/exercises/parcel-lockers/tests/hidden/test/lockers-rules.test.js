import assert from 'node:assert/strict';
import { test } from 'node:test';

import { LockerWall } from '../src/lockers.js';

test('a bigger parcel never goes into a smaller locker', () => {
  const wall = new LockerWall({ small: 3, medium: 1, large: 0 });
  assert.throws(() => wall.drop('desk', 'large', 1), { code: 'full' });
  assert.equal(wall.drop('lamp', 'medium', 1), 'M1');
  assert.throws(() => wall.drop('vase', 'medium', 1), { code: 'full' });
  assert.deepEqual(wall.emptyLockers(), { small: 3, medium: 0, large: 0 });
});

test('the lowest empty number is taken again after a collection', () => {
  const wall = new LockerWall({ small: 3, medium: 1, large: 0 });
  for (const id of ['a', 'b', 'c']) wall.drop(id, 'small', 1);
  wall.collect('b', 2);
  wall.collect('a', 2);
  assert.equal(wall.drop('d', 'small', 3), 'S1');
  assert.equal(wall.drop('e', 'small', 3), 'S2');
  assert.equal(wall.drop('f', 'small', 3), 'M1');
});

test('lockers are numbered in order beyond nine', () => {
  const wall = new LockerWall({ small: 12, medium: 0, large: 0 });
  const labels = Array.from({ length: 12 }, (_, index) => wall.drop(`parcel ${index}`, 'small', 1));
  assert.deepEqual(labels, ['S1', 'S2', 'S3', 'S4', 'S5', 'S6', 'S7', 'S8', 'S9', 'S10', 'S11', 'S12']);
});

test('a size that is none of the three words is refused', () => {
  const wall = new LockerWall({ small: 1, medium: 1, large: 1 });
  for (const size of ['huge', 'Small', '', 'toString', undefined]) {
    assert.throws(() => wall.drop('book', size, 1), { name: 'LockerError', code: 'unknown-size' });
  }
});

test('the first reason of the table is given', () => {
  const wall = new LockerWall({ small: 1, medium: 0, large: 0 });
  wall.drop('book', 'small', 1);
  assert.throws(() => wall.drop('book', 'huge', 1), { code: 'unknown-size' });
  assert.throws(() => wall.drop('book', 'small', 1), { code: 'already-here' });
  assert.throws(() => wall.drop('pens', 'small', 1), { code: 'full' });
});

test('the fee follows the size of the parcel, not of the locker', () => {
  const wall = new LockerWall({ small: 0, medium: 0, large: 2 });
  wall.drop('book', 'small', 10);
  wall.drop('desk', 'large', 10);
  assert.deepEqual(wall.collect('book', 15), { locker: 'L1', fee: 80 });
  assert.deepEqual(wall.collect('desk', 15), { locker: 'L2', fee: 200 });
});

test('the fee stops growing after ten days', () => {
  const wall = new LockerWall({ small: 1, medium: 1, large: 1 });
  wall.drop('book', 'small', 0);
  wall.drop('lamp', 'medium', 0);
  wall.drop('desk', 'large', 0);
  assert.equal(wall.collect('book', 12).fee, 360);
  assert.equal(wall.collect('lamp', 13).fee, 600);
  assert.equal(wall.collect('desk', 400).fee, 1000);
});

test('collecting before the drop is refused and changes nothing', () => {
  const wall = new LockerWall({ small: 1, medium: 0, large: 0 });
  wall.drop('book', 'small', 10);
  assert.throws(() => wall.collect('book', 9), { name: 'LockerError', code: 'day-before-drop' });
  assert.deepEqual(wall.emptyLockers(), { small: 0, medium: 0, large: 0 });
  assert.deepEqual(wall.collect('book', 10), { locker: 'S1', fee: 0 });
});

test('a parcel is collected once and may then be dropped again', () => {
  const wall = new LockerWall({ small: 1, medium: 0, large: 0 });
  wall.drop('book', 'small', 1);
  wall.collect('book', 9);
  assert.throws(() => wall.collect('book', 9), { code: 'not-here' });
  wall.drop('book', 'small', 9);
  assert.deepEqual(wall.collect('book', 12), { locker: 'S1', fee: 0 });
});

test('overdue begins on the fourth day and ends with the collection', () => {
  const wall = new LockerWall({ small: 2, medium: 0, large: 0 });
  wall.drop('book', 'small', 10);
  assert.deepEqual(wall.overdue(13), []);
  assert.deepEqual(wall.overdue(14), ['book']);
  wall.collect('book', 14);
  assert.deepEqual(wall.overdue(20), []);
});

test('overdue is sorted by drop day, then by the order of dropping', () => {
  const wall = new LockerWall({ small: 5, medium: 0, large: 0 });
  wall.drop('late', 'small', 9);
  wall.drop('zebra', 'small', 2);
  wall.drop('apple', 'small', 2);
  wall.drop('10', 'small', 10);
  assert.deepEqual(wall.overdue(30), ['zebra', 'apple', 'late', '10']);
});

test('any text may be a parcel id', () => {
  const wall = new LockerWall({ small: 3, medium: 0, large: 0 });
  assert.throws(() => wall.collect('constructor', 1), { code: 'not-here' });
  assert.equal(wall.drop('constructor', 'small', 1), 'S1');
  assert.equal(wall.drop('__proto__', 'small', 1), 'S2');
  assert.equal(wall.drop('', 'small', 1), 'S3');
  assert.deepEqual(wall.overdue(9), ['constructor', '__proto__', '']);
  assert.equal(wall.collect('__proto__', 1).locker, 'S2');
});

test('the wall shares no object with its caller', () => {
  const counts = { small: 1, medium: 0, large: 0 };
  const wall = new LockerWall(counts);
  counts.small = 5;
  wall.emptyLockers().small = 7;
  assert.deepEqual(wall.emptyLockers(), { small: 1, medium: 0, large: 0 });
  wall.drop('book', 'small', 1);
  assert.throws(() => wall.drop('pens', 'small', 1), { code: 'full' });
  assert.deepEqual(counts, { small: 5, medium: 0, large: 0 });
});
