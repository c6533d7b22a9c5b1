import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import main, * as shapes from '../src/shapes.js';
import { half } from './half.js';

const { echo, Point, Point3, ShapeError } = shapes;

test('the default export', () => assert.equal(main(), 'main'));

test('values', () => {
  const values = [
    ...[1, -0, Number.NaN, Infinity, -Infinity, undefined, null, true, 'x\0\ud800', 10n ** 30n],
    ...[new Date(5), new Date(Number.NaN), /a.b/gi, { a: { b: [{}] } }, Object.create(null)],
    Object.assign([1], { length: 3 }),
    new Map([[{ key: 1 }, new Set([1, 'a'])]]),
    new Uint8Array([1, 2]),
    Buffer.from('bytes'),
    JSON.parse('{"__proto__": 1, "constructor": 2}'),
  ];
  for (const value of values) assert.deepEqual(echo(value), value);
});

test('the same object is the same again', () => {
  const object = { a: 1 };
  assert.equal(echo(object), object);
  assert.equal(shapes.circle.self, shapes.circle);
});

test('classes', () => {
  const point = new Point(3, 4);
  assert.ok(point instanceof Point);
  assert.equal(point.norm, 5);
  point.x = 0;
  assert.equal(point.norm, 4);
  point.norm = 9;
  assert.deepEqual([point.x, point.y], [9, 0]);
  assert.equal(String(point), '(9, 0)');
  assert.deepEqual([...point], [9, 0]);
  assert.equal(Point.of(1, 2).y, 2);
  assert.equal(Point.origin.x, 0);
  assert.throws(() => Point(), TypeError);
  const sum = new Point3(1, 2, 3).plus(point);
  assert.ok(sum instanceof Point3 && sum instanceof Point);
  assert.equal(sum.constructor, Point3);
});

test('objects of the submission are never deeply equal: what is in them is its word', () => {
  assert.notDeepEqual(new Point(1, 2), new Point(1, 2));
});

test('errors', () => {
  assert.throws(() => shapes.fail('type'), { name: 'TypeError', message: 'bad' });
  assert.throws(() => shapes.fail(), ShapeError);
  assert.throws(() => shapes.fail(), RangeError);
  assert.throws(() => shapes.fail(), { name: 'ShapeError', code: 3, message: 'shape' });
  assert.throws(() => shapes.fail(), /ShapeError: shape/);
  assert.throws(
    () => shapes.fail('text'),
    (thrown) => thrown === 'text',
  );
});

test('generators', () => {
  assert.deepEqual([...shapes.range(4)], [0, 1, 2, 3]);
  const talk = shapes.talk();
  assert.deepEqual(talk.next(), { value: 1, done: false });
  assert.deepEqual(talk.next('heard'), { value: 'heard', done: false });
  assert.deepEqual(talk.next(), { value: 'end', done: true });
});

test('functions of a test', () => {
  assert.deepEqual(shapes.twice([8, 4], half), [2, 1]);
  const same = mock.fn((value) => value);
  shapes.twice([1], same);
  assert.equal(same.mock.callCount(), 2);
  const thrower = () => {
    throw new RangeError('mine');
  };
  assert.throws(() => shapes.twice([1], thrower), { name: 'RangeError', message: 'mine' });
  const heard = [];
  const bus = shapes.createBus();
  bus.on('news', (value) => heard.push(value));
  bus.emit('news', { a: 1 });
  assert.deepEqual(heard, [{ a: 1 }]);
});

test('what is changed in place', () => {
  const list = [3, 1, 2];
  shapes.sortInPlace(list);
  assert.deepEqual(list, [1, 2, 3]);
});

test('what is kept and handed out is seen', () => {
  const item = { count: 1 };
  shapes.keep(item);
  item.count = 5;
  assert.equal(shapes.total(), 5);
  shapes.handOut().push({ count: 2 });
  assert.equal(shapes.total(), 7);
});

test('async functions', async () => {
  const promise = shapes.later(2);
  assert.ok(promise instanceof Promise);
  assert.equal(await promise, 4);
  await assert.rejects(shapes.later(-1), { name: 'ShapeError', code: 7 });
  assert.deepEqual(await shapes.eachLater([1, 2], (value) => value + 1), [2, 3]);
});

test('closures', () => {
  const counter = shapes.createCounter();
  counter.next();
  assert.equal(counter.next(), 2);
});

test('what cannot cross is left out or refused in plain words', () => {
  assert.equal(shapes.mark, undefined);
  assert.equal(new shapes.Holder().count, 1);
  class Mine {}
  for (const value of [Symbol('mine'), new Mine()]) assert.throws(() => echo(value), /shared-process/);
  class Extended extends Point {}
  assert.throws(() => new Extended(1, 2), /shared-process/);
});
