import { writeSync } from 'node:fs';

/** How long a reader that is slower than we are is given before the next attempt. */
const fullPipeMs = 10;

/**
 * Where log lines go: an open file or pipe. A line that cannot be written, as the disk is full or the reader gone, is lost, and the process
 * goes on: pino's own destination tries again until it can, and nothing else is done meanwhile. The next line that can be written tells how
 * many were lost.
 *
 * @param about fields of that line.
 */
export function createLogOutput(descriptor: number, about: Readonly<Record<string, string>>): { write(line: string): void } {
  let lost = 0;
  let isTorn = false;

  function writeWhole(line: string): void {
    const bytes = Buffer.from(line);
    let written = 0;
    while (written < bytes.length) {
      try {
        written += writeSync(descriptor, bytes, written);
      } catch (error) {
        isTorn ||= written > 0;
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, fullPipeMs);
      }
    }
    isTorn = false;
  }

  return {
    write(line) {
      try {
        if (lost > 0) {
          const said = { level: 40, time: new Date().toISOString(), ...about, lost, msg: 'log lines could not be written' };
          writeWhole(`${isTorn ? '\n' : ''}${JSON.stringify(said)}\n`);
          lost = 0;
        }
        writeWhole(line);
      } catch {
        lost += 1;
      }
    },
  };
}
