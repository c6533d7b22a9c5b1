import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Orm } from '../../src/database/orm.ts';
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

export type ProcessName = keyof typeof programs | 'temporal';

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

/** A whole academy in processes of its own, each of which a test may kill. */
export class Academy {
  readonly #folder: string;
  readonly #database: TestDatabase;
  readonly #ports: { readonly api: number; readonly temporal: number };
  readonly #sandbox: string;
  readonly #settings: NodeJS.ProcessEnv;
  readonly #children = new Map<ProcessName, ChildProcess>();
  reviewerToken = '';

  private constructor(
    folder: string,
    database: TestDatabase,
    ports: { api: number; temporal: number },
    sandbox: string,
    settings: NodeJS.ProcessEnv,
  ) {
    this.#folder = folder;
    this.#database = database;
    this.#ports = ports;
    this.#sandbox = sandbox;
    this.#settings = settings;
  }

  /** @param settings environment variables of all processes, beyond those that every academy needs. */
  static async start(sandbox: 'docker' | 'bubblewrap' | 'none', settings: NodeJS.ProcessEnv = {}): Promise<Academy> {
    const database = await createTestDatabase();
    await publishDemoCourse(database.orm);
    const folder = mkdtempSync(join(tmpdir(), 'atelier-e2e-'));
    const academy = new Academy(folder, database, { api: await freePort(), temporal: await freePort() }, sandbox, settings);
    academy.startProcess('temporal');
    for (const name of Object.keys(programs) as (keyof typeof programs)[]) academy.startProcess(name);
    const parts = sandbox === 'none' ? '"temporal":true' : '"sandbox":true';
    await waitFor(
      'the academy',
      async () => {
        const answer = await fetch(`${academy.origin}/health/ready`).catch(() => null);
        return answer?.ok && (await answer.text()).includes(parts) ? true : null;
      },
      60_000,
    );
    const reviewer = await createUser(database.orm, 'ACADEMY_REVIEWER');
    academy.reviewerToken = await academy.login(reviewer.email);
    return academy;
  }

  get orm(): Orm {
    return this.#database.orm;
  }

  get temporalAddress(): string {
    return `127.0.0.1:${this.#ports.temporal}`;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#ports.api}`;
  }

  startProcess(name: ProcessName, settings: Readonly<Record<string, string>> = {}): void {
    const environment = {
      PATH: process.env['PATH'],
      HOME: this.#folder,
      ATELIER_DATABASE_URL: this.#database.url,
      TEMPORAL_ADDRESS: this.temporalAddress,
      PORT: String(this.#ports.api),
      ATELIER_ORIGIN: this.origin,
      ATELIER_GIT_ORIGIN: this.origin,
      ATELIER_DATA: join(this.#folder, 'data'),
      JWT_SECRET: 'a secret that only this test knows, long enough',
      SANDBOX: this.#sandbox,
      ...this.#settings,
      ...settings,
    };
    const child =
      name === 'temporal'
        ? spawn(process.env['TEST_TEMPORAL_CLI'] ?? 'temporal', this.#temporalArguments(), {
            env: { HOME: this.#folder },
            stdio: 'pipe',
          })
        : spawn(process.execPath, [join(projectFolder, programs[name])], { env: environment, stdio: 'pipe' });
    mkdirSync(join(this.#folder, 'logs'), { recursive: true });
    const log = createWriteStream(join(this.#folder, 'logs', `${name}.log`), { flags: 'a' });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    this.#children.set(name, child);
  }

  #temporalArguments(): string[] {
    return [
      ...[
        'server',
        'start-dev',
        '--headless',
        '--ip',
        '127.0.0.1',
        '--port',
        String(this.#ports.temporal),
        '--log-level',
        'error',
      ],
      ...['--db-filename', join(this.#folder, 'temporal.db')],
    ];
  }

  /** Ends a process as a crash would. */
  async kill(name: ProcessName): Promise<void> {
    const child = this.#children.get(name);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** Asks a process to stop, and waits for its end. Resolves to its exit code, null where it was killed. */
  async terminate(name: ProcessName): Promise<number | null> {
    const child = this.#children.get(name);
    if (child === undefined) throw new Error(`${name} does not run`);
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const [code] = (await exited) as [number | null];
    return code;
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
    return new Student(this, token, task, (body as { token: string }).token, mkdtempSync(join(this.#folder, 'student-')));
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

  query<T>(sql: string, parameters: string[]): Promise<T[]> {
    return this.#database.orm.em.fork().execute<T[]>(sql, parameters);
  }

  log(name: ProcessName): string {
    return readFileSync(join(this.#folder, 'logs', `${name}.log`), 'utf8');
  }

  mailbox(): string {
    return join(this.#folder, 'data', 'mailbox');
  }

  async stop(): Promise<void> {
    for (const name of this.#children.keys()) await this.kill(name);
    await this.#database.close();
    rmSync(this.#folder, { recursive: true, force: true });
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

  write(path: string, content: string): void {
    writeFileSync(join(this.#work, path), content);
  }

  /** Commits and pushes all; returns the commit. */
  push(): string {
    this.#git('-C', this.#work, 'add', '--all');
    this.#git('-C', this.#work, 'commit', '--quiet', '-m', 'Work');
    this.#git('-C', this.#work, 'push', '--quiet', 'origin', 'HEAD:main');
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
