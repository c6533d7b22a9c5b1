#!/usr/bin/env node
/**
 * `npm run demo`: drives the whole loop through the public API of a running academy, as a new student, and prints each step as it
 * happens. Exit code 0: all went as it should; 1: something did not; 2: the academy has no sandbox, so nothing can be judged.
 *
 * Plain JavaScript for Node 20, without packages: it runs wherever the academy is reached from, with git beside it.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { exitWith, projectFolder, Refusal, say } from './bootstrap.js';

const help = `npm run demo -- [options]

  --url ORIGIN                  the academy (default: the one that npm start runs from here)
  --data DIR                    its data folder, for the accounts (or ATELIER_DATA; default .atelier in this project)
  --admin-email EMAIL           for another academy: who decides (default admin@example.test)
  --admin-password-file FILE    for another academy: a file with that account's password
  --help`;

/** Longest wait for one submission's next stage, and for a part that is still starting. */
const stageTimeoutMs = 180_000;
const startTimeoutMs = 45_000;

const content = join(projectFolder, 'content', 'demo', 'exercises');
const started = Date.now();

/** Prints one step with the seconds since the start. */
function step(text) {
  say(`${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s  ${text}`);
}

function check(isRight, what) {
  if (!isRight) throw new Refusal(`The demo expected ${what}.`);
}

/** A client of the public API for one account; it throws a Refusal with the problem document's own words. */
function createClient(origin) {
  let token;
  async function call(method, path, body, headers = {}) {
    let response;
    try {
      response = await fetch(`${origin}${path}`, {
        method,
        headers: {
          ...(token && { authorization: `Bearer ${token}` }),
          ...(body && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body && { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(30_000),
      });
    } catch (error) {
      throw new Away(`${origin} does not answer (${error.cause?.code ?? error.message}). Start the academy first: npm start`);
    }
    const answer = response.status === 204 ? undefined : await response.json();
    if (response.ok) return answer;
    const what = `${method} ${path}: ${response.status} ${answer?.detail ?? ''}`;
    throw response.status === 503 ? new Away(what) : new Refusal(what);
  }
  return {
    /** Asks once: for the first contact, where no answer means that there is no academy. */
    getOnce: (path) => call('GET', path),
    get: (path) => patiently(() => call('GET', path)),
    /** One key for all tries: asking again has no second effect, whatever became of the first. */
    post(path, body) {
      const key = randomBytes(16).toString('hex');
      return patiently(() => call('POST', path, body, { 'idempotency-key': key }));
    },
    async login(email, password) {
      token = (await patiently(() => call('POST', '/api/auth/login', { email, password }))).accessToken;
    },
  };
}

/** A part of the academy is away: asking again is right. */
class Away extends Refusal {}

/** Repeats a request while the academy, or a part of it, is away. */
async function patiently(ask) {
  const deadline = Date.now() + stageTimeoutMs;
  for (let tries = 0; ; tries += 1) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof Away) || Date.now() > deadline) throw error;
      if (tries === 0) step(`  away: ${error.message.split('. ')[0]}; asking again until it answers`);
      await sleep(1_000);
    }
  }
}

/** A student's clone of a task's repository; the access token goes in by the environment, never by the address. */
function cloneTask(task, accessToken, folder) {
  const authorization = Buffer.from(`student:${accessToken}`).toString('base64');
  const env = {
    PATH: process.env['PATH'],
    HOME: folder,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_CONFIG_COUNT: '3',
    GIT_CONFIG_KEY_0: 'http.extraHeader',
    GIT_CONFIG_VALUE_0: `Authorization: Basic ${authorization}`,
    GIT_CONFIG_KEY_1: 'user.name',
    GIT_CONFIG_VALUE_1: 'Demo Student',
    GIT_CONFIG_KEY_2: 'user.email',
    GIT_CONFIG_VALUE_2: 'demo@example.test',
  };
  const git = (...args) => {
    const result = spawnSync('git', args, { cwd: folder, env, encoding: 'utf8' });
    if (result.error) throw new Refusal(`git could not be run: ${result.error.message}`);
    if (result.status !== 0) throw new Refusal(`git ${args[0]} failed:\n${result.stderr}`);
    return result.stdout.trim();
  };
  const work = join(folder, task.exercise.slug);
  git('clone', '--quiet', task.cloneUrl, work);
  return {
    folder: work,
    push(message) {
      git('-C', work, 'add', '--all');
      git('-C', work, 'commit', '--quiet', '-m', message);
      git('-C', work, 'push', '--quiet', 'origin', 'HEAD:main');
      return git('-C', work, 'rev-parse', '--short', 'HEAD');
    },
  };
}

const useSolution = (slug, work) => cpSync(join(content, slug, 'solution'), work, { recursive: true });

/** Waits until the submission is at one of `stages`, printing every stage that it passes. */
async function waitForStage(student, submissionId, stages) {
  const deadline = Date.now() + stageTimeoutMs;
  let shown;
  for (;;) {
    const submission = await student.get(`/api/submissions/${submissionId}`);
    if (submission.stage !== shown) step(`  ${submission.stage}${submission.conclusion ? ` (${submission.conclusion})` : ''}`);
    shown = submission.stage;
    if (stages.includes(submission.stage)) return submission;
    if (submission.stage === 'PARKED') throw new Refusal("The submission is parked: an admin sees why in Temporal's web UI.");
    check(Date.now() < deadline, `stage ${stages.join(' or ')} within ${stageTimeoutMs / 1000} s, but it is still ${shown}`);
    await sleep(300);
  }
}

async function submit(student, task) {
  const { submissionId, attemptNo } = await student.post(`/api/tasks/${task.id}/submit`, {});
  step(`submitted "${task.exercise.title}", attempt ${attemptNo}: ${submissionId}`);
  return submissionId;
}

/** Submits, waits for the checks to pass, has the reviewer decide, and checks what the student then sees. */
async function submitAndDecide(student, reviewer, task, outcome, comment) {
  const submissionId = await submit(student, task);
  const checked = await waitForStage(student, submissionId, ['AWAITING_REVIEW', 'CLOSED']);
  check(checked.stage === 'AWAITING_REVIEW', `the checks to pass, but the verdict is ${checked.checkRun?.verdict}`);
  step(`  ${checked.checkRun.tests.length} tests passed (${checked.checkRun.sandbox}); answer due by ${checked.answerDueAt}`);
  const queue = await reviewer.get('/api/reviews/queue?limit=100');
  check(
    queue.items.some((entry) => entry.submissionId === submissionId),
    "the submission in the reviewer's queue",
  );
  await reviewer.post('/api/reviews', { submissionId, outcome, comment });
  step(`  the reviewer decided: ${outcome}`);
  const closed = await student.get(`/api/submissions/${submissionId}`);
  check(closed.stage === 'CLOSED' && closed.review?.outcome === outcome, `the submission closed as ${outcome}`);
  step(`  ${closed.stage} (${closed.conclusion}): "${closed.review.comment}"`);
}

/** Whether there is something to judge with; a part that is still starting gets its time. */
async function waitForSandbox(student) {
  const deadline = Date.now() + startTimeoutMs;
  for (;;) {
    const { parts } = await student.getOnce('/health/ready');
    if (parts.temporal && parts.sandbox) return true;
    if (Date.now() > deadline) {
      check(parts.temporal, 'Temporal to be up');
      return false;
    }
    await sleep(1_000);
  }
}

/** Where the academy is and who decides there. */
function readTarget(options) {
  const data = resolve(options.data ?? (process.env['ATELIER_DATA'] || join(projectFolder, '.atelier')));
  if (options['admin-password-file'] !== undefined) {
    check(options.url !== undefined, 'an --url beside --admin-password-file');
    const password = readFileSync(options['admin-password-file'], 'utf8').trim();
    return { origin: options.url, reviewer: { email: options['admin-email'] ?? 'admin@example.test', password } };
  }
  const file = join(data, 'accounts.json');
  if (!existsSync(file)) throw new Refusal(`There is no academy in ${data} yet. Start one first: npm start`);
  const accounts = JSON.parse(readFileSync(file, 'utf8'));
  const origin = options.url ?? JSON.parse(readFileSync(join(data, 'run', 'address.json'), 'utf8')).origin;
  return { origin, reviewer: accounts.find((account) => account.role === 'ACADEMY_REVIEWER') };
}

async function runDemo(origin, reviewerAccount, folder) {
  const student = createClient(origin);
  const reviewer = createClient(origin);
  step(`the academy at ${origin}`);
  if (!(await waitForSandbox(student))) {
    say('\nThis academy has no sandbox, so nothing can be judged: submissions would wait in QUEUED.');
    say('Start Docker, or install bubblewrap (apt-get install -y bubblewrap python3), and run the demo again.');
    return 2;
  }

  const email = `demo-${randomBytes(4).toString('hex')}@example.test`;
  const password = randomBytes(12).toString('base64url');
  await student.post('/api/auth/register', { email, name: 'Dana Demo', password });
  await student.login(email, password);
  await reviewer.login(reviewerAccount.email, reviewerAccount.password);
  step(`registered ${email}: enrolled, with the starter task`);
  const { token } = await student.post('/api/me/access-tokens', { name: 'demo', expiresInDays: 1 });
  const { items: courses } = await student.get('/api/courses');
  const { items: tasks } = await student.get('/api/tasks');
  const starter = tasks[0];
  check(starter !== undefined, 'a starter task');
  const exercises = courses.find((course) => course.slug === starter.courseSlug)?.exercises ?? [];
  const startTask = (slug) =>
    student.post('/api/tasks', { exerciseId: exercises.find((exercise) => exercise.slug === slug)?.id });

  say('\n1. A good submission');
  let repository = cloneTask(starter, token, folder);
  step(`cloned ${starter.cloneUrl}`);
  useSolution(starter.exercise.slug, repository.folder);
  step(`pushed ${repository.push('Solve the exercise')}`);
  await submitAndDecide(student, reviewer, starter, 'APPROVED', 'Clear names, small functions. Well done.');

  say('\n2. One that fails its checks, is fixed and submitted again');
  const garden = await startTask('balcony-garden');
  repository = cloneTask(garden, token, folder);
  useSolution(garden.exercise.slug, repository.folder);
  const file = join(repository.folder, 'src', 'garden.py');
  const right = readFileSync(file, 'utf8');
  const wrong = right.replace('if plant.place != "balcony":', 'if plant.place not in PLACES:');
  check(wrong !== right, 'the solution to have a line to spoil');
  writeFileSync(file, wrong);
  step(`pushed ${repository.push('Rain waters every plant')}`);
  const failed = await waitForStage(student, await submit(student, garden), ['AWAITING_REVIEW', 'CLOSED']);
  check(failed.conclusion === 'checks-failed', 'the checks to fail');
  const missed = failed.checkRun.tests.filter((test) => test.outcome === 'failed');
  step(`  verdict ${failed.checkRun.verdict}: ${missed.map((test) => test.name).join(', ')}`);
  writeFileSync(file, right);
  step(`pushed ${repository.push('Rain does not reach plants indoors')}`);
  await submitAndDecide(student, reviewer, garden, 'APPROVED', 'The fix is right.');

  say('\n3. One that a reviewer rejects, and then approves');
  const lockers = await startTask('parcel-lockers');
  repository = cloneTask(lockers, token, folder);
  useSolution(lockers.exercise.slug, repository.folder);
  step(`pushed ${repository.push('Solve the exercise')}`);
  await submitAndDecide(student, reviewer, lockers, 'REJECTED', 'It works; say in the README how prices are made.');
  writeFileSync(join(repository.folder, 'README.md'), '# Parcel lockers\n\nThe price is that of the parcel, per day begun.\n');
  step(`pushed ${repository.push('Explain the prices')}`);
  await submitAndDecide(student, reviewer, lockers, 'APPROVED', 'Thank you, now it is clear.');

  say('\n4. What the student has');
  const me = await student.get('/api/me');
  const expected = [starter, garden, lockers].reduce((sum, task) => sum + task.xp, 0);
  step(`${me.xp} XP of ${expected} expected, each task counted once`);
  check(me.xp === expected, `${expected} XP`);
  const { items: notifications } = await student.get('/api/notifications?limit=50');
  step(`notifications: ${notifications.map((notification) => notification.kind).join(', ')}`);
  say(`\nThe loop runs. ${((Date.now() - started) / 1000).toFixed(1)} s`);
  return 0;
}

await exitWith(async () => {
  const { values: options } = parseArgs({
    options: {
      url: { type: 'string' },
      data: { type: 'string' },
      'admin-email': { type: 'string' },
      'admin-password-file': { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (options.help) {
    say(help);
    return 0;
  }
  const { origin, reviewer } = readTarget(options);
  const folder = mkdtempSync(join(tmpdir(), 'atelier-demo-'));
  try {
    return await runDemo(origin.replace(/\/+$/, ''), reviewer, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
