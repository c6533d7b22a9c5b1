/**
 * Values that cross between a test and the submission, as JSON. Both sides use this file; each checks what the other sends.
 *
 * Primitives, dates, regular expressions and bytes cross by value. Every other object gets a number, and its content (`objects` of a
 * message) crosses when it first does and whenever it has changed since: so a list that the other side changes is changed here, too, and
 * the same object is the same again. Functions stay where they are; here they are called there. Prototypes of the submission's classes
 * become prototypes with the same names whose methods are called there; the fields of their objects are copied like any object's.
 *
 * Nothing that arrives is evaluated, no key reaches a prototype, and what decides a test (equality, order, `valueOf`) is never asked of
 * the other side.
 */
import { types } from 'node:util';

const errorTypes = new Map(
  [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((type) => [type.name, type.prototype]),
);
const errorTypeNames = new Map([...errorTypes].map(([name, prototype]) => [prototype, name]));
const byteTypes = new Map(
  [
    Buffer,
    Uint8Array,
    Int8Array,
    Uint8ClampedArray,
    Uint16Array,
    Int16Array,
    Uint32Array,
    Int32Array,
    Float32Array,
    Float64Array,
  ].map((type) => [type.name, type]),
);
const symbolNames = new Map([
  [Symbol.iterator, '@@iterator'],
  [Symbol.asyncIterator, '@@asyncIterator'],
]);
const symbols = new Map([...symbolNames].map(([symbol, name]) => [name, symbol]));
/** What would let an object of the submission decide a comparison, or stand for what it is not. */
const keptBack = new Set(['constructor', 'valueOf', '__proto__']);
const ownOfFunctions = new Set(['length', 'name', 'prototype', 'arguments', 'caller']);

/** Of the objects that crossed before, so many of the latest are looked at again for changes with every message. */
const watchedObjects = 256;
const maxWalkedObjects = 2000;
const maxDigits = 100_000;

/** Two objects of the submission's classes are never deeply equal: what is in them is the submission's word. */
const identity = Symbol('object of the submission: compare its fields');

/** A value that this kind of test cannot carry. */
export class UncarriedError extends TypeError {
  constructor(what) {
    super(
      `${what} cannot cross between tests and submission; an exercise that needs it is tested in one process (testStyle shared-process)`,
    );
    this.name = 'UncarriedError';
  }
}

/** A message that no honest other side sends. */
export class MessageError extends Error {}

const define = (object, key, value, enumerable = true) =>
  Reflect.defineProperty(object, key, { value, enumerable, writable: true, configurable: true });

function primitive(value) {
  if (typeof value === 'symbol') throw new UncarriedError('a symbol');
  if (value === undefined) return ['u'];
  if (typeof value === 'bigint') return ['b', String(value)];
  if (typeof value !== 'number' || (Number.isFinite(value) && !Object.is(value, -0))) return value;
  return ['n', Object.is(value, -0) ? '-0' : String(value)];
}

/** Objects without an identity worth keeping; null for all others. */
function plainValue(object) {
  const prototype = Object.getPrototypeOf(object);
  if (types.isDate(object) && prototype === Date.prototype)
    return ['d', Number.isNaN(object.getTime()) ? null : object.getTime()];
  if (types.isRegExp(object) && prototype === RegExp.prototype) return ['r', object.source, object.flags];
  if (!ArrayBuffer.isView(object)) return null;
  const type = [...byteTypes.values()].find((candidate) => candidate.prototype === prototype);
  if (type === undefined) throw new UncarriedError('an array of this kind');
  return ['t', type.name, Buffer.from(object.buffer, object.byteOffset, object.byteLength).toString('base64')];
}

const readPlainValue = {
  u: () => undefined,
  n: (text) => Number(text),
  b: (text) => {
    if (typeof text !== 'string' || text.length > maxDigits || !/^-?\d+$/.test(text)) throw new MessageError('not a bigint');
    return BigInt(text);
  },
  d: (time) => new Date(typeof time === 'number' ? time : Number.NaN),
  r: (source, flags) => new RegExp(String(source), String(flags)),
  t: (name, base64) => {
    const type = byteTypes.get(name);
    if (type === undefined) throw new MessageError('no such array');
    const bytes = Buffer.from(String(base64), 'base64');
    if (type === Buffer) return bytes;
    return new type(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  },
};

/** An object that came as one is no number, whatever it says when it is asked: it could say another one each time. */
function refuseAsNumber(object) {
  const become = (hint) => {
    if (hint === 'string') return String(object.toString());
    throw new UncarriedError('an object that stands for a number');
  };
  define(object, Symbol.toPrimitive, become, false);
}

/** Empty objects of each kind; functions are made where their number is known. */
const makers = new Map([
  ['a', () => []],
  ['o', () => ({})],
  ['m', () => new Map()],
  ['s', () => new Set()],
  ['e', () => new Error('')],
  ['i', () => ({})],
  ['p', () => ({})],
  ['f', () => null],
]);

/** One side's memory of the objects that crossed. */
export class Values {
  /** 1 for the tests' side, -1 for the submission's: whose object it is shows in the sign of its number. */
  #sign;
  /** Calls the other side: `(operation, name, values) => value`. */
  #ask;
  #count = 0;
  #objects = new Map();
  #ids = new Map();
  /** What the other side knows of an object, as text. */
  #known = new Map();
  #watched = new Set();
  /** Objects of these kinds cannot be told from others by looking at them. */
  #prototypes = new Set();
  #instances = new Set();

  constructor({ sign, ask }) {
    this.#sign = sign;
    this.#ask = ask;
  }

  /** Values as they cross, and the objects that the other side does not know as they are now. Throws UncarriedError. */
  pack(values) {
    const { packed, changed, sent } = this.#look(values);
    for (const [id, , text] of changed) this.#known.set(id, text);
    for (const object of sent) this.#watch(object);
    return { values: packed, objects: changed.map(([id, content]) => [id, ...content]) };
  }

  /** Whether a value can cross at all. */
  canPack(value) {
    try {
      this.#look([value]);
      return true;
    } catch {
      return false;
    }
  }

  #look(values) {
    const seen = new Set();
    const refer = (value) => {
      if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return primitive(value);
      const plain = typeof value === 'function' ? null : plainValue(value);
      if (plain !== null) return plain;
      this.#check(value);
      seen.add(value);
      return ['@', this.#idOf(value)];
    };
    const packed = values.map(refer);
    const changed = [];
    const look = (object) => {
      const id = this.#idOf(object);
      const content = this.#describe(object, id, refer);
      if (content === null) return;
      const text = JSON.stringify(content);
      if (this.#known.get(id) !== text) changed.push([id, content, text]);
    };
    // Grows while it is walked: what an object refers to comes after it.
    for (const object of seen) look(object);
    const sent = [...seen];
    for (const object of this.#watched) seen.add(object);
    let walked = 0;
    for (const object of seen) if (++walked > sent.length && walked <= sent.length + maxWalkedObjects) look(object);
    return { packed, changed, sent };
  }

  /** What arrived, as values of this side. Throws MessageError, or what a builtin throws at a malformed value. */
  unpack({ values, objects }) {
    if (!Array.isArray(values) || !Array.isArray(objects)) throw new MessageError('no values');
    for (const entry of objects) this.#announce(entry);
    for (const [id, ...content] of objects) {
      this.#fill(this.#objects.get(id), content);
      this.#known.set(id, JSON.stringify(content));
    }
    return values.map((value) => this.#read(value));
  }

  /** Whether an object came from here: only then may the other side have it called. */
  isOwn(object) {
    return (this.#ids.get(object) ?? 0) * this.#sign > 0;
  }

  #watch(object) {
    if (typeof object === 'function') return;
    this.#watched.delete(object);
    this.#watched.add(object);
    for (const oldest of this.#watched) {
      if (this.#watched.size <= watchedObjects) break;
      this.#watched.delete(oldest);
    }
  }

  #idOf(object) {
    const existing = this.#ids.get(object);
    if (existing !== undefined) return existing;
    const id = this.#sign * ++this.#count;
    this.#ids.set(object, id);
    this.#objects.set(id, object);
    return id;
  }

  /** Whether an object can cross at all. */
  #check(object) {
    if (types.isPromise(object)) throw new UncarriedError('a promise within another value');
    if (this.#sign < 0 || typeof object === 'function' || types.isNativeError(object)) return;
    const prototype = Object.getPrototypeOf(object);
    const isPlain = prototype === null || [Object, Array, Map, Set].some((type) => type.prototype === prototype);
    if (!isPlain && !this.#prototypes.has(prototype) && !this.#prototypes.has(object)) {
      throw new UncarriedError('an object of a class of the tests');
    }
  }

  /** What cannot cross of an object of the submission stays where it is; of one of the tests, their author is told. */
  #fieldsOf(object, keys, refer) {
    return keys.flatMap((key) => {
      try {
        return [[key, refer(object[key])]];
      } catch (error) {
        if (this.#sign > 0) throw error;
        return [];
      }
    });
  }

  /** The content of an object as it crosses; null where this side has nothing to tell. */
  #describe(object, id, refer) {
    const isForeign = id * this.#sign < 0;
    const fields = (keys) => this.#fieldsOf(object, keys, refer);
    if (typeof object === 'function') return isForeign ? null : this.#describeFunction(object, refer);
    if (this.#prototypes.has(object)) return isForeign ? null : this.#describePrototype(object, refer);
    const prototype = Object.getPrototypeOf(object);
    const isFrozen = Object.isFrozen(object);
    if (Array.isArray(object) && prototype === Array.prototype) {
      return ['a', isFrozen, Array.from(object, (item, index) => (index in object ? refer(item) : ['h']))];
    }
    if (prototype === null || prototype === Object.prototype)
      return ['o', isFrozen, prototype === null, fields(Object.keys(object))];
    if (prototype === Map.prototype) return ['m', [...object].map(([key, value]) => [refer(key), refer(value)])];
    if (prototype === Set.prototype) return ['s', [...object].map(refer)];
    const shown = Object.keys(object);
    if (types.isNativeError(object)) {
      const hidden = ['message', 'cause'].filter((key) => Object.hasOwn(object, key) && !shown.includes(key));
      return ['e', this.#referPrototype(prototype, refer), String(object.stack), fields(hidden), fields(shown)];
    }
    return ['i', this.#referPrototype(prototype, refer), fields(shown)];
  }

  /** Classes are functions whose prototype comes with them. The tests' functions go without anything of theirs. */
  #describeFunction(object, refer) {
    const name = typeof object.name === 'string' ? object.name : '';
    if (this.#sign > 0) return ['f', name, null, []];
    const isClass = Object.hasOwn(object, 'prototype') && object.prototype?.constructor === object;
    const statics = Object.getOwnPropertyNames(object).filter((key) => !ownOfFunctions.has(key));
    const prototype = isClass ? this.#referPrototype(object.prototype, refer) : null;
    return ['f', name, prototype, this.#fieldsOf(object, statics, refer)];
  }

  #describePrototype(object, refer) {
    const members = [];
    for (const key of Reflect.ownKeys(object)) {
      const name = typeof key === 'string' ? key : symbolNames.get(key);
      if (name === undefined || keptBack.has(name)) continue;
      const { value, get, set } = Object.getOwnPropertyDescriptor(object, key);
      if (typeof value === 'function') members.push([name, 'm']);
      else if (get !== undefined || set !== undefined) members.push([name, 'g']);
      else if (value === null || typeof value !== 'object') members.push([name, 'v', refer(value)]);
    }
    return ['p', this.#referPrototype(Object.getPrototypeOf(object), refer), members];
  }

  /** A prototype by the name of a standard error, or by its number. */
  #referPrototype(prototype, refer) {
    if (prototype === null || prototype === Object.prototype) return null;
    const name = errorTypeNames.get(prototype);
    if (name !== undefined) return name;
    this.#prototypes.add(prototype);
    return refer(prototype);
  }

  /** Makes what a new number stands for, still empty: objects may refer to each other in a circle. */
  #announce(entry) {
    const [id, kind] = Array.isArray(entry) ? entry : [];
    if (!Number.isSafeInteger(id) || id === 0) throw new MessageError('no number of an object');
    if (this.#objects.has(id)) {
      if (this.#kindOf(this.#objects.get(id)) !== kind) throw new MessageError('an object changed its kind');
      return;
    }
    if (id * this.#sign > 0) throw new MessageError('an object that was never sent');
    const make = makers.get(kind);
    if (make === undefined) throw new MessageError('no such kind of object');
    const object = kind === 'f' ? this.#makeFunction() : make();
    if (kind === 'p') this.#prototypes.add(object);
    if (kind === 'i') this.#instances.add(object);
    this.#objects.set(id, object);
    this.#ids.set(object, id);
    if (kind === 'i' && this.#sign > 0) define(object, identity, id);
    if ((kind === 'i' || kind === 'f') && this.#sign > 0) refuseAsNumber(object);
    this.#watch(object);
  }

  #kindOf(object) {
    if (typeof object === 'function') return 'f';
    if (this.#prototypes.has(object)) return 'p';
    if (this.#instances.has(object)) return 'i';
    if (Array.isArray(object)) return 'a';
    if (types.isNativeError(object)) return 'e';
    if (types.isMap(object)) return 'm';
    if (types.isSet(object)) return 's';
    const prototype = Object.getPrototypeOf(object);
    return prototype === null || prototype === Object.prototype ? 'o' : 'i';
  }

  #makeFunction() {
    const ask = this.#ask;
    const called = function (...args) {
      if (new.target === undefined) return ask('call', '', [called, this, ...args]);
      if (new.target !== called) throw new UncarriedError('a class of the tests that extends one of the submission');
      return ask('new', '', [called, ...args]);
    };
    return called;
  }

  #read(value) {
    if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return value;
    if (!Array.isArray(value)) throw new MessageError('no value');
    const [tag, ...parts] = value;
    if (tag !== '@') {
      if (!Object.hasOwn(readPlainValue, tag)) throw new MessageError('no such kind of value');
      return readPlainValue[tag](...parts);
    }
    if (!this.#objects.has(parts[0])) throw new MessageError('an object that was never sent');
    return this.#objects.get(parts[0]);
  }

  #readPrototype(reference) {
    if (reference === null) return Object.prototype;
    if (typeof reference === 'string') return errorTypes.get(reference) ?? Error.prototype;
    const prototype = this.#read(reference);
    if (!this.#prototypes.has(prototype)) throw new MessageError('no prototype');
    return prototype;
  }

  #fill(object, [kind, ...content]) {
    switch (kind) {
      case 'a':
        return this.#fillArray(object, content);
      case 'o': {
        const [isFrozen, hasNoPrototype, fields] = content;
        if (hasNoPrototype === true) Reflect.setPrototypeOf(object, null);
        this.#fillFields(object, fields);
        return isFrozen === true ? Object.freeze(object) : object;
      }
      case 'm': {
        const entries = content[0].map(([key, value]) => [this.#read(key), this.#read(value)]);
        object.clear();
        for (const [key, value] of entries) object.set(key, value);
        return object;
      }
      case 's': {
        const members = content[0].map((value) => this.#read(value));
        object.clear();
        for (const member of members) object.add(member);
        return object;
      }
      case 'e': {
        const [prototype, stack, hidden, shown] = content;
        Reflect.setPrototypeOf(object, this.#readPrototype(prototype));
        for (const [key, value] of hidden) define(object, key, this.#read(value), false);
        define(object, 'stack', String(stack), false);
        return this.#fillFields(object, shown);
      }
      case 'i':
        if (!this.isOwn(object)) Reflect.setPrototypeOf(object, this.#readPrototype(content[0]));
        return this.#fillFields(object, content[1]);
      case 'f':
        return this.#fillFunction(object, content);
      default:
        return this.#fillPrototype(object, content);
    }
  }

  #fillArray(array, [isFrozen, items]) {
    Reflect.set(array, 'length', items.length);
    for (const [index, item] of items.entries()) {
      if (Array.isArray(item) && item[0] === 'h') Reflect.deleteProperty(array, index);
      else define(array, index, this.#read(item));
    }
    if (isFrozen === true) Object.freeze(array);
  }

  #fillFields(object, fields) {
    const values = new Map(fields.map(([key, value]) => [String(key), this.#read(value)]));
    for (const key of Object.keys(object)) if (!values.has(key)) Reflect.deleteProperty(object, key);
    for (const [key, value] of values) {
      define(object, key, value);
      if ((key === 'valueOf' || key === 'toString') && this.#sign > 0) refuseAsNumber(object);
    }
  }

  #fillFunction(called, [name, prototype, statics]) {
    if (this.isOwn(called)) throw new MessageError('a function of this side');
    define(called, 'name', String(name), false);
    for (const [key, value] of statics) define(called, String(key), this.#read(value));
    if (prototype === null) return;
    if (!Array.isArray(prototype)) throw new MessageError('no prototype of a class');
    // Not by definition: a function's own prototype cannot be redefined, but it can be set.
    called.prototype = this.#readPrototype(prototype);
    define(called.prototype, 'constructor', called, false);
  }

  #fillPrototype(prototype, [parent, members]) {
    if (this.isOwn(prototype)) throw new MessageError('a prototype of this side');
    if (!Reflect.setPrototypeOf(prototype, this.#readPrototype(parent))) throw new MessageError('prototypes in a circle');
    const ask = this.#ask;
    for (const [name, kind, value] of members) {
      const key = symbols.get(name) ?? String(name);
      if (keptBack.has(key)) continue;
      if (kind === 'v') define(prototype, key, this.#read(value), false);
      else if (kind === 'm') {
        const method = {
          [key](...args) {
            return ask('method', name, [this, ...args]);
          },
        };
        define(prototype, key, method[key], false);
      } else {
        Reflect.defineProperty(prototype, key, {
          get() {
            return ask('get', name, [this]);
          },
          set(given) {
            ask('set', name, [this, given]);
          },
          configurable: true,
        });
      }
    }
  }
}

/** Names of members as they cross, and back. */
export const memberKey = (name) => symbols.get(name) ?? name;
