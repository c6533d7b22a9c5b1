import { describe, expect, it } from '@jest/globals';
import { collectOutput } from '../../src/activities/trial-output.ts';
import { type TrialOutput, trialLimits } from '../../src/domain/trial-runs.ts';
import { waitFor } from '../support/wait.ts';

/** What is stored, and a way to make that slow or fail. */
function collector(beforeStoring: () => Promise<void> = () => Promise.resolve()) {
  const stored: (readonly TrialOutput[])[] = [];
  const errors: unknown[] = [];
  const output = collectOutput(
    async (pieces) => {
      await beforeStoring();
      stored.push(pieces);
    },
    (error) => errors.push(error),
  );
  const untilStored = (count: number) =>
    waitFor(`${count} times stored`, async () => (stored.length >= count ? stored.flat() : null));
  return { ...output, stored, errors, untilStored };
}

describe('output of a trial', () => {
  it('is stored a piece at a time, by run and stream, in order', async () => {
    const { take, stored, untilStored } = collector();
    take('program', 'stdout', Buffer.from('a'));
    take('program', 'stdout', Buffer.from('b'));
    take('program', 'stderr', Buffer.from('c'));
    take('program', 'stdout', Buffer.from('d'));
    await untilStored(1);
    expect(stored).toEqual([
      [
        { run: 'program', stream: 'stdout', text: 'ab' },
        { run: 'program', stream: 'stderr', text: 'c' },
        { run: 'program', stream: 'stdout', text: 'd' },
      ],
    ]);
  });

  it('is text: characters are not torn apart, and what is none can be stored', async () => {
    const { take, untilStored } = collector();
    for (const byte of Buffer.from('é\u{1F6B2}')) take('program', 'stdout', Buffer.from([byte]));
    take('program', 'stdout', Buffer.from([0, 0xff]));
    expect(await untilStored(1)).toEqual([{ run: 'program', stream: 'stdout', text: 'é\u{1F6B2}\uFFFD\uFFFD' }]);
  });

  it('is cut', async () => {
    const { take, close, stored, untilStored } = collector();
    for (let count = 0; count < 10; count += 1) take('program', 'stdout', Buffer.alloc(20_000, 'x'));
    await untilStored(1);
    await close();
    expect(stored.flat().reduce((sum, { text }) => sum + text.length, 0)).toBe(trialLimits.outputBytes);
  });

  it('waits for a slow database, and for none when it is closed', async () => {
    const slow = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const { take, close, stored } = collector(() => {
      begun.resolve();
      return slow.promise;
    });
    take('program', 'stdout', Buffer.from('a'));
    await begun.promise;
    take('program', 'stdout', Buffer.from('b'));
    const closed = close();
    take('program', 'stdout', Buffer.from('c'));
    slow.resolve();
    await closed;
    // What is under way is stored before the results, and nothing after them.
    expect(stored).toEqual([[{ run: 'program', stream: 'stdout', text: 'a' }]]);
  });

  it('that cannot be stored is left out', async () => {
    let isDown = true;
    const { take, errors, untilStored } = collector(() => (isDown ? Promise.reject(new Error('away')) : Promise.resolve()));
    take('program', 'stdout', Buffer.from('a'));
    await waitFor('the error', async () => errors[0] ?? null);
    isDown = false;
    take('program', 'stdout', Buffer.from('b'));
    expect(await untilStored(1)).toEqual([{ run: 'program', stream: 'stdout', text: 'b' }]);
  });
});
