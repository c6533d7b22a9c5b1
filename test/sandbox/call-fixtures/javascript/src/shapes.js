/** What a student may write: one of each thing that tests call. */
export class ShapeError extends RangeError {
  constructor(message, code) {
    super(message);
    this.name = 'ShapeError';
    this.code = code;
  }
}

export class Point {
  static origin = new Point(0, 0);
  static of(x, y) {
    return new Point(x, y);
  }
  constructor(x, y) {
    this.x = x;
    this.y = y;
  }
  get norm() {
    return Math.hypot(this.x, this.y);
  }
  set norm(value) {
    this.x = value;
    this.y = 0;
  }
  plus(other) {
    return new this.constructor(this.x + other.x, this.y + other.y);
  }
  toString() {
    return `(${this.x}, ${this.y})`;
  }
  *[Symbol.iterator]() {
    yield this.x;
    yield this.y;
  }
}

export class Point3 extends Point {
  constructor(x, y, z) {
    super(x, y);
    this.z = z;
  }
}

/** Holds things that cannot cross. */
export class Holder {
  static mark = Symbol('mark');
  soon = Promise.resolve();
  count = 1;
}

export default function main() {
  return 'main';
}

export const echo = (value) => value;

export function* range(count) {
  for (let index = 0; index < count; index++) yield index;
}

export function* talk() {
  const heard = yield 1;
  yield heard;
  return 'end';
}

export const twice = (list, change) => list.map((item) => change(change(item)));

export const sortInPlace = (list) => {
  list.sort((left, right) => left - right);
};

export async function later(value) {
  await Promise.resolve();
  if (value < 0) throw new ShapeError('negative', 7);
  return value * 2;
}

export async function eachLater(list, change) {
  const changed = [];
  for (const item of list) changed.push(await change(item));
  return changed;
}

export function fail(kind) {
  if (kind === 'type') throw new TypeError('bad');
  if (kind === 'text') throw 'text';
  throw new ShapeError('shape', 3);
}

export function createCounter() {
  let count = 0;
  return { next: () => ++count };
}

const kept = [];
export const keep = (item) => {
  kept.push(item);
};
export const total = () => kept.reduce((sum, item) => sum + item.count, 0);
export const handOut = () => kept;

export const circle = { name: 'circle' };
circle.self = circle;

export const mark = Symbol('cannot cross');

export function createBus() {
  const listeners = new Map();
  return { on: (name, listener) => listeners.set(name, listener), emit: (name, value) => listeners.get(name)(value) };
}
