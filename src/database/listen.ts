import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

export interface Listening {
  /** Hears nothing more, and closes the connection. */
  close(): Promise<void>;
}

export interface ListenOptions {
  readonly channels: readonly string[];
  readonly onNotification: (payload: string) => void;
  /** The connection is there, for the first time or again: what was told before was not heard. */
  readonly onConnected: () => void;
  /** The connection broke, or could not be made; it is being made again. */
  readonly onError: (error: unknown) => void;
}

/** PostgreSQL restarts within seconds; where it stays away, asking it more often brings nothing. */
const firstDelayMs = 250;
const maxDelayMs = 10_000;

const connectTimeoutMs = 10_000;

/** Hears PostgreSQL's notifications on one connection of its own, which is made again whenever it breaks. */
export function listen(url: string, { channels, onNotification, onConnected, onError }: ListenOptions): Listening {
  const stopped = new AbortController();
  const { signal } = stopped;
  const running = run();
  return {
    async close() {
      stopped.abort();
      await running;
    },
  };

  async function run(): Promise<void> {
    let delayMs = firstDelayMs;
    while (!signal.aborted) {
      try {
        await listenOnce(() => {
          delayMs = firstDelayMs;
          onConnected();
        });
      } catch (error) {
        onError(error);
      }
      // Rejects when stopped, which the loop's condition sees.
      await delay(delayMs, undefined, { signal, ref: false }).catch(() => undefined);
      delayMs = Math.min(delayMs * 2, maxDelayMs);
    }
  }

  /** Ends with the connection. */
  async function listenOnce(connected: () => void): Promise<void> {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: connectTimeoutMs, keepAlive: true });
    const ended = Promise.withResolvers<void>();
    // Rejected before anybody awaits it, where the connection is never made.
    ended.promise.catch(() => undefined);
    client.on('error', (error) => ended.reject(error));
    client.on('end', () => ended.resolve());
    client.on('notification', ({ payload }) => onNotification(payload ?? ''));
    const stop = () => ended.resolve();
    signal.addEventListener('abort', stop, { once: true });
    try {
      await client.connect();
      for (const channel of channels) await client.query(`listen ${pg.escapeIdentifier(channel)}`);
      connected();
      if (!signal.aborted) await ended.promise;
    } finally {
      signal.removeEventListener('abort', stop);
      await client.end().catch(() => undefined);
    }
  }
}
