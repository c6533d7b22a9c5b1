import { expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { repeatUntilStopped } from '../../src/workers/repeat.ts';

test('works at once and again, outlives errors, never overlaps, and ends when stopped', async () => {
  const errors: unknown[] = [];
  const enough = Promise.withResolvers<void>();
  let running = 0;
  let most = 0;
  let turns = 0;
  const work = async () => {
    turns += 1;
    running += 1;
    most = Math.max(most, running);
    await sleep(20);
    running -= 1;
    if (turns === 3) enough.resolve();
    throw new Error(`turn ${turns}`);
  };
  const stop = repeatUntilStopped(work, { intervalMs: 1, onError: (error) => errors.push(error) });
  expect(turns).toBe(1);
  await enough.promise;
  stop();
  await sleep(60);
  expect({ turns, most, errors: errors.length }).toEqual({ turns: 3, most: 1, errors: 3 });
});
