import { availableParallelism, freemem, totalmem } from 'node:os';
import { abortOf } from './agent-client.ts';
import { SandboxError } from './sandbox.ts';
import type { SandboxShape } from './shape.ts';

/** One started sandbox, good for one job. */
export interface PoolMember {
  /** Nobody may use it after that. */
  readonly usableUntil: Date;
  /** Resolves when it has ended, by itself or not. */
  readonly ended: Promise<unknown>;
  destroy(): Promise<void>;
}

/**
 * Starts a sandbox that is usable until `until`, where that is given. After `signal` is aborted nobody waits for it any more, and it may
 * end what it has begun.
 *
 * @throws SandboxError
 */
export type OpenMember<Member> = (shape: SandboxShape, until: Date | null, signal: AbortSignal) => Promise<Member>;

/** How many sandboxes are kept ready; `auto`: from the machine's cores and memory; 0: none. */
export type PoolSize = number | 'auto';

const mebibyte = 1024 * 1024;
/** An idle sandbox takes about 3 MB, and 9 MB more with a booted interpreter, measured. */
const idleMemberBytes = 16 * mebibyte;
/** What idle sandboxes may take together. */
const idleMemoryShare = 0.05;
/** Left free beside what the next job may use: where memory is short, a sandbox is made when its job is there. */
const spareMemoryBytes = 256 * mebibyte;
/** Shapes that nobody has asked for in this time are given up. */
const idleShapeMs = 5 * 60_000;
const maxAgeMs = 5 * 60_000;
const tendIntervalMs = 15_000;
/** Starting takes a fraction of a second; an engine that hangs must not hold a job for ever. */
const openTimeoutMs = 60_000;
/** After a start in advance has failed; jobs do not wait for that. */
const failurePauseMs = 5_000;

interface Kept<Member> {
  readonly member: Member;
  readonly since: number;
}

interface Shelf<Member> {
  readonly shape: SandboxShape;
  readonly ready: Kept<Member>[];
  readonly starting: Promise<Member>[];
  takenAt: number;
}

function sizeOf(size: PoolSize): number {
  if (size !== 'auto') return size;
  const affordable = Math.floor((totalmem() * idleMemoryShare) / idleMemberBytes);
  return Math.max(1, Math.min(2 * availableParallelism(), affordable));
}

/**
 * Started, unused sandboxes for jobs to come, by shape. What is taken never comes back: it is used once and ended, beside the jobs that
 * follow. Ready are those shapes that were asked for lately, each by its share of the last requests; starting in advance gives way to
 * jobs that run.
 */
export class Pool<Member extends PoolMember> {
  readonly #open: OpenMember<Member>;
  readonly #size: number;
  readonly #shelves = new Map<string, Shelf<Member>>();
  /** Keys of the shapes last asked for. */
  readonly #recent: string[] = [];
  readonly #inUse = new Set<Member>();
  readonly #ending = new Set<Promise<void>>();
  readonly #timer: NodeJS.Timeout;
  #pausedUntil = 0;
  #isClosed = false;

  constructor(open: OpenMember<Member>, size: PoolSize) {
    this.#open = open;
    this.#size = sizeOf(size);
    this.#timer = setInterval(() => this.#tend(), tendIntervalMs).unref();
  }

  /**
   * A fresh sandbox, usable until `until` at least: a ready one, one that is being started, or one made to measure. Whoever takes it
   * ends it with `end`.
   *
   * @throws SandboxError where none can be started; the signal's reason where it is aborted, and what starts then is ended.
   */
  async take(shape: SandboxShape, until: Date, signal: AbortSignal): Promise<Member> {
    if (this.#isClosed) throw new SandboxError('the sandbox is closed', { transient: true });
    const key = JSON.stringify(shape);
    const shelf = this.#shelves.get(key) ?? { shape, ready: [], starting: [], takenAt: 0 };
    this.#shelves.set(key, shelf);
    shelf.takenAt = Date.now();
    this.#recent.push(key);
    this.#recent.splice(0, Math.max(0, this.#recent.length - 2 * this.#size));

    const member = this.#takeReady(shelf, until) ?? (await this.#awaitStart(shelf, until, signal));
    this.#inUse.add(member);
    this.#tend();
    return member;
  }

  /** Ends a sandbox that was taken; resolves when it is gone. Never rejects: what is left is found by its label. */
  end(member: Member): Promise<void> {
    this.#inUse.delete(member);
    const ended = this.#destroy(member);
    this.#tend();
    return ended;
  }

  /** Ends all that nobody has taken, and waits for what is being ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    for (const shelf of this.#shelves.values()) {
      for (const { member } of shelf.ready.splice(0)) void this.#destroy(member);
      // Ended as soon as they are there, as the pool is closed.
      await Promise.allSettled(shelf.starting);
    }
    while (this.#ending.size > 0) await Promise.all(this.#ending);
  }

  #takeReady(shelf: Shelf<Member>, until: Date): Member | null {
    for (let next = shelf.ready.shift(); next !== undefined; next = shelf.ready.shift()) {
      if (next.member.usableUntil >= until) return next.member;
      void this.#destroy(next.member);
    }
    return null;
  }

  async #awaitStart(shelf: Shelf<Member>, until: Date, signal: AbortSignal): Promise<Member> {
    const inAdvance = shelf.starting.shift();
    if (inAdvance === undefined) return this.#start(shelf.shape, until, signal);
    try {
      const member = await Promise.race([inAdvance, abortOf(signal)]);
      if (member.usableUntil >= until) return member;
      void this.#destroy(member);
    } catch {
      inAdvance.then((member) => this.#keep(shelf, member)).catch(() => undefined);
      signal.throwIfAborted();
    }
    // What was started in advance is of no use, or did not start.
    return this.#start(shelf.shape, until, signal);
  }

  async #start(shape: SandboxShape, until: Date | null, signal?: AbortSignal): Promise<Member> {
    const late = new AbortController();
    const error = new SandboxError('the sandbox does not start', { transient: true });
    const timer = setTimeout(() => late.abort(error), openTimeoutMs).unref();
    const given = signal === undefined ? late.signal : AbortSignal.any([late.signal, signal]);
    const opened = this.#open(shape, until, given);
    try {
      return await Promise.race([opened, abortOf(given)]);
    } catch (reason) {
      opened.then((member) => this.#destroy(member)).catch(() => undefined);
      given.throwIfAborted();
      throw reason;
    } finally {
      clearTimeout(timer);
    }
  }

  #destroy(member: Member): Promise<void> {
    const ended = member.destroy().catch(() => undefined);
    this.#ending.add(ended);
    void ended.then(() => this.#ending.delete(ended));
    return ended;
  }

  /** Ends what is too old or too many, and starts what is missing. */
  #tend(): void {
    if (this.#isClosed) return;
    const now = Date.now();
    for (const [key, shelf] of this.#shelves) {
      const isWanted = ({ since }: Kept<Member>, index: number) =>
        now - since < maxAgeMs && index >= shelf.ready.length - this.#target(key, shelf);
      const kept = shelf.ready.filter(isWanted);
      for (const old of shelf.ready.splice(0, shelf.ready.length, ...kept)) {
        if (!kept.includes(old)) void this.#destroy(old.member);
      }
      if (shelf.ready.length + shelf.starting.length === 0 && now - shelf.takenAt > idleShapeMs) this.#shelves.delete(key);
    }
    while (this.#canStart()) {
      const shelf = this.#mostWanted();
      if (shelf === null) return;
      this.#startInAdvance(shelf);
    }
  }

  #count(what: 'ready' | 'starting'): number {
    return [...this.#shelves.values()].reduce((sum, shelf) => sum + shelf[what].length, 0);
  }

  /** One at a time beside jobs, which need the processors more; and then only where none is ready (`#mostWanted`). */
  #canStart(): boolean {
    const starting = this.#count('starting');
    const atOnce = this.#inUse.size > 0 ? 1 : availableParallelism();
    return starting < atOnce && starting + this.#count('ready') < this.#size && Date.now() >= this.#pausedUntil;
  }

  #target(key: string, shelf: Shelf<Member>): number {
    if (Date.now() - shelf.takenAt > idleShapeMs) return 0;
    const requests = this.#recent.filter((recent) => recent === key).length;
    return Math.ceil((this.#size * requests) / Math.max(1, this.#recent.length));
  }

  #mostWanted(): Shelf<Member> | null {
    let mostWanted: Shelf<Member> | null = null;
    let mostMissing = 0;
    for (const [key, shelf] of this.#shelves) {
      if (this.#inUse.size > 0 && shelf.ready.length > 0) continue;
      const missing = this.#target(key, shelf) - shelf.ready.length - shelf.starting.length;
      if (missing <= mostMissing || freemem() < shelf.shape.memoryBytes + spareMemoryBytes) continue;
      mostMissing = missing;
      mostWanted = shelf;
    }
    return mostWanted;
  }

  #startInAdvance(shelf: Shelf<Member>): void {
    const started = this.#start(shelf.shape, null);
    shelf.starting.push(started);
    void this.#awaitInAdvance(shelf, started);
  }

  /** Whoever has taken it off the shelf while it was being started has it. */
  async #awaitInAdvance(shelf: Shelf<Member>, started: Promise<Member>): Promise<void> {
    const isTaken = (): boolean => !shelf.starting.includes(started);
    const takeOff = () => void shelf.starting.splice(shelf.starting.indexOf(started), 1);
    try {
      const member = await started;
      if (isTaken()) return;
      takeOff();
      this.#keep(shelf, member);
    } catch {
      this.#pausedUntil = Date.now() + failurePauseMs;
      if (!isTaken()) takeOff();
    }
  }

  #keep(shelf: Shelf<Member>, member: Member): void {
    if (this.#isClosed) return void this.#destroy(member);
    const kept = { member, since: Date.now() };
    shelf.ready.push(kept);
    void this.#dropWhenEnded(shelf, kept);
    this.#tend();
  }

  async #dropWhenEnded(shelf: Shelf<Member>, kept: Kept<Member>): Promise<void> {
    await kept.member.ended;
    const index = shelf.ready.indexOf(kept);
    if (index < 0) return;
    shelf.ready.splice(index, 1);
    void this.#destroy(kept.member);
  }
}
