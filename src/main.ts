import { randomBytes } from 'node:crypto';
import { accessSync, chmodSync, constants, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { codeOf, messageOf, Refusal } from './embedded/errors.ts';
import { chooseDatabase } from './embedded/database-choice.ts';
import { type LauncherConfig, readLauncherConfig } from './embedded/launcher-config.ts';
import { type Lock, LockHeld, takeLock } from './embedded/lock.ts';
import { findFreePort, isPortFree, RememberedPorts } from './embedded/ports.ts';
import { type EmbeddedPostgres, openPostgres } from './embedded/postgres.ts';
import { ensureSandbox } from './embedded/sandbox-probe.ts';
import { endLeftovers, Supervisor, type SupervisorEvent } from './embedded/supervisor.ts';
import { probeTemporal, startTemporal } from './embedded/temporal.ts';
import { findTemporalCli } from './embedded/temporal-cli.ts';

/** The processes of the academy: program → how long it may take to finish what it does when asked to stop. */
const processes = {
  // Its own last resort comes after 25 s.
  api: { program: 'api/server.ts', graceMs: 30_000 },
  submissions: { program: 'workers/submissions.ts', graceMs: 20_000 },
  judging: { program: 'workers/judging.ts', graceMs: 20_000 },
  notifications: { program: 'workers/notifications.ts', graceMs: 20_000 },
};
const processNames = Object.keys(processes);
/** One Ctrl-C arrives several times: from the terminal, from npm and from scripts/start.js. */
const sameSignalMs = 1_000;
const readyTimeoutMs = 180_000;
/** How often PostgreSQL and the lock are looked at. */
const watchMs = 2_000;

const say = (text: string) => console.log(text);
const part = (name: string, text: string) => say(`  ${name.padEnd(12)} ${text}`);

/** The launcher's two requests to stop: in order, and then at once. */
interface Stopping {
  readonly asked: AbortSignal;
  readonly hurry: AbortSignal;
  readonly stopBecause: (error: unknown) => void;
}

/** Brings the whole academy up, keeps it running until a signal comes, and takes it down. */
async function main(): Promise<number> {
  // A terminal that was closed must not end the orderly stop.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  const stopping = listenForStop();
  let lock: Lock | undefined;
  try {
    const config = readLauncherConfig(process.env);
    prepareDataFolder(config);
    lock = lockDataFolder(config);
    return await runAcademy(config, stopping, lock);
  } catch (error) {
    console.error(`\n${error instanceof Refusal || !Error.isError(error) ? messageOf(error) : error.stack}`);
    return 1;
  } finally {
    lock?.release();
  }
}

function listenForStop(): Stopping {
  const asked = new AbortController();
  const hurry = new AbortController();
  let askedAt = 0;
  const onStop = () => {
    if (!asked.signal.aborted) {
      askedAt = Date.now();
      asked.abort();
    } else if (Date.now() - askedAt > sameSignalMs) hurry.abort();
  };
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM']) process.on(signal, onStop);
  process.once('disconnect', onStop);
  process.channel?.unref();
  return { asked: asked.signal, hurry: hurry.signal, stopBecause: (error) => asked.abort(error) };
}

async function runAcademy(config: LauncherConfig, stopping: Stopping, lock: Lock): Promise<number> {
  // Its database can be taken over, unless another is used now or the folder is a new one in the place of a deleted one.
  const isEmbedded = config.database.own === undefined && config.database.common === undefined;
  const canAdopt = isEmbedded && existsSync(portsFile(config));
  const leftovers = await endLeftovers(config.dataFolder, canAdopt ? ['postgres'] : []);
  if (leftovers.length > 0) say(`The last start was killed; what it left running was stopped: ${leftovers.join(', ')}.`);
  const port = await choosePort(config);

  const supervisor = new Supervisor({ dataFolder: config.dataFolder, onEvent: report });
  supervisor.record('launcher', process.pid);
  const academy = new Academy(config, port, supervisor, stopping);
  // An error nobody awaited: stop in order, so that no process is left behind.
  process.on('uncaughtException', (error) => {
    console.error(error);
    stopping.stopBecause(error);
  });
  // Deleted under us, the data folder may belong to another start by now: two must not work on one database.
  const fence = setInterval(() => {
    if (!lock.isHeld())
      stopping.stopBecause(new Refusal(`The data folder ${config.dataFolder} was deleted: everything was stopped.`));
  }, watchMs);
  try {
    await academy.start();
    academy.printAddresses();
    await new Promise((resolve) => stopping.asked.addEventListener('abort', resolve));
    const { reason } = stopping.asked as { reason: unknown };
    if (reason instanceof Error && reason.name !== 'AbortError') throw reason;
    return 0;
  } catch (error) {
    if (stopping.asked.aborted && isAbort(error)) return 0;
    throw error;
  } finally {
    say('\nStopping the academy; all data is kept. (Once more: at once.)');
    clearInterval(fence);
    await academy.stop();
    say('Stopped.');
  }
}

const isAbort = (error: unknown) =>
  error instanceof Error && (error.name === 'AbortError' || /was interrupted|SIGTERM/.test(error.message));

/** All parts of one academy, in the order they are started and stopped. */
class Academy {
  readonly #config: LauncherConfig;
  readonly #port: number;
  readonly #ports: RememberedPorts;
  readonly #supervisor: Supervisor;
  readonly #stopping: Stopping;
  readonly #origin: string;
  #postgres: EmbeddedPostgres | undefined;
  #postgresWatch: Promise<void> = Promise.resolve();
  #temporalUi: string | undefined;

  constructor(config: LauncherConfig, port: number, supervisor: Supervisor, stopping: Stopping) {
    this.#config = config;
    this.#port = port;
    this.#ports = new RememberedPorts(portsFile(config));
    this.#supervisor = supervisor;
    this.#stopping = stopping;
    this.#origin = config.origin ?? localOrigin(config.host, port);
  }

  async start(): Promise<void> {
    const { asked } = this.#stopping;
    say(`Atelier starts. Everything is kept in ${this.#config.dataFolder}`);
    const parts = [this.#openDatabase(), this.#openTemporal(), this.#openSandbox()] as const;
    // All of them, also when one fails: what was started must be known to be stopped.
    await Promise.allSettled(parts);
    const [databaseUrl, temporalAddress] = await Promise.all(parts);
    part(
      'Mail',
      this.#config.smtpUrl === undefined ? `no SMTP_URL: mails are written to ${this.#mailbox}` : 'sent by SMTP (SMTP_URL)',
    );
    asked.throwIfAborted();

    const env = this.#environment(databaseUrl, temporalAddress);
    await this.#supervisor.runOnce(this.#plan('migrate', 'workers/migrate.ts', env, 5_000), asked);
    part('Database', 'migrated');
    for (const [name, { program, graceMs }] of Object.entries(processes))
      this.#supervisor.start(this.#plan(name, program, env, graceMs));
    part('Processes', `${processNames.join(', ')} (logs: ${join(this.#config.dataFolder, 'logs')})`);
    await this.#waitUntilReady();
  }

  printAddresses(): void {
    const accounts = readAccounts(this.#accountsFile);
    // For `npm run demo`, which finds the academy by its data folder.
    writeFileSync(join(this.#config.dataFolder, 'run', 'address.json'), JSON.stringify({ origin: this.#origin }));
    say(`\nThe academy is open:  ${this.#origin}`);
    part('API', `${this.#origin}/docs`);
    if (this.#temporalUi !== undefined) part('Temporal', this.#temporalUi);
    if (this.#config.smtpUrl === undefined) part('Mailbox', this.#mailbox);
    if (accounts.length > 0) {
      say(`\nAccounts (of this data folder; also in ${this.#accountsFile}):`);
      for (const { email, password, role } of accounts) say(`  ${role.padEnd(17)} ${email.padEnd(28)} ${password}`);
    }
    say('\nSee one submission go through it:  npm run demo (in another terminal)');
    say('Stop:  Ctrl-C');
  }

  /** Who takes work first, then what they work with: nothing loses its database while it finishes something. */
  async stop(): Promise<void> {
    const { hurry } = this.#stopping;
    this.#stopping.stopBecause(undefined);
    await this.#supervisor.stop(processNames, hurry);
    await this.#supervisor.stop(['temporal'], hurry);
    await this.#postgresWatch;
    await this.#postgres?.stop();
    // Where the data folder was deleted, PostgreSQL cannot be found by its files.
    await endLeftovers(this.#config.dataFolder);
    this.#supervisor.close();
  }

  async #openDatabase(): Promise<string> {
    const config = this.#config;
    const choice = await chooseDatabase(config.database);
    if (choice.kind === 'given') {
      part('PostgreSQL', choice.description);
      return choice.url;
    }
    const postgres = await openPostgres({
      dataFolder: config.dataFolder,
      durable: true,
      ports: this.#ports,
      install: config.install,
      say: (text) => say(`  ${text}`),
    });
    this.#postgres = postgres;
    this.#supervisor.record('postgres', await postgres.pid());
    await postgres.createDatabase('atelier');
    const how = { created: 'new', started: 'with the data of before', adopted: 'still running, taken over' }[postgres.state];
    part('PostgreSQL', `embedded ${postgres.version}, ${how}, 127.0.0.1:${postgres.port} (${postgres.folder})`);
    this.#postgresWatch = this.#watchPostgres(postgres);
    return postgres.url('atelier');
  }

  /** The server is not our child, so that it survives our own violent end; a dead one is noticed by looking. */
  async #watchPostgres(postgres: EmbeddedPostgres): Promise<void> {
    const { asked } = this.#stopping;
    let lastProblem = '';
    while (!asked.aborted) {
      try {
        await sleep(watchMs, undefined, { signal: asked });
        if (!(await postgres.ensureRunning())) continue;
        this.#supervisor.record('postgres', await postgres.pid());
        lastProblem = '';
        say('PostgreSQL had ended and was started again.');
      } catch (error) {
        if (asked.aborted) return;
        const problem = messageOf(error);
        if (problem !== lastProblem) say(problem);
        lastProblem = problem;
      }
    }
  }

  async #openTemporal(): Promise<string> {
    const { temporal, env, cacheFolder, dataFolder } = this.#config;
    if (temporal.address !== undefined) {
      await probeTemporal(temporal.address);
      this.#temporalUi = temporal.uiOrigin;
      part('Temporal', `${temporal.address}, namespace ${temporal.namespace} (TEMPORAL_ADDRESS)`);
      return temporal.address;
    }
    const { asked } = this.#stopping;
    const cli = await findTemporalCli({ env, cacheFolder, say: (text) => say(`  ${text}`), signal: asked });
    const server = await startTemporal({
      cli: cli.path,
      supervisor: this.#supervisor,
      ports: this.#ports,
      env,
      namespace: temporal.namespace,
      folder: join(dataFolder, 'temporal'),
      signal: asked,
    });
    this.#temporalUi = server.uiOrigin;
    part('Temporal', `development server of CLI ${cli.version} (${cli.path}), ${server.address}, web UI ${server.uiOrigin}`);
    if (!server.isFair) {
      say(
        '  Its data is older than fair queues: students are judged in the order of submitting (docs/operations.md says how to change that).',
      );
    }
    return server.address;
  }

  async #openSandbox(): Promise<void> {
    const { sandbox, env, dockerHost, install } = this.#config;
    const found =
      sandbox === 'none'
        ? 'none (SANDBOX=none)'
        : await ensureSandbox({ env, dockerHost, install: install && sandbox !== 'docker', say: (text) => say(`  ${text}`) });
    part('Sandbox', found);
  }

  async #waitUntilReady(): Promise<void> {
    const { asked } = this.#stopping;
    const address = `${localOrigin(this.#config.host, this.#port)}/health/ready`;
    const deadline = Date.now() + readyTimeoutMs;
    let lastAnswer = 'no answer';
    for (;;) {
      asked.throwIfAborted();
      try {
        const response = await fetch(address, { signal: AbortSignal.timeout(5_000) });
        if (response.ok) return;
        lastAnswer = `${response.status} ${(await response.text()).slice(0, 500)}`;
      } catch (error) {
        lastAnswer = `no answer (${messageOf(error)})`;
      }
      const failed = processNames.find((name) => this.#supervisor.failures(name) >= 3);
      if (failed !== undefined) {
        throw new Refusal(
          `${failed} does not stay up. Its last words (${this.#supervisor.logFile(failed)}):\n${this.#supervisor.lastLines(failed, 15)}`,
        );
      }
      if (Date.now() > deadline) throw new Refusal(`The academy did not become ready: ${address} says ${lastAnswer}`);
      await sleep(250);
    }
  }

  #plan(name: string, program: string, env: NodeJS.ProcessEnv, graceMs: number) {
    const watcher = new URL('./embedded/stop-with-parent.ts', import.meta.url).href;
    return {
      name,
      command: process.execPath,
      args: ['--enable-source-maps', '--import', watcher, join(this.#config.programs, program)],
      env,
      cwd: this.#config.projectFolder,
      graceMs,
      channel: true,
    };
  }

  /** What src/config.ts reads; all else that was set is passed on. */
  #environment(databaseUrl: string, temporalAddress: string): NodeJS.ProcessEnv {
    const config = this.#config;
    return {
      ...config.env,
      ATELIER_DATABASE_URL: databaseUrl,
      TEMPORAL_ADDRESS: temporalAddress,
      TEMPORAL_NAMESPACE: config.temporal.namespace,
      ...(this.#temporalUi === undefined ? {} : { TEMPORAL_UI_ORIGIN: this.#temporalUi }),
      HOST: config.host,
      PORT: String(this.#port),
      ATELIER_ORIGIN: this.#origin,
      ATELIER_GIT_ORIGIN: config.gitOrigin ?? localOrigin(config.host, this.#port),
      ATELIER_DATA: config.dataFolder,
      ATELIER_ACCOUNTS_FILE: this.#accountsFile,
      // One address for all workers would stop all but the first.
      WORKER_METRICS_ADDRESS: undefined,
      JWT_SECRET: config.jwtSecret ?? ownSecret(join(config.dataFolder, 'secrets.json')),
    };
  }

  get #accountsFile(): string {
    return join(this.#config.dataFolder, 'accounts.json');
  }

  get #mailbox(): string {
    return join(this.#config.dataFolder, 'mailbox');
  }
}

const portsFile = ({ dataFolder }: LauncherConfig) => join(dataFolder, 'ports.json');

/** Open to be passed through, not to be listed, where root runs it: PostgreSQL lives inside as user `postgres`. */
function prepareDataFolder({ dataFolder }: LauncherConfig): void {
  try {
    if (mkdirSync(dataFolder, { recursive: true }) !== undefined) chmodSync(dataFolder, process.getuid?.() === 0 ? 0o711 : 0o700);
    accessSync(dataFolder, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new Refusal(
      `The data folder ${dataFolder} cannot be written (${messageOf(error)}). Take another: npm start -- --data DIR`,
    );
  }
}

function lockDataFolder({ dataFolder, host, port }: LauncherConfig): Lock {
  try {
    return takeLock(join(dataFolder, 'run', 'lock'), localOrigin(host, port));
  } catch (error) {
    if (!(error instanceof LockHeld)) throw error;
    const { pid, what } = error.holder;
    throw new Refusal(
      `An academy already runs with the data folder ${dataFolder}: ${what} (process ${pid}).\nUse it, stop it (Ctrl-C there, or: kill ${pid}), or start another: npm start -- --port N --data DIR`,
    );
  }
}

async function choosePort({ host, port }: LauncherConfig): Promise<number> {
  if (port === 0) return findFreePort(host);
  if (await isPortFree(port, host)) return port;
  const free = await nextFreePort(port, host);
  throw new Refusal(
    `Port ${port} on ${host} is taken by another program (or may not be used by this user). Start on a free one: npm start -- --port ${free}`,
  );
}

async function nextFreePort(taken: number, host: string): Promise<number> {
  for (let port = Math.max(taken + 1, 3000); port < taken + 50 && port <= 65_535; port += 1)
    if (await isPortFree(port, host)) return port;
  return findFreePort(host);
}

/** How this machine reaches a server that listens on that host. */
function localOrigin(host: string, port: number): string {
  const isEverywhere = ['0.0.0.0', '::', 'localhost'].includes(host);
  return `http://${isEverywhere ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Made once per data folder: a new one would end every session. */
function ownSecret(file: string): string {
  const Secrets = z.object({ JWT_SECRET: z.string().min(32) });
  try {
    return Secrets.parse(JSON.parse(readFileSync(file, 'utf8'))).JWT_SECRET;
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw new Refusal(`${file} is damaged (${messageOf(error)}). Delete it to get new secrets.`);
  }
  const secret = randomBytes(48).toString('base64url');
  writeFileSync(`${file}.new`, JSON.stringify({ JWT_SECRET: secret }), { mode: 0o600, flush: true });
  renameSync(`${file}.new`, file);
  return secret;
}

function readAccounts(file: string): { email: string; password: string; role: string }[] {
  try {
    return z
      .array(z.object({ email: z.string(), password: z.string(), role: z.string() }))
      .parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    // A database that was seeded elsewhere: its accounts are known to those who made them.
    return [];
  }
}

function report(event: SupervisorEvent): void {
  if (event.kind === 'restarted') return say(`${event.name} runs again (process ${event.pid}).`);
  say(`${event.name} ended (${event.how}); it starts again in ${event.restartInMs / 1000} s. Log: ${event.log}`);
}

process.exitCode = await main();
// The channel to scripts/start.js is no reason to stay.
if (process.connected) process.disconnect();
