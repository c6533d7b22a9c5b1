/**
 * One side's half of the calls between tests and submission: a JSON message a line on descriptor 3. `{id, op, name, values, objects}` asks,
 * `{id, values | error, isPromise, objects}` answers; while one side waits for an answer, the other may ask in turn (functions of a test).
 * The tests' numbers are positive, the submission's negative.
 */
import { readSync, read as readLater, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { MessageError, Values } from './values.mjs';

const descriptor = 3;
const newline = 10;
const maxMessageBytes = 16 * 1024 * 1024;
const readAsync = promisify(readLater);

/** The lines of a descriptor, read when they are wanted. */
class Lines {
  #chunks = [];
  #length = 0;
  #room = Buffer.alloc(64 * 1024);

  /** The next line; null at the end. */
  next() {
    for (;;) {
      const line = this.#take();
      if (line !== null) return line;
      const count = readSync(descriptor, this.#room);
      if (count === 0) return null;
      this.#add(count);
    }
  }

  /** The same, while the process goes on with whatever else it has to do. */
  async nextLater() {
    for (;;) {
      const line = this.#take();
      if (line !== null) return line;
      const { bytesRead } = await readAsync(descriptor, this.#room, 0, this.#room.length, null);
      if (bytesRead === 0) return null;
      this.#add(bytesRead);
    }
  }

  #add(count) {
    this.#chunks.push(Buffer.from(this.#room.subarray(0, count)));
    this.#length += count;
  }

  #take() {
    const last = this.#chunks.at(-1);
    if (last === undefined) return null;
    const end = last.indexOf(newline);
    if (end === -1) {
      if (this.#length > maxMessageBytes) throw new MessageError('a message of more than 16 MB');
      return null;
    }
    const line = Buffer.concat([...this.#chunks.slice(0, -1), last.subarray(0, end)]);
    const rest = last.subarray(end + 1);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#length = rest.length;
    return line;
  }
}

function parse(line) {
  const message = JSON.parse(line.toString());
  if (message === null || typeof message !== 'object') throw new MessageError('no message');
  return message;
}

export class Conversation {
  #sign;
  #answer;
  #count = 0;
  /** How many questions of the other side are being answered. */
  #answering = 0;
  #lines = new Lines();
  #values;
  /** Why nothing more can be said; null while all is well. */
  brokenBy = null;

  /** `answer(message, values)` does what the other side asks; what it returns or throws goes back. */
  constructor({ sign, answer }) {
    this.#sign = sign;
    this.#answer = answer;
    this.#values = new Values({ sign, ask: (op, name, values) => this.ask(op, name, values) });
  }

  isOwn(object) {
    return this.#values.isOwn(object);
  }

  /** Whether a value can cross at all. */
  canCarry(value) {
    return this.#values.canPack(value);
  }

  /** Asks the other side and waits; throws what it threw. */
  ask(op, name, values) {
    if (this.brokenBy !== null) throw new Error(this.brokenBy);
    if (this.#sign < 0 && this.#answering === 0) throw new Error('a function of the tests can only be called while a test waits');
    const packed = this.#values.pack(values);
    const id = this.#sign * ++this.#count;
    this.#send({ id, op, name, ...packed });
    return this.#result(this.#awaitAnswer(id));
  }

  /** Answers what the other side asks until it is gone. */
  async serve() {
    for (;;) {
      const line = await this.#lines.nextLater();
      if (line === null) return;
      this.#answering++;
      await this.#reply(parse(line));
      this.#answering--;
    }
  }

  #awaitAnswer(id) {
    try {
      for (;;) {
        const line = this.#lines.next();
        if (line === null) throw new MessageError('it has ended');
        const message = parse(line);
        if (message.op !== undefined) this.#replyAtOnce(message);
        else if (message.id !== id) throw new MessageError('it answered what was not asked');
        else return { ...message, read: this.#values.unpack({ values: message.values, objects: message.objects }) };
      }
    } catch (error) {
      this.#breakOff(error);
      throw new Error(this.brokenBy, { cause: error });
    }
  }

  #result({ read: [value], isError, isPromise }) {
    if (isPromise === true) return isError === true ? Promise.reject(value) : Promise.resolve(value);
    if (isError === true) throw value;
    return value;
  }

  #replyAtOnce(message) {
    const read = this.#values.unpack(message);
    let result;
    try {
      result = { values: [this.#answer(message, read)] };
    } catch (error) {
      result = { values: [error], isError: true };
    }
    this.#sendResult(message.id, result);
  }

  async #reply(message) {
    let result = {};
    try {
      const value = this.#answer(message, this.#values.unpack(message));
      // A module is loaded in a promise; the tests' import has to wait for it, though.
      result = { isPromise: message.op !== 'load' && typeof value?.then === 'function' };
      result.values = [await value];
    } catch (error) {
      result = { ...result, values: [error], isError: true };
    }
    this.#sendResult(message.id, result);
  }

  #sendResult(id, { values, ...result }) {
    let packed;
    try {
      packed = this.#values.pack(values);
    } catch (error) {
      result.isError = true;
      packed = this.#values.pack([error instanceof Error ? error : new Error(String(error))]);
    }
    this.#send({ id, ...result, ...packed });
  }

  #send(message) {
    const bytes = Buffer.from(`${JSON.stringify(message)}\n`);
    try {
      for (let offset = 0; offset < bytes.length; ) offset += writeSync(descriptor, bytes, offset);
    } catch (error) {
      this.#breakOff(error);
      throw new Error(this.brokenBy, { cause: error });
    }
  }

  #breakOff(error) {
    this.brokenBy ??= `The submission's process cannot be asked any more: ${error.message}`;
  }
}
