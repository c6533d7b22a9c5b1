import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { LockHeld, takeLock, waitForLock } from '../../src/embedded/lock.ts';
import { identify } from '../../src/embedded/process-identity.ts';
import { makeFolder } from './fixture.ts';

let folder: ReturnType<typeof makeFolder>;
let file: string;

beforeEach(() => {
  folder = makeFolder();
  file = join(folder.path, 'run', 'lock');
});
afterEach(() => folder.remove());

test('a lock that is held names its holder, and is free after its release', () => {
  const lock = takeLock(file, 'http://127.0.0.1:3000');
  expect(() => takeLock(file, 'second')).toThrow(LockHeld);
  expect(() => takeLock(file, 'second')).toThrow(`process ${process.pid}: http://127.0.0.1:3000`);
  lock.release();
  takeLock(file, 'third').release();
  expect(readdirSync(join(folder.path, 'run'))).toEqual([]);
});

test('the lock of a process that was killed is taken over', async () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  await once(child, 'spawn');
  takeLock(file, 'first').release();
  writeFileSync(file, JSON.stringify({ ...identify(child.pid ?? 0), what: 'killed' }));
  expect(() => takeLock(file, 'second')).toThrow(LockHeld);
  child.kill('SIGKILL');
  await once(child, 'exit');
  takeLock(file, 'second');
  expect(() => takeLock(file, 'third')).toThrow(`process ${process.pid}: second`);
});

test('a process id that somebody else got meanwhile does not hold the lock', () => {
  takeLock(file, 'first').release();
  writeFileSync(file, JSON.stringify({ pid: process.pid, startedAt: 'another boot/1', what: 'before the restart' }));
  takeLock(file, 'second').release();
  expect(existsSync(file)).toBe(false);
});

test('a lock whose file was deleted is not held, and its release leaves the next one alone', () => {
  const first = takeLock(file, 'first');
  expect(first.isHeld()).toBe(true);
  rmSync(file);
  expect(first.isHeld()).toBe(false);
  writeFileSync(file, JSON.stringify({ pid: process.ppid, startedAt: 'x', what: 'next' }));
  first.release();
  expect(existsSync(file)).toBe(true);
});

test('a lock file that was cut off is taken over', () => {
  takeLock(file, 'first').release();
  writeFileSync(file, '{"pid": 1');
  const lock = takeLock(file, 'second');
  expect(readFileSync(file, 'utf8')).toContain('second');
  lock.release();
});

test('who waits for a lock gets it after its release, and is told of the holder once', async () => {
  const first = takeLock(file, 'building');
  const told: string[] = [];
  const waiting = waitForLock(file, 'second', ({ what }) => void told.push(what), AbortSignal.timeout(5_000));
  first.release();
  (await waiting).release();
  expect(told).toEqual(['building']);
});
