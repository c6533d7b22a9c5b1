import { setTimeout as delay } from 'node:timers/promises';

export interface RepeatOptions {
  /** Between the end of one turn and the start of the next: turns never overlap, however long one takes. */
  readonly intervalMs: number;
  /** What a turn threw; the next one comes all the same. */
  readonly onError: (error: unknown) => void;
}

/** Does `work` now and again and again, until the returned function is called. Does not keep the process alive. */
export function repeatUntilStopped(work: () => Promise<void>, { intervalMs, onError }: RepeatOptions): () => void {
  const stopped = new AbortController();
  void repeat();
  return () => stopped.abort();

  async function repeat(): Promise<void> {
    while (!stopped.signal.aborted) {
      try {
        await work();
      } catch (error) {
        onError(error);
      }
      // Rejects when stopped, which the loop's condition sees.
      await delay(intervalMs, undefined, { signal: stopped.signal, ref: false }).catch(() => undefined);
    }
  }
}
