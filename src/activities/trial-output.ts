import { StringDecoder } from 'node:string_decoder';
import { type TrialOutput, trialLimits, trialOutputIntervalMs } from '../domain/trial-runs.ts';
import { reportText } from '../sandbox/report-text.ts';

/**
 * Collects what runs write while they are under way, and stores it a few times a second for who looks on. All of it is in the results,
 * too: what cannot be stored in time, or is more than fits, is left out here.
 */
export function collectOutput(
  store: (pieces: readonly TrialOutput[]) => Promise<void>,
  onError: (error: unknown) => void,
): { take(run: string, stream: TrialOutput['stream'], bytes: Buffer): void; close(): Promise<void> } {
  const decoders = new Map<string, StringDecoder>();
  let pieces: TrialOutput[] = [];
  let room: number = trialLimits.outputBytes;
  let timer: NodeJS.Timeout | undefined;
  let storing = Promise.resolve();
  let isClosed = false;

  function flush(): void {
    timer = undefined;
    const taken = pieces;
    pieces = [];
    // One after the other: a slow database gets fewer and larger pieces, in order.
    storing = store(taken).catch(onError).finally(schedule);
  }

  function schedule(): void {
    if (!isClosed && timer === undefined && pieces.length > 0) timer = setTimeout(flush, trialOutputIntervalMs);
  }

  return {
    take(run, stream, bytes) {
      if (isClosed || room <= 0) return;
      const key = `${stream} ${run}`;
      const decoder = decoders.get(key) ?? new StringDecoder();
      decoders.set(key, decoder);
      const text = reportText(decoder.write(bytes), room);
      if (text === '') return;
      room -= text.length;
      const last = pieces.at(-1);
      if (last?.run === run && last.stream === stream) pieces[pieces.length - 1] = { run, stream, text: last.text + text };
      else pieces.push({ run, stream, text });
      schedule();
    },
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await storing;
    },
  };
}
