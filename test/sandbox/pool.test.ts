import { afterEach, describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { dockerEngine, DockerSandbox } from '../../src/sandbox/docker.ts';
import { Pool, type OpenMember, type PoolMember, type PoolSize } from '../../src/sandbox/pool.ts';
import { type Sandbox, SandboxError } from '../../src/sandbox/sandbox.ts';
import { shapeOf, type SandboxShape } from '../../src/sandbox/shape.ts';
import { isRequired, jobOf, limits, openReal, options } from './real-sandboxes.ts';

const run = { name: 'only', argv: ['true'], limits };
const shape = shapeOf(jobOf({}, [run]));
const otherShape: SandboxShape = { ...shape, mayExecute: true };
const soon = new Date(Date.now() + 60_000);

/** Waits for what happens beside the test. */
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error('it does not happen');
    await sleep(20);
  }
}

class FakeMember implements PoolMember {
  readonly #end = Promise.withResolvers<void>();
  readonly ended = this.#end.promise;
  readonly usableUntil: Date;
  isDestroyed = false;

  constructor(usableUntil = new Date(Date.now() + 3_600_000)) {
    this.usableUntil = usableUntil;
  }

  dieAlone(): void {
    this.#end.resolve();
  }

  destroy(): Promise<void> {
    this.isDestroyed = true;
    this.#end.resolve();
    return Promise.resolve();
  }
}

describe('a pool', () => {
  const opened: FakeMember[] = [];
  let pool: Pool<FakeMember> | null = null;
  const standing = () => opened.filter(({ isDestroyed }) => !isDestroyed);
  const { signal } = new AbortController();

  function open(size: PoolSize, openMember: OpenMember<FakeMember> = () => Promise.resolve(new FakeMember())): Pool<FakeMember> {
    pool = new Pool(async (...args) => {
      const member = await openMember(...args);
      opened.push(member);
      return member;
    }, size);
    return pool;
  }

  afterEach(async () => {
    await pool?.close();
    opened.length = 0;
  });

  test('never hands out a sandbox twice, and ends each', async () => {
    const members = open(3);
    const taken: FakeMember[] = [];
    for (let job = 0; job < 20; job++) {
      const member = await members.take(shape, soon, signal);
      taken.push(member);
      await members.end(member);
    }
    expect(new Set(taken).size).toBe(20);
    expect(taken.every(({ isDestroyed }) => isDestroyed)).toBe(true);
  });

  test('starts in advance what was asked for, no more than its size', async () => {
    const members = open(3);
    const first = await members.take(shape, soon, signal);
    // Beside a job it is content with one.
    await until(() => opened.length === 2);
    await members.end(first);
    await until(() => opened.length === 4);
    const second = await members.take(shape, soon, signal);
    expect(opened.indexOf(second)).toBeGreaterThan(0);
    expect(opened.indexOf(second)).toBeLessThan(4);
    await sleep(0);
    expect(standing().length).toBeLessThanOrEqual(4);
  });

  test('of size 0 starts nothing in advance', async () => {
    const members = open(0);
    await members.end(await members.take(shape, soon, signal));
    await sleep(0);
    expect(opened).toHaveLength(1);
  });

  test('keeps shapes apart, and gives up those that nobody asks for any more', async () => {
    const shapes: SandboxShape[] = [];
    const members = open(2, (made) => {
      shapes.push(made);
      return Promise.resolve(new FakeMember());
    });
    await members.end(await members.take(otherShape, soon, signal));
    await until(() => opened.length === 3);
    const others = opened.slice(1);
    for (let job = 0; job < 5; job++) await members.end(await members.take(shape, soon, signal));
    await until(() => others.every(({ isDestroyed }) => isDestroyed));
    expect(shapes.slice(0, 3)).toEqual([otherShape, otherShape, otherShape]);
    expect(shapes.slice(3).every((made) => made === shape)).toBe(true);
  });

  test('does not hand out what has ended while it waited, nor what ends before the job', async () => {
    let life = 3_600_000;
    const members = open(1, () => Promise.resolve(new FakeMember(new Date(Date.now() + life))));
    await members.end(await members.take(shape, soon, signal));
    await until(() => opened.length === 2);
    opened[1]?.dieAlone();
    await until(() => opened[1]?.isDestroyed === true);
    life = 1000;
    const second = await members.take(shape, new Date(), signal);
    expect(second).not.toBe(opened[1]);
    await until(() => standing().length === 2);
    life = 3_600_000;
    const third = await members.take(shape, soon, signal);
    expect(third.usableUntil >= soon).toBe(true);
  });

  test('a job waits for the sandbox that is being started rather than for another one', async () => {
    const doors: (() => void)[] = [];
    const members = open(1, async () => {
      if (doors.length > 0) await new Promise<void>((resolve) => doors.push(resolve));
      else doors.push(() => undefined);
      return new FakeMember();
    });
    await members.end(await members.take(shape, soon, signal));
    await until(() => doors.length === 2);
    const waiting = members.take(shape, soon, signal);
    doors[1]?.();
    expect(await waiting).toBe(opened[1]);
    for (const door of doors) door();
    await until(() => doors.length === 3);
    doors[2]?.();
  });

  test('what could not be started in advance is tried again for the job, whose trouble is then told', async () => {
    let works = true;
    const members = open(1, () =>
      works ? Promise.resolve(new FakeMember()) : Promise.reject(new SandboxError('engine down', { transient: true })),
    );
    works = false;
    await expect(members.take(shape, soon, signal)).rejects.toThrow('engine down');
    works = true;
    expect(await members.take(shape, soon, signal)).toBe(opened[0]);
  });

  test('whoever is aborted while it waits gets the reason, and leaves nothing behind', async () => {
    const door = Promise.withResolvers<void>();
    const members = open(0, async () => {
      await door.promise;
      return new FakeMember();
    });
    const stop = new AbortController();
    const waiting = members.take(shape, soon, stop.signal);
    stop.abort(new Error('cancelled by the test'));
    await expect(waiting).rejects.toThrow('cancelled by the test');
    door.resolve();
    await until(() => opened.length === 1 && standing().length === 0);
  });

  test('closing ends all, also what is still being started, and lets nobody in', async () => {
    const door = Promise.withResolvers<void>();
    let isFirst = true;
    const members = open(2, async () => {
      if (!isFirst) await door.promise;
      isFirst = false;
      return new FakeMember();
    });
    await members.end(await members.take(shape, soon, signal));
    const closing = members.close();
    door.resolve();
    await closing;
    expect(standing()).toEqual([]);
    await expect(members.take(shape, soon, signal)).rejects.toMatchObject({ name: 'SandboxError' });
  });
});

const docker = await openReal('docker');
const imageId = docker.sandbox?.identity ?? '';
const whenDocker = docker.sandbox !== null || isRequired ? describe : describe.skip;

whenDocker('pooled containers', () => {
  const engine = dockerEngine();
  const opened: DockerSandbox[] = [];

  function open(pool: PoolSize): DockerSandbox {
    const sandbox = new DockerSandbox(engine, imageId, { pool });
    opened.push(sandbox);
    return sandbox;
  }

  afterEach(async () => {
    for (const sandbox of opened.splice(0)) await sandbox.close();
  });

  const containersOf = ({ poolId }: DockerSandbox) =>
    engine.listContainers({ all: true, filters: { label: [`atelier.pool=${poolId}`] } });
  /** Those that have no job's name yet. */
  const waitingOf = async (sandbox: DockerSandbox) =>
    (await containersOf(sandbox)).filter(({ State, Names }) => State === 'running' && !Names[0]?.startsWith('/atelier-'));
  const isFull = (sandbox: DockerSandbox, size: number) => async () => (await waitingOf(sandbox)).length === size;
  const makeRun = async (sandbox: Sandbox, argv: readonly string[]): Promise<string> => {
    const [result] = await sandbox.run(jobOf({}, [{ ...run, argv }]), options());
    return `${result?.stdout.toString()}${result?.stderr.toString()}`;
  };

  test('serve one job each', async () => {
    const sandbox = open(2);
    // Where the container's own layer and folders are: no two containers have the same.
    const identity = [
      'sh',
      '-c',
      'readlink /proc/self/ns/mnt; cut -d" " -f22 /proc/1/stat; id -u; ls -A /tmp; touch /tmp/was-here',
    ];
    const seen = new Set<string>();
    for (let job = 0; job < 6; job++) {
      const output = await makeRun(sandbox, identity);
      expect(output).not.toContain('was-here');
      seen.add(output);
      await until(isFull(sandbox, 2));
    }
    expect(seen.size).toBe(6);
  });

  test('one that was killed while it waited is replaced', async () => {
    const sandbox = open(1);
    const stop = new AbortController();
    const first = sandbox.run(jobOf({}, [{ ...run, argv: ['sleep', '60'] }]), options(stop.signal));
    // The job's own has its name by then.
    await until(async () => (await containersOf(sandbox)).some(({ Names }) => Names[0]?.startsWith('/atelier-')));
    await until(isFull(sandbox, 1));
    const [waiting] = await waitingOf(sandbox);
    await engine.getContainer(waiting?.Id ?? '').kill();
    expect(await makeRun(sandbox, ['echo', 'fresh'])).toBe('fresh\n');
    await until(async () => (await containersOf(sandbox)).every(({ Id }) => Id !== waiting?.Id));
    stop.abort(new Error('enough'));
    await expect(first).rejects.toThrow('enough');
  });

  test('closing leaves nothing', async () => {
    const sandbox = open(3);
    await makeRun(sandbox, ['true']);
    await until(isFull(sandbox, 3));
    await sandbox.close();
    expect(await containersOf(sandbox)).toEqual([]);
  });

  test("a new attempt removes the older one's container, which is no verdict", async () => {
    const sandbox = open(1);
    const started = Promise.withResolvers<void>();
    const job = jobOf({}, [{ ...run, argv: ['sleep', '60'], limits: { ...limits, wallTimeMs: 60_000 } }]);
    const older = sandbox.run(job, { ...options(), onRunStart: () => started.resolve() });
    const caught = older.catch((error: unknown) => error);
    await started.promise;
    const named = { name: [`atelier-${job.label.submissionId}-1-`] };
    await until(async () => (await engine.listContainers({ filters: named })).length === 1);
    const next = { ...jobOf({}, [run]), label: { ...job.label, attempt: 2 } };
    const [result] = await sandbox.run(next, options());
    expect(result).toMatchObject({ status: 'exited', exitCode: 0 });
    expect(await caught).toMatchObject({ name: 'SandboxError', transient: true });
  });

  test('those of a worker that is killed end by themselves, and are removed whatever their deadline', async () => {
    const code = `
      const { dockerEngine, DockerSandbox } = await import(${JSON.stringify(new URL('../../src/sandbox/docker.ts', import.meta.url))});
      const sandbox = new DockerSandbox(dockerEngine(), ${JSON.stringify(imageId)}, { pool: 1 });
      console.log(sandbox.poolId);
      const limits = ${JSON.stringify(limits)};
      const label = { submissionId: 'killed-worker', attempt: 1, deadline: new Date(Date.now() + 600_000) };
      const runs = [{ name: 'sleep', argv: ['sleep', '300'], limits: { ...limits, wallTimeMs: 300_000 } }];
      await sandbox.run({ label, files: [], runs }, { signal: AbortSignal.timeout(300_000) });`;
    const worker = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(worker.stdout, 'data')) as [Buffer];
    const label = [`atelier.pool=${line.toString().trim()}`];
    const statesOf = async () => (await engine.listContainers({ all: true, filters: { label } })).map(({ State }) => State);
    // The one that works, and the one that waits.
    await until(async () => (await statesOf()).filter((state) => state === 'running').length === 2);
    worker.kill('SIGKILL');
    await until(async () => (await statesOf()).every((state) => state === 'exited'));
    expect(await docker.sandbox?.reap(new Date())).toBeGreaterThanOrEqual(2);
    expect(await statesOf()).toEqual([]);
  });
});
