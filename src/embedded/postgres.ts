import { randomBytes } from 'node:crypto';
import { chown, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { messageOf } from './errors.ts';
import type { RememberedPorts } from './ports.ts';
import { type PostgresHome, preparePostgresHome } from './postgres-home.ts';
import { commandLine, identify, processMark, waitUntilGone } from './process-identity.ts';
import { runProgram } from './run-program.ts';

export interface PostgresOptions {
  readonly dataFolder: string;
  /** Survives a power loss; false for tests, which want speed. */
  readonly durable: boolean;
  readonly ports: RememberedPorts;
  /** False forbids to change the machine (no user `postgres` is made). */
  readonly install: boolean;
  readonly say: (text: string) => void;
  readonly systemFolder?: string;
}

const role = 'atelier';
/** Unicode letters in trigrams need a UTF-8 character type; macOS has no C.UTF-8. */
const locale = process.platform === 'darwin' ? 'en_US.UTF-8' : 'C.UTF-8';
/** A crash recovery replays at most a few checkpoints' worth of log; slow disks take their time. */
const startTimeoutS = 120;
const largeLogBytes = 10_000_000;

/**
 * Brings up the PostgreSQL of a data folder: makes the cluster the first time, adopts a server that still runs (its launcher was
 * killed), else starts it; what a crash left is recovered by PostgreSQL itself.
 */
export async function openPostgres(options: PostgresOptions): Promise<EmbeddedPostgres> {
  const home = await preparePostgresHome(options);
  const isNew = !(await exists(join(home.folder, 'data')));
  if (isNew) await createCluster(home, options);
  const password = (await readFile(join(home.folder, 'password'), 'utf8')).trim();
  const server = new EmbeddedPostgres(home, options, password);
  await server.open(isNew);
  return server;
}

/** A running PostgreSQL of ours; survives this process unless stopped. */
export class EmbeddedPostgres {
  /** What `openPostgres` had to do. */
  state: 'created' | 'started' | 'adopted' = 'started';
  port = 0;
  readonly folder: string;
  readonly version: string;
  readonly #home: PostgresHome;
  readonly #options: PostgresOptions;
  readonly #password: string;

  constructor(home: PostgresHome, options: PostgresOptions, password: string) {
    this.#home = home;
    this.#options = options;
    this.#password = password;
    this.folder = home.folder;
    this.version = home.version;
  }

  url(database: string): string {
    return `postgres://${role}:${this.#password}@127.0.0.1:${this.port}/${database}`;
  }

  /** Process id of the server; undefined when it does not run. */
  async pid(): Promise<number | undefined> {
    return (await this.#running())?.pid;
  }

  /** @internal */
  async open(isNew: boolean): Promise<void> {
    const running = await this.#running();
    if (running) {
      this.port = running.port;
      if (await this.#answers()) {
        this.state = 'adopted';
        return;
      }
    }
    await this.#startOnFreePort();
    this.state = isNew ? 'created' : 'started';
  }

  /**
   * Starts the server again where it died, on the same port, so that nobody needs a new address.
   *
   * @returns whether it had died
   */
  async ensureRunning(): Promise<boolean> {
    if (await this.#running()) return false;
    await this.#start();
    return true;
  }

  /** Makes a database of our role unless it is there. */
  async createDatabase(name: string): Promise<void> {
    const client = new pg.Client({ connectionString: this.url('postgres') });
    await client.connect();
    try {
      const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [name]);
      if (rowCount === 0) await client.query(`create database ${pg.escapeIdentifier(name)}`);
    } finally {
      await client.end();
    }
  }

  /** Ends all connections and the server; not running is not an error. */
  async stop(): Promise<void> {
    const running = await this.#running();
    if (!running) return;
    const identity = identify(running.pid);
    try {
      await this.#control(['-m', 'fast', '-w', '-t', '30', 'stop']);
    } catch {
      // A backend that does not end: the log is enough to recover at the next start.
      await this.#control(['-m', 'immediate', '-w', '-t', '10', 'stop']).catch(() => undefined);
    }
    if (identity) await waitUntilGone(identity, 5_000);
  }

  get #data(): string {
    return join(this.folder, 'data');
  }

  /** The server of this cluster, if one runs: the process must be a PostgreSQL on our folder, not one that got its process id. */
  async #running(): Promise<{ pid: number; port: number } | undefined> {
    const file = await readFile(join(this.#data, 'postmaster.pid'), 'utf8').catch(() => '');
    const [pidText = '', , , portText = ''] = file.split('\n');
    const pid = Number(pidText);
    if (!Number.isInteger(pid) || pid <= 0 || identify(pid) === undefined) return undefined;
    return (commandLine(pid) ?? '').includes(this.#data) ? { pid, port: Number(portText) } : undefined;
  }

  async #startOnFreePort(): Promise<void> {
    const { ports } = this.#options;
    this.port = await ports.choose('postgres');
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#start();
      } catch (error) {
        // Taken between looking and listening.
        const isTaken =
          error instanceof PostgresFailed && /could not create any TCP\/IP sockets|already in use/i.test(error.message);
        if (!isTaken || attempt === 5) throw error;
        this.port = await ports.renew('postgres');
      }
    }
  }

  async #start(): Promise<void> {
    // One that runs but did not answer is on its way down; one that does not run left a file that may name a foreign process.
    const running = await this.#running();
    const leaving = running && identify(running.pid);
    if (leaving && !(await waitUntilGone(leaving, 30_000))) {
      throw new PostgresFailed(`PostgreSQL (process ${leaving.pid}) neither answers nor ends; end it: kill -QUIT ${leaving.pid}`);
    }
    await rm(join(this.#data, 'postmaster.pid'), { force: true });
    const log = join(this.folder, 'server.log');
    const size = await rotate(log);
    const safety = this.#options.durable ? [] : ['-c fsync=off', '-c synchronous_commit=off', '-c full_page_writes=off'];
    const flags = [
      `-p ${this.port}`,
      '-c listen_addresses=127.0.0.1',
      "-c unix_socket_directories=''",
      '-c max_connections=200',
      ...safety,
    ];
    const deadline = Date.now() + 15_000;
    for (;;) {
      try {
        await this.#control(['-w', '-t', String(startTimeoutS), '-l', log, '-o', flags.join(' '), 'start']);
        return;
      } catch (error) {
        const text = (await readFile(log, 'utf8').catch(() => '')).slice(size);
        // Backends of a killed server need a moment to notice.
        const isDying = /pre-existing shared memory block|is being used by another process/.test(text);
        if (isDying && Date.now() < deadline) {
          await sleep(500);
          continue;
        }
        const details = text === '' ? messageOf(error) : text.trimEnd().split('\n').slice(-8).join('\n');
        throw new PostgresFailed(`PostgreSQL did not start (log: ${log}):\n${details}`);
      }
    }
  }

  async #answers(): Promise<boolean> {
    const deadline = Date.now() + 30_000;
    while (await this.#running()) {
      const client = new pg.Client({ connectionString: this.url('postgres'), connectionTimeoutMillis: 2_000 });
      try {
        await client.connect();
        await client.end();
        return true;
      } catch {
        if (Date.now() > deadline) return false;
        await sleep(200);
      }
    }
    return false;
  }

  async #control(args: string[]): Promise<void> {
    await runProgram(join(this.#home.binaries, 'pg_ctl'), ['-D', this.#data, ...args], {
      ...this.#home.identity,
      cwd: this.folder,
      env: environment(this.#options.dataFolder),
    });
  }
}

/** PostgreSQL does not start; the message ends in its own last words. */
class PostgresFailed extends Error {}

/** Made beside and then renamed: an interrupted initdb leaves nothing that looks like a cluster. */
async function createCluster(home: PostgresHome, { dataFolder, durable }: PostgresOptions): Promise<void> {
  const draft = join(home.folder, 'data.new');
  const passwordFile = join(home.folder, 'password');
  await rm(draft, { recursive: true, force: true });
  await writeFile(passwordFile, randomBytes(24).toString('base64url'), { mode: 0o600, flush: true });
  const { uid, gid } = home.identity;
  if (uid !== undefined && gid !== undefined) await chown(passwordFile, uid, gid);
  const args = ['-D', draft, '-U', role, `--pwfile=${passwordFile}`, '-A', 'scram-sha-256', '-E', 'UTF8', `--locale=${locale}`];
  try {
    await runProgram(join(home.binaries, 'initdb'), [...args, ...(durable ? [] : ['--no-sync'])], {
      ...home.identity,
      cwd: home.folder,
      env: environment(dataFolder),
    });
  } catch (error) {
    throw new PostgresFailed(`the database could not be created in ${home.folder}: ${messageOf(error)}`);
  }
  await rename(draft, join(home.folder, 'data'));
}

/** Nothing of ours but the mark of the data folder: PGDATA, PGPORT and the like would change what pg_ctl does. */
function environment(dataFolder: string): NodeJS.ProcessEnv {
  return { PATH: '/usr/bin:/bin', LC_ALL: locale, ...processMark('postgres', dataFolder) };
}

/** @returns length of the log before the next start */
async function rotate(log: string): Promise<number> {
  const size = await stat(log).then(
    (found) => found.size,
    () => 0,
  );
  if (size < largeLogBytes) return size;
  await rename(log, `${log}.1`);
  return 0;
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
