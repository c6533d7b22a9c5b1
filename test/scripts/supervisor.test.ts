import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { type ChildPlan, endLeftovers, Supervisor, type SupervisorEvent } from '../../src/embedded/supervisor.ts';
import { findProcess, makeFolder, projectFolder, until } from './fixture.ts';

let folder: ReturnType<typeof makeFolder>;
let events: SupervisorEvent[];
let supervisor: Supervisor;
const never = new AbortController().signal;

beforeEach(() => {
  folder = makeFolder();
  events = [];
  supervisor = new Supervisor({
    dataFolder: folder.path,
    onEvent: (event) => void events.push(event),
    backoffMs: [20, 40],
    largeLogBytes: 2_000,
  });
});

afterEach(async () => {
  await supervisor.stop(['child', 'other'], AbortSignal.abort());
  supervisor.close();
  folder.remove();
});

function plan(script: string, options: Partial<ChildPlan> = {}): ChildPlan {
  return {
    name: 'child',
    command: process.execPath,
    args: ['-e', script],
    env: { PATH: process.env['PATH'] },
    graceMs: 5_000,
    ...options,
  };
}

const idle = 'setInterval(() => {}, 1000); console.log("up");';
const processes = () => JSON.parse(readFileSync(join(folder.path, 'run', 'processes.json'), 'utf8')) as Record<string, number>;
const log = () => readFileSync(supervisor.logFile('child'), 'utf8');
const isUp = (times = 1) => until(() => log().split('up').length > times, `the child is up ${times} times`);

test('a child that is killed starts again, and its new process id is on file', async () => {
  supervisor.start(plan(idle));
  await isUp();
  const first = processes()['child'] ?? 0;
  process.kill(first, 'SIGKILL');
  await isUp(2);
  expect(processes()['child']).not.toBe(first);
  expect(processes()['child']).toBe(supervisor.pid('child'));
  expect(events).toMatchObject([
    { kind: 'exited', name: 'child', how: 'SIGKILL', restartInMs: 20 },
    { kind: 'restarted', name: 'child' },
  ]);
});

test('a child that fails again and again is started with growing pauses', async () => {
  supervisor.start(plan('process.exit(3)'));
  await until(() => supervisor.failures('child') >= 3, 'three failures');
  const pauses = events.flatMap((event) => (event.kind === 'exited' ? [event.restartInMs] : []));
  expect(pauses.slice(0, 3)).toEqual([20, 40, 40]);
  expect(events[0]).toMatchObject({ how: 'exit code 3' });
});

test('a child that is asked to stop may finish, and is not started again', async () => {
  supervisor.start(
    plan(`process.on('SIGTERM', () => setTimeout(() => { console.log('finished'); process.exit(); }, 100));${idle}`),
  );
  await isUp();
  await supervisor.stop(['child'], never);
  expect(log()).toContain('finished');
  expect(processes()).toEqual({});
  expect(events).toEqual([]);
});

test('a child that does not stop within its grace is killed with all it started', async () => {
  const script = `const { spawn } = require('node:child_process');
    process.on('SIGTERM', () => {});
    console.log('grandchild', spawn(process.execPath, ['-e', 'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000)']).pid);${idle}`;
  supervisor.start(plan(script, { graceMs: 200 }));
  await isUp();
  const grandchild = Number(/grandchild (\d+)/.exec(log())?.[1]);
  expect(findProcess(grandchild)).toBeDefined();
  await supervisor.stop(['child'], never);
  await until(() => findProcess(grandchild) === undefined, 'the grandchild is gone');
});

test('a hurry kills at once what was given time', async () => {
  supervisor.start(plan(`process.on('SIGTERM', () => {});${idle}`, { graceMs: 60_000 }));
  await isUp();
  const hurry = new AbortController();
  const stopped = supervisor.stop(['child'], hurry.signal);
  hurry.abort();
  await stopped;
  expect(processes()).toEqual({});
});

test('a program that does not exist counts as a failure and is tried again', async () => {
  supervisor.start(plan('', { command: join(folder.path, 'missing') }));
  await until(() => supervisor.failures('child') >= 2, 'two failures');
  expect(events[0]).toMatchObject({ kind: 'exited', how: expect.stringContaining('ENOENT') });
});

test('a task runs once to its end; one that fails says its last words', async () => {
  await supervisor.runOnce(plan('console.log("done")'), never);
  expect(log()).toBe('done\n');
  await expect(supervisor.runOnce(plan('console.log("no such table"); process.exit(1)'), never)).rejects.toThrow(
    /exit code 1.*\n[^]*no such table/,
  );
  const asked = new AbortController();
  const interrupted = supervisor.runOnce(plan(idle), asked.signal);
  await isUp();
  asked.abort();
  await expect(interrupted).rejects.toThrow('SIGTERM');
  expect(processes()).toEqual({});
});

test('a log that grew large is kept once and begun anew', async () => {
  await supervisor.runOnce(plan('console.log("x".repeat(3000))'), never);
  await supervisor.runOnce(plan('console.log("next")'), never);
  expect(log()).toBe('next\n');
  expect(statSync(`${supervisor.logFile('child')}.1`).size).toBe(3001);
});

test('a child stops in order when its supervisor is killed', async () => {
  // A supervisor that is itself killed, so it cannot be this process.
  const modules = join(projectFolder, 'src', 'embedded');
  const script = join(folder.path, 'supervisor.ts');
  const childScript =
    'process.on("SIGTERM", () => { console.log("stopped in order"); process.exit(); }); console.log("up"); setInterval(() => {}, 1000)';
  writeFileSync(join(folder.path, 'child.mjs'), childScript);
  writeFileSync(
    script,
    `import { Supervisor } from ${JSON.stringify(join(modules, 'supervisor.ts'))};
     const supervisor = new Supervisor({ dataFolder: ${JSON.stringify(folder.path)}, onEvent: () => {} });
     supervisor.start({ name: 'child', command: process.execPath, graceMs: 1000, env: process.env, channel: true,
       args: ['--import', ${JSON.stringify(join(modules, 'stop-with-parent.ts'))}, ${JSON.stringify(join(folder.path, 'child.mjs'))}] });`,
  );
  const launcher = spawn(process.execPath, [script], { stdio: 'inherit' });
  await until(() => existsSync(supervisor.logFile('child')) && log().includes('up'), 'the child is up');
  const child = processes()['child'] ?? 0;
  launcher.kill('SIGKILL');
  await until(() => findProcess(child) === undefined, 'the child is gone');
  expect(log()).toContain('stopped in order');
});

test('what a killed launcher left is ended, whatever is on file; what belongs to another data folder or to nobody is not', async () => {
  const start = (name: string, dataFolder: string) =>
    spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000); console.log("up")'], {
      env: { ATELIER_PROCESS: `${name}:${dataFolder}` },
      detached: true,
    });
  const temporal = start('temporal', folder.path);
  const database = start('postgres', folder.path);
  const others = start('temporal', `${folder.path}-2`);
  const all = [temporal, database, others];
  try {
    await Promise.all(all.map(({ stdout }) => once(stdout, 'data')));
    expect(await endLeftovers(folder.path, ['postgres'])).toEqual(['temporal']);
    expect(all.map(({ pid }) => findProcess(pid ?? 0) !== undefined)).toEqual([false, true, true]);
    expect(await endLeftovers(folder.path)).toEqual(['postgres']);
    expect(all.map(({ pid }) => findProcess(pid ?? 0) !== undefined)).toEqual([false, false, true]);
  } finally {
    for (const child of all) child.kill('SIGKILL');
  }
});
