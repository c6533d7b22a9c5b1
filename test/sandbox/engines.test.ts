import { describe, expect, test } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { Container, ContainerCreateOptions } from 'dockerode';
import { readRunnerSettings } from '../../src/config.ts';
import { openSandbox, probeSandboxes } from '../../src/sandbox/choose.ts';
import { dockerEngine, DockerSandbox } from '../../src/sandbox/docker.ts';
import { findRunnerImage, runnerImageTag } from '../../src/sandbox/image.ts';
import type { RunOptions, RunResult } from '../../src/sandbox/sandbox.ts';
import { isRequired, limits, jobOf, openReal, options } from './real-sandboxes.ts';
import { runner } from '../support/runner.ts';

const job = jobOf({}, [{ name: 'only', argv: ['true'], limits }]);

describe('an engine in trouble', () => {
  test('down: a passing trouble', async () => {
    const sandbox = new DockerSandbox(dockerEngine('/nonexistent/docker.sock'), 'sha256:0');
    await expect(sandbox.run(job, options())).rejects.toMatchObject({ name: 'SandboxError', transient: true });
    await expect(sandbox.reap(new Date())).rejects.toMatchObject({ name: 'SandboxError', transient: true });
  });

  test.each([
    [500, true],
    [404, false],
    [400, false],
  ])('answering %d: transient is %s', async (status, transient) => {
    const folder = await mkdtemp(join(tmpdir(), 'atelier-engine-'));
    const socketPath = join(folder, 'engine.sock');
    // The client repeats the settings in the query.
    const server = createServer({ maxHeaderSize: 65_536 }, (_, response) =>
      response.writeHead(status).end('{"message":"no"}'),
    ).listen(socketPath);
    try {
      const sandbox = new DockerSandbox(dockerEngine(socketPath), 'sha256:0');
      await expect(sandbox.run(job, options())).rejects.toMatchObject({ name: 'SandboxError', transient });
    } finally {
      server.close();
      await rm(folder, { recursive: true });
    }
  });
});

test('a container that is made after the job was aborted is removed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'atelier-engine-'));
  const socketPath = join(folder, 'engine.sock');
  const asked = Promise.withResolvers<void>();
  const removed = Promise.withResolvers<string>();
  let finishCreating = () => {};
  const server = createServer({ maxHeaderSize: 65_536 }, ({ method, url }, response) => {
    if (method === 'DELETE') {
      response.writeHead(204).end();
      removed.resolve(url ?? '');
      return;
    }
    finishCreating = () => response.writeHead(201, { 'content-type': 'application/json' }).end('{"Id":"late"}');
    asked.resolve();
  }).listen(socketPath);
  try {
    const stop = new AbortController();
    const running = new DockerSandbox(dockerEngine(socketPath), 'sha256:0').run(job, options(stop.signal));
    await asked.promise;
    stop.abort(new Error('cancelled by the test'));
    await expect(running).rejects.toThrow('cancelled by the test');
    finishCreating();
    expect(await removed.promise).toContain('/containers/late?');
  } finally {
    server.close();
    await rm(folder, { recursive: true });
  }
}, 5_000);

test.each(['attach', 'start', 'first word'])(
  'an engine that dies between making a container and its agent (%s) is a passing trouble, and holds nobody up',
  async (moment) => {
    const folder = await mkdtemp(join(tmpdir(), 'atelier-engine-'));
    const socketPath = join(folder, 'engine.sock');
    const sockets = new Set<Duplex>();
    const die = () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    };
    const server = createServer({ maxHeaderSize: 65_536 }, ({ url = '' }, response) => {
      if (url.includes('/create')) return response.writeHead(201, { 'content-type': 'application/json' }).end('{"Id":"only"}');
      if (moment === 'start') return die();
      response.writeHead(204).end();
      return setImmediate(die);
    });
    server.on('connection', (socket) => sockets.add(socket));
    server.on('upgrade', (_, socket) => {
      if (moment === 'attach') return die();
      return socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
    });
    server.listen(socketPath);
    try {
      const sandbox = new DockerSandbox(dockerEngine(socketPath), 'sha256:0');
      await expect(sandbox.run(job, options())).rejects.toMatchObject({ name: 'SandboxError', transient: true });
      await sandbox.close();
    } finally {
      die();
      await rm(folder, { recursive: true });
    }
  },
);

const probes = await probeSandboxes();

describe('choosing', () => {
  test('none is none', async () => {
    expect(await openSandbox('none', { onMessage: () => undefined })).toEqual({ sandbox: null, probes: [] });
  });

  test('every technology is reported, with advice where it is not usable', () => {
    expect(probes.map(({ kind }) => kind)).toEqual(['docker', 'bubblewrap']);
    for (const { usable, reason, fix } of probes) {
      expect(reason).not.toBe('');
      expect(fix === null).toBe(usable);
    }
  });
});

const docker = await openReal('docker');
const { sandbox } = docker;
const whenDocker = sandbox !== null || isRequired ? describe : describe.skip;

whenDocker(`docker: ${docker.reason}`, () => {
  const inspectById = (id: string) => dockerEngine().getContainer(id).inspect();

  test('automatically chosen where its image is ready', async () => {
    const opened = await openSandbox('auto', { onMessage: () => undefined, runner });
    expect(opened.sandbox?.kind).toBe('docker');
    expect(opened.sandbox?.identity).toBe(await findRunnerImage(dockerEngine(), runner));
    expect(runnerImageTag(runner)).toMatch(/^atelier-runner:[0-9a-f]{12}$/);
  });

  test('a missing image is a lasting trouble', async () => {
    const missing = new DockerSandbox(dockerEngine(), `sha256:${'0'.repeat(64)}`);
    await expect(missing.run(job, options())).rejects.toMatchObject({ name: 'SandboxError', transient: false });
  });

  test('so is a runtime that the engine does not have', async () => {
    const unknown = new DockerSandbox(dockerEngine(), sandbox?.identity ?? '', { runtime: 'no-such-runtime' });
    await expect(unknown.run(job, options())).rejects.toMatchObject({ name: 'SandboxError', transient: false });
  });

  describe('a container that ends in the middle of a job', () => {
    const file = { path: 'kept.txt', content: Buffer.from('kept') };
    const runs = [
      { name: 'first', argv: ['cat', 'kept.txt'], limits, files: [file] },
      { name: 'second', argv: ['sleep', '30'], limits },
      { name: 'third', argv: ['cat', 'kept.txt'], limits },
    ];

    /** Ends the container as the kernel would, in the second run; `isOutOfMemory` is what the engine then says of it. */
    async function runTo(
      isOutOfMemory: boolean,
      more: Partial<RunOptions> = {},
      first = runs[0]?.argv ?? [],
    ): Promise<readonly RunResult[]> {
      const engine = dockerEngine();
      const create = engine.createContainer.bind(engine);
      const containers: Container[] = [];
      engine.createContainer = async (settings: ContainerCreateOptions) => {
        const container = await create(settings);
        const inspect = container.inspect.bind(container);
        container.inspect = async () => {
          const found = await inspect();
          return { ...found, State: { ...found.State, OOMKilled: isOutOfMemory } };
        };
        containers.push(container);
        return container;
      };
      const own = new DockerSandbox(engine, sandbox?.identity ?? '');
      const onRunStart = (name: string) => void (name === 'second' && containers.at(-1)?.kill());
      try {
        const made = runs.map((run) => (run.name === 'first' ? { ...run, argv: first } : run));
        return await own.run(jobOf({}, made), { ...options(), onRunStart, ...more });
      } finally {
        await own.close();
        for (const container of containers) await expect(inspectById(container.id)).rejects.toMatchObject({ statusCode: 404 });
      }
    }
    test('where memory was short: that run has reached its limit, and the others are made elsewhere', async () => {
      const results = await runTo(true);
      expect(results.map(({ name, status, stdout }) => [name, status, stdout.toString()])).toEqual([
        ['first', 'exited', 'kept'],
        ['second', 'memory-limit', ''],
        ['third', 'exited', 'kept'],
      ]);
      expect(results[1]).toMatchObject({ exitCode: null, report: null, memoryPeakBytes: limits.memoryBytes });
    });

    test('and not, where nobody wants them any more', async () => {
      const results = await runTo(true, { shouldGoOn: ({ status }) => status === 'exited' });
      expect(results.map(({ name }) => name)).toEqual(['first', 'second']);
    });

    test('after an earlier run that was at its limit: nobody knows why, so it is our trouble', async () => {
      const bomb = ['python3', '-c', 'b"x" * 10**9'];
      await expect(runTo(true, {}, bomb)).rejects.toMatchObject({ name: 'SandboxError', transient: true });
    });

    test('for another reason: our trouble, which passes', async () => {
      await expect(runTo(false)).rejects.toMatchObject({ name: 'SandboxError', transient: true });
    });
  });

  const make = async (label: Record<string, string>): Promise<string> => {
    const { id } = await dockerEngine().createContainer({ Image: sandbox?.identity ?? '', Cmd: ['true'], Labels: label });
    return id;
  };
  const dueIn = (now: Date, ms: number) => make({ 'atelier.deadline': new Date(now.getTime() + ms).toISOString() });

  test('reaping removes what is late, and nothing else', async () => {
    const engine = dockerEngine();
    const now = new Date();
    const late = await dueIn(now, -1000);
    const others = [await dueIn(now, 60_000), await make({ other: 'yes' })];
    try {
      // Others that have just ended, of a suite beside this one, may be among them.
      expect(await sandbox?.reap(now)).toBeGreaterThan(0);
      await expect(engine.getContainer(late).inspect()).rejects.toMatchObject({ statusCode: 404 });
      for (const id of others) expect((await engine.getContainer(id).inspect()).Id).toBe(id);
    } finally {
      for (const id of others) await engine.getContainer(id).remove({ force: true });
    }
  });

  const withBubblewrap = isRequired || probes.some(({ kind, usable }) => kind === 'bubblewrap' && usable) ? test : test.skip;
  withBubblewrap('what is late is removed, too, while bubblewrap serves because the image is not there', async () => {
    const tried = Promise.withResolvers<void>();
    const onMessage = (message: string) => void (message.startsWith('bubblewrap goes on serving') && tried.resolve());
    // A base that nobody can pull: the image is never made.
    const opened = await openSandbox('auto', { onMessage, runner: { ...runner, base: 'localhost:9/no-such-base:1' } });
    const now = new Date();
    const late = await dueIn(now, -1000);
    expect(opened.sandbox?.kind).toBe('bubblewrap');
    expect(await opened.sandbox?.reap(now)).toBeGreaterThan(0);
    await expect(inspectById(late)).rejects.toMatchObject({ statusCode: 404 });
    await tried.promise;
    await opened.sandbox?.close();
  });
});

describe('the name of the runner image', () => {
  const settings = (text: string, base = '') => readRunnerSettings({ RUNNER_LANGUAGES: text, RUNNER_BASE: base });
  const all = runnerImageTag(settings(''));

  test('is one for all languages, however they are named', () => {
    expect(all).toMatch(/^atelier-runner:[0-9a-f]{12}$/);
    expect(runnerImageTag(settings('rust,go, cpp c\njava python typescript javascript'))).toBe(all);
    expect(runnerImageTag()).toBe(all);
  });

  test('is another for fewer languages, and on another base', () => {
    const fewer = runnerImageTag(settings('c'));
    expect(new Set([all, fewer, runnerImageTag(settings('c', 'academy-base:1'))]).size).toBe(3);
    // Its packages are in every image.
    expect(runnerImageTag(settings('c python'))).toBe(fewer);
  });

  test('a language that is not known is refused', () => {
    expect(() => settings('c cobol')).toThrow('RUNNER_LANGUAGES takes javascript');
  });
});
