import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Response } from 'express';
import type { Orm } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import type { Actor } from '../domain/users.ts';
import type { Logger } from '../logger.ts';
import type { LiveEvent, LiveLook } from '../services/events.ts';
import { selectOptionalActor } from '../services/sessions.ts';
import type { Caller } from './middleware/authenticate.ts';
import { HttpProblem } from './middleware/problems.ts';

/** Where a stream's events come from. */
export interface StreamSource {
  /** Lower-case id of what is followed: PostgreSQL notifies of changes under it. */
  readonly topic: string;
  /** The events after number `after`, as the actor may see them. @throws DomainError `not-found` where the actor may not see any. */
  look(actor: Actor, after: number): Promise<LiveLook>;
}

export interface StreamLimits {
  /**
   * Between two signs of life. With each one the stream looks into the database as well: whether its caller may still see it, and for
   * what a broken connection to PostgreSQL did not tell. Proxies cut what is silent for 30 s to 60 s.
   */
  readonly heartbeatMs: number;
  /** Open streams of one user in this process: some pages in some tabs. */
  readonly perUser: number;
  /** Open streams in this process: each asks PostgreSQL for three rows with every heartbeat. */
  readonly perProcess: number;
  /** How long a reader may leave unread what fills all buffers on the way. */
  readonly slowReaderMs: number;
  /** As long as an access token lives: who still follows then comes back with the next one. */
  readonly maxAgeMs: number;
}

const standardLimits: StreamLimits = {
  heartbeatMs: 15_000,
  perUser: 10,
  perProcess: 1_000,
  slowReaderMs: 15_000,
  maxAgeMs: 3_600_000,
};

/** After the end of a stream browsers come back so soon. */
const reconnectMs = 2_000;

/** One caller who follows one thing. */
class Stream {
  readonly response: Response;
  readonly topic: string;
  readonly #ended = new AbortController();
  #news = Promise.withResolvers<void>();

  constructor(response: Response, topic: string) {
    this.response = response;
    this.topic = topic;
    response.once('close', () => this.end());
  }

  /** Aborts when the reader has left, or must leave. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  end(): void {
    this.#ended.abort();
    this.#news.resolve();
  }

  wake(): void {
    this.#news.resolve();
  }

  /** Waits for what `wake` tells of, also since the last time this was called. */
  async woken(): Promise<void> {
    await this.#news.promise;
    this.#news = Promise.withResolvers<void>();
  }

  beat(): void {
    if (!this.response.writableNeedDrain) this.response.write(':\n\n');
    this.wake();
  }

  /** Writes events, and waits until they are on their way: what is read next from the database has room. Cuts off who does not read. */
  async write(events: readonly LiveEvent[], slowReaderMs: number): Promise<void> {
    for (const { id, kind, data } of events) {
      this.response.write(`id: ${id}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`);
    }
    if (!this.response.writableNeedDrain) return;
    const waiting = new AbortController();
    const signal = AbortSignal.any([waiting.signal, this.ended]);
    const drained = once(this.response, 'drain', { signal }).then(() => true);
    const late = delay(slowReaderMs, false, { signal, ref: false });
    // Rejected where the stream has ended.
    const isDrained = await Promise.race([drained, late]).catch(() => true);
    waiting.abort();
    if (!isDrained) this.response.destroy();
  }
}

/** The event streams (text/event-stream) that are open in this process. */
export class LiveStreams {
  readonly #orm: Orm;
  readonly #logger: Logger;
  readonly #limits: StreamLimits;
  readonly #byUser = new Map<string, Set<Stream>>();
  readonly #byTopic = new Map<string, Set<Stream>>();
  #isClosed = false;

  constructor({ orm, logger }: { orm: Orm; logger: Logger }, limits: Partial<StreamLimits> = {}) {
    this.#orm = orm;
    this.#logger = logger;
    this.#limits = { ...standardLimits, ...limits };
  }

  /** Something new is committed about this topic. */
  wake(topic: string): void {
    for (const stream of this.#byTopic.get(topic) ?? []) stream.wake();
  }

  /** Something may have been missed: every stream looks. */
  wakeAll(): void {
    for (const stream of this.#all()) stream.wake();
  }

  /** Ends every stream, in order, and takes no more: readers come back to another process. */
  closeAll(): void {
    this.#isClosed = true;
    for (const stream of this.#all()) stream.end();
  }

  /**
   * Answers with the events after number `after` as they come, until there are no more. Returns when the stream has ended. Where no
   * event will ever follow, the answer is 204, at which browsers stop coming back.
   *
   * @throws HttpProblem 429, DomainError `unavailable` where too many are open; what the first look throws.
   */
  async serve(
    response: Response,
    { caller, source, after }: { caller: Caller; source: StreamSource; after: number },
  ): Promise<void> {
    this.#admit(caller.actor.id);
    const stream = new Stream(response, source.topic);
    add(this.#byUser, caller.actor.id, stream);
    // Before the first look: what is committed meanwhile wakes it for the second.
    add(this.#byTopic, source.topic, stream);
    let beat: NodeJS.Timeout | undefined;
    try {
      const first = await source.look(caller.actor, after);
      response.set('Cache-Control', 'no-store');
      if (first.events.length === 0 && first.isOver) {
        response.status(204).end();
        return;
      }
      // Reverse proxies hold answers back until a buffer is full, unless they are told (nginx and others know this header).
      response.status(200).set({ 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' });
      if (response.req.method === 'HEAD') {
        response.end();
        return;
      }
      response.write(`retry: ${reconnectMs}\n\n`);
      const endsAtMs = Date.now() + this.#limits.maxAgeMs;
      beat = setInterval(() => (Date.now() < endsAtMs ? stream.beat() : stream.end()), this.#limits.heartbeatMs);
      beat.unref();
      await this.#follow(stream, { caller, source, after, first });
      response.end();
    } finally {
      clearInterval(beat);
      remove(this.#byUser, caller.actor.id, stream);
      remove(this.#byTopic, source.topic, stream);
    }
  }

  async #follow(
    stream: Stream,
    { caller, source, after, first }: { caller: Caller; source: StreamSource; after: number; first: LiveLook },
  ): Promise<void> {
    let position = after;
    let look: LiveLook | null = first;
    while (look !== null) {
      await stream.write(look.events, this.#limits.slowReaderMs);
      position = look.events.at(-1)?.id ?? position;
      if (look.isOver || stream.ended.aborted) return;
      if (!look.hasMore) await stream.woken();
      look = stream.ended.aborted ? null : await this.#lookAgain(caller, source, position);
    }
  }

  /** What follows; null where the caller may not see it any more. Nothing, for now, where the database is away. */
  async #lookAgain({ actor, sessionId }: Caller, source: StreamSource, after: number): Promise<LiveLook | null> {
    try {
      // Session, account and role as they are now: a logout, a block and a demotion end the stream.
      const current = await selectOptionalActor(this.#orm.em.fork(), { sessionId, userId: actor.id });
      return current === null ? null : await source.look(current, after);
    } catch (error) {
      if (error instanceof DomainError) return null;
      this.#logger.warn({ err: error }, 'a live stream could not look for events; it will again');
      return { events: [], hasMore: false, isOver: false };
    }
  }

  #admit(userId: string): void {
    if (this.#isClosed) throw new DomainError('unavailable', 'This process is about to end. Try again.');
    if ((this.#byUser.get(userId)?.size ?? 0) >= this.#limits.perUser) {
      throw new HttpProblem(429, 'rate-limited', `You follow ${this.#limits.perUser} things already: close one first.`, {
        headers: { 'Retry-After': String(this.#limits.heartbeatMs / 1000) },
      });
    }
    let open = 0;
    for (const streams of this.#byUser.values()) open += streams.size;
    if (open >= this.#limits.perProcess) throw new DomainError('unavailable', 'Too many follow live now. Try again later.');
  }

  #all(): readonly Stream[] {
    return [...this.#byTopic.values()].flatMap((streams) => [...streams]);
  }
}

function add(index: Map<string, Set<Stream>>, key: string, stream: Stream): void {
  const streams = index.get(key) ?? new Set();
  index.set(key, streams.add(stream));
}

function remove(index: Map<string, Set<Stream>>, key: string, stream: Stream): void {
  const streams = index.get(key);
  streams?.delete(stream);
  if (streams?.size === 0) index.delete(key);
}
