import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { createLogOutput } from '../../src/log-output.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'atelier-log-output-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

const linesOf = (file: string) =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line): unknown => JSON.parse(line));

it('writes lines as they are', () => {
  const file = join(folder, 'log');
  const descriptor = openSync(file, 'a');
  const output = createLogOutput(descriptor, {});
  output.write('{"msg":"één"}\n');
  output.write(`${JSON.stringify({ msg: 'x'.repeat(1_000_000) })}\n`);
  closeSync(descriptor);
  expect(linesOf(file)).toEqual([{ msg: 'één' }, { msg: 'x'.repeat(1_000_000) }]);
});

const fullDevice = process.platform === 'linux' ? it : it.skip;

fullDevice('goes on where nothing can be written (/dev/full), and tells afterwards how many lines were lost', () => {
  const descriptor = openSync('/dev/full', 'w');
  const output = createLogOutput(descriptor, { process: 'api' });
  output.write('{"msg":"lost"}\n');
  output.write('{"msg":"lost, too"}\n');
  closeSync(descriptor);
  const file = join(folder, 'log');
  // The lowest number that is free, which is the one just closed.
  expect(openSync(file, 'a')).toBe(descriptor);
  output.write('{"msg":"written"}\n');
  output.write('{"msg":"written, too"}\n');
  closeSync(descriptor);
  expect(linesOf(file)).toEqual([
    { level: 40, time: expect.any(String), process: 'api', lost: 2, msg: 'log lines could not be written' },
    { msg: 'written' },
    { msg: 'written, too' },
  ]);
});

const smallDisk = process.platform === 'linux' && process.getuid?.() === 0 ? it : it.skip;

smallDisk('begins a line of its own after one that the full disk tore (root on Linux: a disk of 4 KiB)', () => {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4k', 'tmpfs', folder]);
  try {
    const file = join(folder, 'log');
    const descriptor = openSync(file, 'a');
    const output = createLogOutput(descriptor, {});
    const long = `{"msg":"${'x'.repeat(3_000)}"}\n`;
    output.write(long);
    output.write(long);
    const torn = readFileSync(file, 'utf8');
    expect(torn).toHaveLength(4_096);
    truncateSync(file, long.length + 20);
    output.write('{"msg":"written"}\n');
    closeSync(descriptor);
    const [first, second, ...rest] = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect([`${first}\n`, second]).toEqual([long, long.slice(0, 20)]);
    expect(rest.map((line): unknown => JSON.parse(line))).toEqual([
      { level: 40, time: expect.any(String), lost: 1, msg: 'log lines could not be written' },
      { msg: 'written' },
    ]);
  } finally {
    execFileSync('umount', [folder]);
  }
});
