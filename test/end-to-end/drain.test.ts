import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import { createAccessTokens } from '../../src/api/access-token.ts';
import { findFreePort } from '../../src/embedded/ports.ts';
import { secret, signIn } from '../api/support.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createStudentWithTask, publishDemoCourse } from '../support/factories.ts';
import { waitFor } from '../support/wait.ts';

/** Real api processes with a real PostgreSQL; Temporal is away, so that its silence may not slow the end down either. */

const timeoutMs = 120_000;
let database: TestDatabase;
let token: string;
let taskId: string;
let folder: string;
const processes = new Set<Api>();

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
  const created = await createStudentWithTask(database.orm);
  taskId = created.taskId;
  token = await signIn({ orm: database.orm, tokens: createAccessTokens(secret, 3_600_000) }, created.student);
  folder = await mkdtemp(join(tmpdir(), 'atelier-drain-'));
});

afterEach(async () => {
  for (const api of processes) await api.kill();
  processes.clear();
});

afterAll(async () => {
  await database.close();
  await rm(folder, { recursive: true, force: true });
});

/** One api process. */
class Api {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown[]>;

  private constructor(port: number, settings: Readonly<Record<string, string>>) {
    this.port = port;
    this.#child = spawn(process.execPath, [join(import.meta.dirname, '../../src/api/server.ts')], {
      stdio: 'ignore',
      env: {
        PATH: process.env['PATH'],
        ATELIER_DATABASE_URL: database.url,
        TEMPORAL_ADDRESS: '127.0.0.1:1',
        PORT: String(port),
        ATELIER_ORIGIN: 'http://127.0.0.1',
        ATELIER_GIT_ORIGIN: 'http://127.0.0.1',
        ATELIER_DATA: folder,
        JWT_SECRET: secret,
        ...settings,
      },
    });
    this.#exited = once(this.#child, 'exit');
  }

  static async start(settings: Readonly<Record<string, string>> = {}): Promise<Api> {
    const api = new Api(await findFreePort(), settings);
    processes.add(api);
    await waitFor('the api', async () => ((await api.readiness()) === 200 ? true : null), timeoutMs);
    return api;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The status of /health/ready, null where nothing listens. */
  async readiness(): Promise<number | null> {
    return fetch(`${this.origin}/health/ready`).then(
      ({ status }) => status,
      () => null,
    );
  }

  terminate(): void {
    this.#child.kill('SIGTERM');
  }

  /** Exit code. */
  async exitCode(): Promise<number | null> {
    const [code] = (await this.#exited) as [number | null];
    return code;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }
}

/** A load balancer as small as can be: each connection goes to the next server that says it is ready. */
class Balancer {
  readonly #servers = new Map<Api, { isReady: boolean; polling: Promise<void>; stop: AbortController }>();
  readonly #server: Server;
  #turn = 0;

  constructor() {
    this.#server = createServer((near) => {
      const ready = [...this.#servers].filter(([, { isReady }]) => isReady);
      this.#turn += 1;
      const chosen = ready[this.#turn % ready.length]?.[0];
      if (chosen === undefined) {
        near.destroy();
        return;
      }
      const far = connect(chosen.port, '127.0.0.1');
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        from.pipe(to);
        from.on('error', () => to.destroy());
      }
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  add(api: Api): void {
    const state = { isReady: true, polling: Promise.resolve(), stop: new AbortController() };
    this.#servers.set(api, state);
    const poll = async () => {
      while (!state.stop.signal.aborted) {
        state.isReady = (await api.readiness()) === 200;
        await delay(100);
      }
    };
    state.polling = poll();
  }

  async close(): Promise<void> {
    for (const { stop } of this.#servers.values()) stop.abort();
    await Promise.all([...this.#servers.values()].map(({ polling }) => polling));
    this.#server.close();
  }
}

/** One request over kept connections, without a second try. Resolves to its status. */
function send(port: number, agent: Agent, method: string, path: string, body?: object): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, ...(body !== undefined && { 'content-type': 'application/json' }) };
    const sent = request({ host: '127.0.0.1', port, agent, method, path, headers }, (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode ?? 0));
      response.once('error', reject);
    });
    sent.once('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

it(
  'a rolling restart under load is seen by no client',
  async () => {
    // Long enough for a balancer that asks every 100 ms on a machine that has more to do.
    const settings = { DRAIN_MS: '3000' };
    const balancer = new Balancer();
    const port = await balancer.listen();
    let servers: readonly Api[] = await Promise.all([Api.start(settings), Api.start(settings)]);
    for (const api of servers) balancer.add(api);

    // In turn, so that each kept connection is used, and told to end, before its server does: a request that meets the end of a connection
    // that was idle for all of that time is HTTP's own race, which clients have to repeat (RFC 9112, 9.3.1).
    const agent = new Agent({ keepAlive: true, maxSockets: 20, scheduling: 'fifo' });
    const sent: Promise<string>[] = [];
    const fire = async () => {
      // Reads, and writes that have no Idempotency-Key to be sent again with.
      const isWrite = sent.length % 10 === 9;
      try {
        const status = isWrite
          ? await send(port, agent, 'POST', '/api/me/access-tokens', { name: 'drain' })
          : await send(port, agent, 'GET', sent.length % 2 === 0 ? '/api/tasks' : `/api/tasks/${taskId}`);
        return status === (isWrite ? 201 : 200) ? 'answered' : `${status}`;
      } catch (error) {
        return String(error);
      }
    };
    const load = setInterval(() => sent.push(fire()), 20);
    await delay(1_000);
    for (const old of servers) {
      const fresh = await Api.start(settings);
      balancer.add(fresh);
      old.terminate();
      expect(await old.exitCode()).toBe(0);
      servers = [...servers.filter((server) => server !== old), fresh];
      await delay(500);
    }
    clearInterval(load);
    const outcomes = await Promise.all(sent);
    agent.destroy();
    await balancer.close();
    expect(outcomes.filter((outcome) => outcome !== 'answered')).toEqual([]);
    expect(outcomes.length).toBeGreaterThan(100);
  },
  timeoutMs,
);

it(
  'readiness ends first, while requests are still served; what is under way is answered, and then the process ends',
  async () => {
    const api = await Api.start({ DRAIN_MS: '1500' });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await send(api.port, agent, 'GET', '/api/tasks')).toBe(200);
    // A body that is sent slowly is a request under way.
    const slow = request({
      host: '127.0.0.1',
      port: api.port,
      method: 'POST',
      path: '/api/me/access-tokens',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    });
    slow.write('{"name": ');
    await delay(100);

    api.terminate();
    await waitFor('readiness to end', async () => ((await api.readiness()) === 503 ? true : null), 1_000);
    expect(await send(api.port, agent, 'GET', '/api/tasks')).toBe(200);
    await waitFor('the port to close', async () => ((await api.readiness()) === null ? true : null));
    slow.end('"slow"}');
    const [response] = (await once(slow, 'response')) as [
      { statusCode: number; headers: Record<string, string>; resume(): void },
    ];
    response.resume();
    expect(response).toMatchObject({ statusCode: 201, headers: { connection: 'close' } });
    expect(await api.exitCode()).toBe(0);
    agent.destroy();
  },
  timeoutMs,
);

it(
  'a second signal ends it at once',
  async () => {
    const api = await Api.start({ DRAIN_MS: '20000' });
    api.terminate();
    await waitFor('readiness to end', async () => ((await api.readiness()) === 503 ? true : null));
    await delay(1_200);
    api.terminate();
    expect(await api.exitCode()).toBe(1);
  },
  timeoutMs,
);

it(
  'without a load balancer it ends without a wait, kept connections and all',
  async () => {
    const api = await Api.start();
    const agent = new Agent({ keepAlive: true });
    expect(await send(api.port, agent, 'GET', '/api/tasks')).toBe(200);
    api.terminate();
    const ended = await Promise.race([api.exitCode(), delay(4_000, 'still there', { ref: false })]);
    agent.destroy();
    expect(ended).toBe(0);
  },
  timeoutMs,
);
