import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, cpSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Orm } from '../../src/database/orm.ts';
import { signal } from '../../src/embedded/process-identity.ts';
import { faultMarker, type FaultPoint, faultRelease, type FaultStep, type FaultVictim, parseFaults } from '../../src/faults.ts';
import { gitEnvironment } from '../../src/git/git.ts';
import type { TestDatabase } from '../support/database.ts';
import { createTestDatabase } from '../support/database.ts';
import { createUser, password, publishDemoCourse } from '../support/factories.ts';
import { waitFor } from '../support/wait.ts';

const projectFolder = join(import.meta.dirname, '../..');

const programs = {
  api: 'src/api/server.ts',
  submissions: 'src/workers/submissions.ts',
  judging: 'src/workers/judging.ts',
  notifications: 'src/workers/notifications.ts',
} as const;

export type ProgramName = keyof typeof programs;
export type ProcessName = ProgramName | 'temporal';

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** The submission as the API shows it, as far as these tests look at it. */
export interface SubmissionAnswer {
  readonly stage: string;
  readonly conclusion: string | null;
  readonly commit: string;
  readonly checkRun: {
    readonly verdict: string;
    readonly sandbox: string;
    readonly tests: readonly { outcome: string }[];
  } | null;
}

/** How soon a process that crashed is started again, in ms; the launcher takes a second, and longer where it crashes often. */
const restartAfterMs = 250;

interface Child {
  readonly process: ChildProcess;
  /** Ended by the test: it stays down. */
  isStopping: boolean;
}

const isRunning = ({ exitCode, signalCode }: ChildProcess) => exitCode === null && signalCode === null;

/** What a test may choose of an academy. */
export interface AcademyOptions {
  /** Default: a database of its own on the PostgreSQL of all tests, which nobody may stop. */
  readonly database?: TestDatabase;
  /** Where each program may be made to die (src/faults.ts); none does before `arm`. */
  readonly faults?: Readonly<Partial<Record<ProgramName, readonly FaultName[]>>>;
}

/** `step:point:victim`. */
export type FaultName = `${FaultStep}:${FaultPoint}:${FaultVictim}`;

/**
 * A whole academy in processes of its own, each of which a test may kill. One that ends by itself, or by a signal that it did not get
 * from here, is started again, as by the launcher.
 */
export class Academy {
  readonly folder: string;
  readonly database: TestDatabase;
  readonly #ports: { readonly api: number; readonly temporal: number };
  readonly sandbox: string;
  readonly #settings: NodeJS.ProcessEnv;
  readonly #faults: NonNullable<AcademyOptions['faults']>;
  readonly #children = new Map<string, Child>();
  reviewerToken = '';
  adminToken = '';

  private constructor(
    folder: string,
    ports: { api: number; temporal: number },
    sandbox: string,
    settings: NodeJS.ProcessEnv,
    options: Required<AcademyOptions>,
  ) {
    this.folder = folder;
    this.database = options.database;
    this.#ports = ports;
    this.sandbox = sandbox;
    this.#settings = settings;
    this.#faults = options.faults;
    mkdirSync(join(this.dataFolder, 'faults'), { recursive: true });
    for (const fault of Object.values(options.faults).flat()) this.disarm(fault);
    mkdirSync(join(folder, 'logs'));
  }

  /** @param settings environment variables of all processes, beyond those that every academy needs. */
  static async start(
    sandbox: 'docker' | 'bubblewrap' | 'none',
    settings: NodeJS.ProcessEnv = {},
    options: AcademyOptions = {},
  ): Promise<Academy> {
    const { database = await createTestDatabase(), faults = {} } = options;
    await publishDemoCourse(database.orm);
    const folder = mkdtempSync(join(tmpdir(), 'atelier-e2e-'));
    const ports = { api: await freePort(), temporal: await freePort() };
    const academy = new Academy(folder, ports, sandbox, settings, { database, faults });
    try {
      academy.startProcess('temporal');
      for (const name of Object.keys(programs) as ProgramName[]) academy.startProcess(name);
      await academy.waitUntilReady();
      const reviewer = await createUser(database.orm, 'ACADEMY_REVIEWER');
      academy.reviewerToken = await academy.login(reviewer.email);
      const admin = await createUser(database.orm, 'SUPER_ADMIN');
      academy.adminToken = await academy.login(admin.email);
      return academy;
    } catch (error) {
      await academy.stop();
      throw error;
    }
  }

  get orm(): Orm {
    return this.database.orm;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#ports.api}`;
  }

  get temporalAddress(): string {
    return `127.0.0.1:${this.#ports.temporal}`;
  }

  get dataFolder(): string {
    return join(this.folder, 'data');
  }

  /** Until all parts that this academy has are there. */
  async waitUntilReady(): Promise<void> {
    const parts = this.sandbox === 'none' ? '"temporal":true' : '"sandbox":true';
    await waitFor(
      'the academy',
      async () => {
        const answer = await fetch(`${this.origin}/health/ready`).catch(() => null);
        return answer?.ok && (await answer.text()).includes(parts) ? true : null;
      },
      90_000,
    );
  }

  /**
   * @param settings on top of what all processes of this academy get, until it ends.
   * @param as the name of a second process of the same program.
   */
  startProcess(name: ProcessName, settings: Readonly<Record<string, string>> = {}, as: string = name): void {
    const log = openSync(this.#logFile(as), 'a');
    const [command, ...args] = this.#commandLine(name);
    const child = spawn(command, args, {
      env: this.#environmentOf(name, settings),
      // In a group of its own, what it starts itself can be ended with it; where we are killed, the channel tells it.
      detached: name !== 'temporal',
      stdio: name === 'temporal' ? ['ignore', log, log] : ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    const entry: Child = { process: child, isStopping: false };
    this.#children.set(as, entry);
    child.once('exit', () => {
      if (child.pid !== undefined && name !== 'temporal') signal(-child.pid, 'SIGKILL');
      if (entry.isStopping) return;
      setTimeout(() => {
        if (!entry.isStopping) this.startProcess(name, settings, as);
      }, restartAfterMs);
    });
  }

  #commandLine(name: ProcessName): [string, ...string[]] {
    if (name !== 'temporal') {
      const watcher = new URL('../../src/embedded/stop-with-parent.ts', import.meta.url).href;
      return [process.execPath, '--import', watcher, join(projectFolder, programs[name])];
    }
    return [
      process.env['TEST_TEMPORAL_CLI'] ?? 'temporal',
      ...['server', 'start-dev', '--headless', '--ip', '127.0.0.1', '--port', String(this.#ports.temporal)],
      ...['--log-level', 'error', '--db-filename', join(this.folder, 'temporal.db')],
    ];
  }

  #environmentOf(name: ProcessName, settings: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
    if (name === 'temporal') return { HOME: this.folder };
    const faults = this.#faults[name];
    return {
      PATH: process.env['PATH'],
      NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
      HOME: this.folder,
      ATELIER_DATABASE_URL: this.database.url,
      TEMPORAL_ADDRESS: this.temporalAddress,
      PORT: String(this.#ports.api),
      ATELIER_ORIGIN: this.origin,
      ATELIER_GIT_ORIGIN: this.origin,
      ATELIER_DATA: this.dataFolder,
      JWT_SECRET: 'a secret that only this test knows, long enough',
      SANDBOX: this.sandbox,
      // The same image as in all other tests.
      RUNNER_LANGUAGES: process.env['RUNNER_LANGUAGES'],
      RUNNER_BASE: process.env['RUNNER_BASE'],
      ...(faults !== undefined && { FAULT: faults.join(',') }),
      ...this.#settings,
      ...settings,
    };
  }

  #logFile(name: string): string {
    return join(this.folder, 'logs', `${name}.log`);
  }

  /** Process id of a process that runs. */
  pid(name: string): number | undefined {
    const child = this.#children.get(name)?.process;
    return child === undefined || !isRunning(child) ? undefined : child.pid;
  }

  /** Ends a process as a crash would, and leaves it down. */
  async kill(name: string): Promise<void> {
    await this.#end(name, 'SIGKILL');
  }

  /** Asks a process to stop, and waits for its end. Resolves to its exit code, null where it was killed. */
  async terminate(name: string): Promise<number | null> {
    return this.#end(name, 'SIGTERM');
  }

  async #end(name: string, how: NodeJS.Signals): Promise<number | null> {
    const child = this.#children.get(name);
    if (child === undefined) return null;
    child.isStopping = true;
    if (!isRunning(child.process)) return child.process.exitCode;
    const exited = once(child.process, 'exit');
    child.process.kill(how);
    const [code] = (await exited) as [number | null];
    return code;
  }

  /** Has a fault strike once, where its step is reached next. */
  arm(fault: FaultName): void {
    rmSync(faultRelease(this.#marker(fault)), { force: true });
    rmSync(this.#marker(fault), { force: true });
  }

  disarm(fault: FaultName): void {
    writeFileSync(this.#marker(fault), '');
  }

  /** When an armed fault has struck, and in which process; null where it has not yet. */
  struck(fault: FaultName): { at: number; pid: number } | null {
    try {
      const marker = this.#marker(fault);
      return { at: statSync(marker).mtimeMs, pid: Number(readFileSync(marker, 'utf8')) };
    } catch {
      return null;
    }
  }

  /** Lets a process go on that waits at a fault for a server's end. */
  letGo(fault: FaultName): void {
    writeFileSync(faultRelease(this.#marker(fault)), '');
  }

  #marker(fault: FaultName): string {
    const [parsed] = parseFaults(fault);
    if (parsed === undefined) throw new Error(`no fault: ${fault}`);
    return faultMarker(this.dataFolder, parsed);
  }

  async login(email: string): Promise<string> {
    const { accessToken } = (await this.post(null, '/api/auth/login', { email, password })).body as { accessToken: string };
    return accessToken;
  }

  async get<T>(token: string, path: string): Promise<T> {
    const answer = await fetch(this.origin + path, { headers: { authorization: `Bearer ${token}` } });
    if (!answer.ok) throw new Error(`GET ${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }

  async post(token: string | null, path: string, body: object, key = randomUUID()): Promise<{ status: number; body: unknown }> {
    const answer = await fetch(this.origin + path, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'idempotency-key': key,
        ...(token !== null && { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(body),
    });
    return { status: answer.status, body: answer.status === 204 ? null : await answer.json() };
  }

  /** A new student with the starter task and a clone of its repository. */
  async enrolStudent(): Promise<Student> {
    const email = `student-${randomBytes(4).toString('hex')}@example.test`;
    await this.post(null, '/api/auth/register', { email, name: 'E. Student', password });
    const token = await this.login(email);
    const { items } = await this.get<{ items: { id: string; cloneUrl: string; xp: number; exercise: { slug: string } }[] }>(
      token,
      '/api/tasks',
    );
    const [task] = items;
    if (task === undefined) throw new Error('no starter task');
    const { body } = await this.post(token, '/api/me/access-tokens', { name: 'e2e' });
    return new Student(this, token, task, (body as { token: string }).token, mkdtempSync(join(this.folder, 'student-')));
  }

  async waitForStage(token: string, submissionId: string, stage: string): Promise<SubmissionAnswer> {
    return waitFor(
      `stage ${stage} of ${submissionId}`,
      async () => {
        const submission = await this.get<SubmissionAnswer>(token, `/api/submissions/${submissionId}`).catch(() => null);
        return submission?.stage === stage ? submission : null;
      },
      90_000,
    );
  }

  /** Decides with one key until the answer is known, as a careful client does. */
  async decide(submissionId: string, outcome: 'APPROVED' | 'REJECTED'): Promise<void> {
    const key = randomUUID();
    await waitFor(
      'the decision',
      async () => {
        const answer = await this.post(this.reviewerToken, '/api/reviews', { submissionId, outcome, comment: 'e2e' }, key);
        if (answer.status === 201) return answer;
        if (answer.status !== 503) throw new Error(`POST /api/reviews: ${answer.status} ${JSON.stringify(answer.body)}`);
        return null;
      },
      60_000,
    );
  }

  query<T>(sql: string, parameters: unknown[] = []): Promise<T[]> {
    return this.database.orm.em.fork().execute<T[]>(sql, parameters);
  }

  log(name: ProcessName): string {
    return readFileSync(this.#logFile(name), 'utf8');
  }

  mailbox(): string {
    return join(this.dataFolder, 'mailbox');
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#children.keys()].map((name) => this.kill(name)));
    await this.database.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** One student with a clone of one task's repository. */
export class Student {
  readonly #academy: Academy;
  readonly token: string;
  readonly task: { readonly id: string; readonly xp: number; readonly exercise: { readonly slug: string } };
  readonly #work: string;
  readonly #environment: NodeJS.ProcessEnv;

  constructor(
    academy: Academy,
    token: string,
    task: { id: string; cloneUrl: string; xp: number; exercise: { slug: string } },
    accessToken: string,
    folder: string,
  ) {
    this.#academy = academy;
    this.token = token;
    this.task = task;
    this.#work = join(folder, 'work');
    const authorization = Buffer.from(`student:${accessToken}`).toString('base64');
    this.#environment = {
      ...gitEnvironment(),
      GIT_CONFIG_PARAMETERS: `'http.extraHeader'='Authorization: Basic ${authorization}'`,
    };
    this.#git('clone', '--quiet', task.cloneUrl, this.#work);
  }

  #git(...args: string[]): string {
    return execFileSync('git', args, { env: this.#environment, encoding: 'utf8', stdio: 'pipe' }).trim();
  }

  /** Copies the reference solution into the clone. */
  solve(): void {
    const solution = join(projectFolder, 'content/demo/exercises', this.task.exercise.slug, 'solution');
    cpSync(solution, this.#work, { recursive: true });
  }

  read(path: string): string {
    return readFileSync(join(this.#work, path), 'utf8');
  }

  write(path: string, content: string | Uint8Array): void {
    writeFileSync(join(this.#work, path), content);
  }

  /** Commits and pushes all; returns the commit. */
  push(): string {
    this.#git('-C', this.#work, 'add', '--all');
    this.#git('-C', this.#work, 'commit', '--quiet', '-m', 'Work');
    this.#git('-C', this.#work, 'push', '--quiet', 'origin', 'HEAD:main');
    return this.#git('-C', this.#work, 'rev-parse', 'HEAD');
  }

  /** Puts another history in the place of what was pushed. */
  forcePush(): string {
    this.#git('-C', this.#work, 'commit', '--quiet', '--amend', '--allow-empty', '-m', 'Another history');
    this.#git('-C', this.#work, 'push', '--quiet', '--force', 'origin', 'HEAD:main');
    return this.#git('-C', this.#work, 'rev-parse', 'HEAD');
  }

  async submit(): Promise<string> {
    const { status, body } = await this.#academy.post(this.token, `/api/tasks/${this.task.id}/submit`, {});
    if (status !== 202) throw new Error(`submit: ${status} ${JSON.stringify(body)}`);
    return (body as { submissionId: string }).submissionId;
  }

  async xp(): Promise<number> {
    return (await this.#academy.get<{ xp: number }>(this.token, '/api/me')).xp;
  }
}
