import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { RememberedPorts } from '../src/embedded/ports.ts';
import { openPostgres } from '../src/embedded/postgres.ts';
import { type Em, openOrm } from '../src/database/orm.ts';
import { endLeftovers } from '../src/embedded/supervisor.ts';
import type { Sandbox } from '../src/sandbox/sandbox.ts';
import { readCourseContent } from '../src/services/content.ts';
import { enrol } from '../src/services/enrolments.ts';
import { publishCourse } from '../src/services/publish.ts';

const projectFolder = join(import.meta.dirname, '..');
const startTimeoutMs = 180_000;

const Address = z.object({ origin: z.string() });
const Processes = z.record(z.string(), z.number().int());
const Me = z.object({ id: z.string() });
const Login = z.object({ accessToken: z.string() });
const Token = z.object({ token: z.string() });
const Task = z.object({ id: z.string(), cloneUrl: z.string(), exercise: z.object({ slug: z.string() }) });
const Courses = z.object({
  items: z.array(z.object({ exercises: z.array(z.object({ id: z.string(), slug: z.string() })) })),
});
const ownCourse = 'benchmark';
const Accepted = z.object({ submissionId: z.string() });

/** A task of a student, with something pushed that can be submitted again and again. */
export interface ReadyTask {
  readonly slug: string;
  /** Resolves when the api has answered 202. */
  submit(): Promise<string>;
}

/** What a student pushes: the starter, with a note and without these files. */
export interface PushedWork {
  readonly slug: string;
  readonly without: readonly string[];
}

/** A whole academy as `npm start` runs it, in a folder of its own: embedded PostgreSQL (durable), Temporal, api and workers. */
export class BenchAcademy {
  readonly #folder = mkdtempSync(join(tmpdir(), 'atelier-bench-academy-'));
  #process: ChildProcess | undefined;
  #origin = '';
  databaseUrl = '';

  /** @throws Error with the launcher's last words where it does not come up. */
  async start(sandbox: Sandbox['kind'], signal: AbortSignal): Promise<void> {
    // Passed through by user `postgres` where root runs this.
    chmodSync(this.#folder, 0o711);
    const log = openSync(this.#log, 'a');
    this.#process = spawn(process.execPath, [join(projectFolder, 'src/main.ts')], {
      env: {
        ...process.env,
        ATELIER_DATA: this.#folder,
        PORT: '0',
        SANDBOX: sandbox,
        ATELIER_INSTALL: 'no',
        LOG_LEVEL: 'warn',
        // Whatever the user has set up for an academy of their own is not touched.
        ...Object.fromEntries(['ATELIER_DATABASE_URL', 'DATABASE_URL', 'TEMPORAL_ADDRESS', 'SMTP_URL'].map((name) => [name, ''])),
      },
      // By the channel it notices our end.
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    const address = join(this.#folder, 'run', 'address.json');
    const deadline = Date.now() + startTimeoutMs;
    while (!existsSync(address)) {
      signal.throwIfAborted();
      if (this.#process.exitCode !== null || Date.now() > deadline) throw new Error(`the academy does not start:\n${this.log()}`);
      await sleep(200);
    }
    this.#origin = Address.parse(JSON.parse(readFileSync(address, 'utf8'))).origin;
    // It runs already, and is adopted for its address.
    const ports = new RememberedPorts(join(this.#folder, 'ports.json'));
    const postgres = await openPostgres({ dataFolder: this.#folder, durable: true, ports, install: false, say: () => undefined });
    this.databaseUrl = postgres.url('atelier');
    const content = await readCourseContent(join(import.meta.dirname, 'course'));
    await this.#inDatabase((em) => publishCourse(em, content, { isDefault: false }));
  }

  /** Registers a student who has pushed to each exercise what lets its checks run and some tests fail. */
  async student(work: readonly PushedWork[]): Promise<readonly ReadyTask[]> {
    const email = `bench-${randomBytes(6).toString('hex')}@example.test`;
    const password = randomBytes(12).toString('base64url');
    await this.#call('POST', '/api/auth/register', '', { email, name: 'B. Student', password });
    const { accessToken } = Login.parse(await this.#call('POST', '/api/auth/login', '', { email, password }));
    const { id: userId } = Me.parse(await this.#call('GET', '/api/me', accessToken));
    await this.#inDatabase((em) => enrol(em, { userId, courseSlug: ownCourse }));
    const { items } = Courses.parse(await this.#call('GET', '/api/courses', accessToken));
    const exercises = items.flatMap((course) => course.exercises);
    const { token } = Token.parse(await this.#call('POST', '/api/me/access-tokens', accessToken, { name: 'bench' }));
    const tasks: ReadyTask[] = [];
    for (const { slug, without } of work) {
      const exerciseId = exercises.find((exercise) => exercise.slug === slug)?.id;
      if (exerciseId === undefined) throw new Error(`no exercise ${slug}`);
      const task = Task.parse(await this.#call('POST', '/api/tasks', accessToken, { exerciseId }));
      this.#push(task, token, without);
      const submit = async () => {
        const answer = Accepted.parse(await this.#call('POST', `/api/tasks/${task.id}/submit`, accessToken, {}));
        return answer.submissionId;
      };
      tasks.push({ slug, submit });
    }
    return tasks;
  }

  /** Process ids of its parts, by name. */
  processes(): Readonly<Record<string, number>> {
    const { launcher: _, ...parts } = Processes.parse(
      JSON.parse(readFileSync(join(this.#folder, 'run', 'processes.json'), 'utf8')),
    );
    return parts;
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    }
    await endLeftovers(this.#folder);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  log(): string {
    return readFileSync(this.#log, 'utf8').slice(-4_000);
  }

  get #log(): string {
    return join(this.#folder, 'launcher.log');
  }

  async #call(method: 'GET' | 'POST', path: string, token: string, body?: object): Promise<unknown> {
    const answer = await fetch(this.#origin + path, {
      method,
      headers: {
        ...(token !== '' && { authorization: `Bearer ${token}` }),
        ...(method === 'POST' && { 'content-type': 'application/json', 'idempotency-key': randomBytes(16).toString('hex') }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${(await answer.text()).slice(0, 500)}`);
    return answer.json();
  }

  async #inDatabase<T>(use: (em: Em) => Promise<T>): Promise<T> {
    const orm = await openOrm(this.databaseUrl);
    try {
      return await use(orm.em.fork());
    } finally {
      await orm.close();
    }
  }

  #push(task: z.output<typeof Task>, token: string, without: readonly string[]): void {
    const folder = mkdtempSync(join(this.#folder, 'work-'));
    const authorization = Buffer.from(`student:${token}`).toString('base64');
    const env = {
      PATH: process.env['PATH'],
      HOME: folder,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
      GIT_CONFIG_COUNT: '3',
      GIT_CONFIG_KEY_0: 'http.extraHeader',
      GIT_CONFIG_VALUE_0: `Authorization: Basic ${authorization}`,
      GIT_CONFIG_KEY_1: 'user.name',
      GIT_CONFIG_VALUE_1: 'B. Student',
      GIT_CONFIG_KEY_2: 'user.email',
      GIT_CONFIG_VALUE_2: 'bench@example.test',
    };
    const git = (...args: string[]) => {
      const { status, stderr } = spawnSync('git', args, { cwd: folder, env, encoding: 'utf8' });
      if (status !== 0) throw new Error(`git ${args[0]}: ${stderr}`);
    };
    const work = join(folder, 'work');
    git('clone', '--quiet', task.cloneUrl, work);
    for (const path of without) rmSync(join(work, path));
    writeFileSync(join(work, 'NOTES.md'), 'To be continued.\n');
    git('-C', work, 'add', '--all');
    git('-C', work, 'commit', '--quiet', '-m', 'A beginning');
    git('-C', work, 'push', '--quiet', 'origin', 'HEAD:main');
  }
}
