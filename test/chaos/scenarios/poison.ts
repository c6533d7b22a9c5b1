import { randomBytes } from 'node:crypto';
import { createTemporalClient } from '../../../src/temporal/client.ts';
import type { Student } from '../../end-to-end/academy.ts';
import { selectExerciseId } from '../../support/factories.ts';
import type { Expected } from '../invariants.ts';
import { waitFor } from '../../support/wait.ts';
import { askUntilKnown, createPerson, waitForStages, Writer } from '../people.ts';
import { observe, type Outcome, type World } from '../world.ts';

/** As many judgings end in one way or another in this time as there are here, one after the other and each at its limits. */
const patienceMs = 900_000;

/** Where a submission rests: it needs nobody but people. */
const restingStages = ['CLOSED', 'AWAITING_REVIEW', 'PARKED'];

interface Poison {
  readonly what: string;
  readonly submit: (world: World) => Promise<string>;
  readonly end: Expected;
  /** The stage it rests in, and of checks that failed the verdicts that tell the truth; another one is a broken promise. */
  readonly stage: 'CLOSED' | 'PARKED';
  readonly verdicts?: readonly string[];
}

/** Code in place of the exercise's own file. */
const source = (text: string) => async (world: World) => (await Writer.enrol(world.academy)).submit(text);

/** A commit that is pushed. */
const pushed = (change: (student: Student) => void) => async (world: World) => {
  // A machine that is busy with poison may cut a connection that was idle: another student then.
  const student = await waitFor('a student with a clone', () => world.academy.enrolStudent().catch(() => null), 120_000);
  student.solve();
  change(student);
  student.push();
  return submitTask(world.academy, student.task.id, student.token);
};

const failed = { end: 'checks-failed', stage: 'CLOSED' } as const;
const unavailable = { end: 'source-unavailable', stage: 'CLOSED' } as const;

const poisons: readonly Poison[] = [
  { what: 'a repository that is not there', submit: submitUnreachable, ...unavailable },
  {
    what: 'a commit of 17 MB',
    submit: pushed((student) => student.write('big.bin', randomBytes(17 * 1024 * 1024))),
    ...unavailable,
  },
  { what: 'an endless loop', submit: source('for (;;);'), ...failed, verdicts: ['time-limit'] },
  {
    what: 'a flood of output',
    submit: source("import { writeSync } from 'node:fs';\nfor (;;) try { writeSync(1, 'x'.repeat(65536)); } catch {}"),
    ...failed,
    verdicts: ['output-limit', 'time-limit'],
  },
  {
    what: 'an end of all that it may end',
    submit: source("process.kill(-1, 'SIGKILL');"),
    ...failed,
    verdicts: ['run-error', 'wrong-answer', 'check-failed'],
  },
  {
    what: 'files that are no UTF-8',
    submit: pushed((student) => student.write('src/board.js', Buffer.from([0xc3, 0x28, 0xff, 0xfe, 0x00, 0x80]))),
    ...failed,
    verdicts: ['run-error', 'wrong-answer', 'check-failed', 'compile-error'],
  },
  { what: 'a linter that cannot start', submit: submitToBrokenExercise, end: 'open', stage: 'PARKED' },
  {
    what: 'a fork bomb',
    submit: source(
      "import { spawn } from 'node:child_process';\nfor (;;) spawn('/bin/sh', ['-c', ':(){ :|:& };:']).on('error', () => {});",
    ),
    ...failed,
    verdicts: ['run-error', 'time-limit', 'memory-limit', 'wrong-answer', 'check-failed'],
  },
  {
    what: 'a memory bomb',
    submit: source('const all = [];\nfor (;;) all.push(Buffer.alloc(8 * 1024 * 1024, 1));'),
    ...failed,
    verdicts: ['memory-limit', 'run-error'],
  },
  {
    what: 'a report of its own that is none',
    submit: source("import { writeSync } from 'node:fs';\nwriteSync(3, '<testsuites><testcase name=\"x');\nprocess.exit(0);"),
    ...failed,
    verdicts: ['run-error', 'wrong-answer', 'check-failed'],
  },
];

/** The source is on another host, which does not have it, or is not reached at all. */
async function submitUnreachable({ academy }: World): Promise<string> {
  const { taskId, token } = await Writer.enrol(academy);
  const repoUrl = 'https://codeberg.org/nobody-at-all/not-there-at-all';
  await askUntilKnown(academy, { method: 'PATCH', path: `/api/tasks/${taskId}`, token, body: { repoUrl } });
  return submitTask(academy, taskId, token);
}

/** The exercise's own configuration is broken, so that each judging of it is our own trouble. */
async function submitToBrokenExercise({ academy }: World): Promise<string> {
  const exerciseId = await selectExerciseId(academy.orm, 'parcel-lockers');
  await academy.query(
    `update catalogue.revision_files set content = '{' where role = 'configuration'
     and revision_id in (select id from catalogue.exercise_revisions where exercise_id = ?)`,
    [exerciseId],
  );
  const { token } = await createPerson(academy, 'CODING_STUDENT');
  const { body } = await askUntilKnown(academy, { path: '/api/tasks', token, body: { exerciseId } });
  const taskId = String(body['id']);
  const draft = await askUntilKnown(academy, { path: '/api/submissions', token, body: { taskId } });
  const path = `/api/submissions/${String(draft.body['id'])}`;
  await askUntilKnown(academy, { method: 'PATCH', path, token, body: { content: { documentation: 'as it was given' } } });
  return submitTask(academy, taskId, token);
}

async function submitTask(academy: World['academy'], taskId: string, token: string): Promise<string> {
  const answer = await askUntilKnown(academy, { path: `/api/tasks/${taskId}/submit`, token });
  if (answer.status !== 202) throw new Error(`submit: ${answer.status} ${JSON.stringify(answer.body)}`);
  return String(answer.body['submissionId']);
}

/**
 * P16: ten submissions that do all they can beside good ones. Each ends with a verdict, as `source-unavailable` or parked, in few attempts;
 * the good ones are judged as ever, and wait for no more than the poison's own time with the judges.
 *
 * @param size.good how many good ones, first alone and then beside the poison.
 */
export function poisonIsContained(world: World, size: { good: number }): Promise<Outcome> {
  const { academy, acknowledged } = world;

  async function enrolGood(): Promise<Writer[]> {
    const writers: Writer[] = [];
    for (let count = 0; count < size.good; count += 1) writers.push(await Writer.enrol(academy));
    return writers;
  }

  async function submitGood(writers: readonly Writer[]): Promise<string[]> {
    const ids = await Promise.all(writers.map((writer) => writer.submit()));
    for (const id of ids) acknowledged.set(id, 'open');
    return ids;
  }

  return observe(world, `P16 poison is contained (${poisons.length} beside ${size.good})`, async () => {
    const violations: string[] = [];
    const alone = await submitGood(await enrolGood());
    await waitForStages(academy, alone, ['AWAITING_REVIEW'], patienceMs);

    const others = await enrolGood();
    const poisonous = Promise.all(poisons.map(({ submit }) => submit(world)));
    const [poisoned, beside] = await Promise.all([poisonous, submitGood(others)]);
    poisons.forEach(({ end }, index) => acknowledged.set(poisoned[index] ?? '', end));
    await waitForStages(academy, [...poisoned, ...beside], restingStages, patienceMs);

    for (const [index, { what, stage, verdicts }] of poisons.entries()) {
      const id = poisoned[index] ?? '';
      const [found] = await academy.query<{ stage: string; verdict: string | null }>(
        `select s.stage, c.verdict from submissions.submissions s
         left join submissions.check_runs c on c.submission_id = s.id where s.id = ?`,
        [id],
      );
      const isRight = found?.stage === stage && (verdicts?.includes(found.verdict ?? '') ?? found.verdict === null);
      if (!isRight) violations.push(`${what} came out as ${found?.stage} with verdict ${found?.verdict}`);
    }
    violations.push(...(await historyViolations(world, [...poisoned, ...beside])));

    const baselineMs = await p95(world, alone);
    const besideMs = await p95(world, beside);
    const poisonMs = await judgingTime(world, poisoned);
    // One judge at least is free of poison half the time: what is more than that was no waiting in line.
    if (besideMs > 2 * baselineMs + poisonMs) violations.push('the good ones waited longer than the poison was judged');
    const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
    const ratio = (besideMs / baselineMs).toFixed(2);
    const note = `p95 of the good ones ${seconds(baselineMs)} alone, ${seconds(besideMs)} beside: × ${ratio}; poison took the judges ${seconds(poisonMs)}`;
    return { crashes: 0, violations, note };
  });
}

/** From submitting to the verdict, in ms: as long as 95 of 100 of them took at the most. */
async function p95({ academy }: World, submissionIds: readonly string[]): Promise<number> {
  const [row] = await academy.query<{ ms: number }>(
    `select percentile_disc(0.95) within group (order by extract(epoch from c.finished_at - s.submitted_at)::float8 * 1000) as ms
     from submissions.check_runs c join submissions.submissions s on s.id = c.submission_id where s.id in (?)`,
    [[...submissionIds]],
  );
  return row?.ms ?? 0;
}

/** How long these were with the judges, all together, in ms. */
async function judgingTime({ academy }: World, submissionIds: readonly string[]): Promise<number> {
  const [row] = await academy.query<{ ms: number | null }>(
    `select sum(extract(epoch from finished_at - started_at))::float8 * 1000 as ms
     from submissions.check_runs where submission_id in (?)`,
    [[...submissionIds]],
  );
  return row?.ms ?? 0;
}

/** First try and up to three more; and no workflow that fails at its own code again and again. */
const maxAttempts = 4;

async function historyViolations({ academy }: World, submissionIds: readonly string[]): Promise<string[]> {
  const client = createTemporalClient(academy.temporalAddress, 'default');
  const violations: string[] = [];
  try {
    for (const id of submissionIds) {
      const { events } = await client.workflow.getHandle(`submission-${id}`).fetchHistory();
      const attempts = (events ?? []).map((event) => event.activityTaskStartedEventAttributes?.attempt ?? 0);
      if (Math.max(0, ...attempts) > maxAttempts) violations.push(`${id} took ${Math.max(...attempts)} attempts at a step`);
      const failedTasks = (events ?? []).filter((event) => event.workflowTaskFailedEventAttributes).length;
      if (failedTasks > 0) violations.push(`the workflow of ${id} failed at its own code ${failedTasks} times`);
    }
  } finally {
    await client.connection.close();
  }
  return violations;
}
