import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { z } from 'zod';
import type { BenchAcademy, ReadyTask } from './academy.ts';
import { cpuPerThing, type CpuUse, readCpuUse } from './cpu-use.ts';
import type { Quiet } from './machine.ts';
import { perMinute, type Summary, summarise } from './statistics.ts';

/** What a submission takes from the answered POST of its student to its verdict in the database. */
export interface FullPath {
  /** Verdicts a minute, in a closed loop over all tasks. */
  readonly perMinute: number;
  /** Processor time of each part for one submission, in ms, under that load; null where the system does not tell. */
  readonly cpuMsPerVerdict: CpuUse | null;
  /** How many submissions are open at any time. */
  readonly openAtOnce: number;
  /** Of one submission alone: from before the POST until its verdict is seen in the database, less the wall time of its runs. */
  readonly overheadMs: Summary;
  /** Where it goes; `runs` is what is taken off. */
  readonly phases: Readonly<Record<'POST answered' | 'judging begins' | 'runs' | 'judging without runs', Summary>>;
}

/** `program`: three cases; `project`: lint and two suites of tests. */
export type FullPaths = Readonly<Record<'program' | 'project', FullPath>>;

const Verdict = z.object({
  id: z.uuid(),
  begun: z.date(),
  finished: z.date(),
  runs: z.array(z.object({ wallTimeMs: z.number() })),
});

/** How often the database is asked for one submission's verdict: a part of the measured time, and the price of seeing commits. */
const lookEveryMs = 3;
/** How often it is asked for all at once, under load. */
const lookForAllEveryMs = 25;
const verdictTimeoutMs = 120_000;

interface Plan {
  readonly academy: BenchAcademy;
  /** Whose tasks are submitted, all of them at once under load. */
  readonly tasks: readonly ReadyTask[];
  readonly quiet: Quiet;
  /** Submissions one after the other. */
  readonly alone: number;
  readonly warmUpMs: number;
  readonly forMs: number;
  readonly onProgress: (text: string) => void;
}

/** Measures the academy: first submissions one by one, then all tasks in a closed loop. */
export async function measureFullPath(plan: Plan): Promise<FullPath> {
  const { academy, tasks, quiet, alone, warmUpMs, forMs, onProgress } = plan;
  const database = new pg.Client(academy.databaseUrl);
  await database.connect();
  try {
    onProgress(`${alone} submissions one after the other`);
    const samples: Sample[] = [];
    const warmUp = tasks.length;
    for (let index = 0; index < warmUp + alone; index += 1) {
      const task = tasks[index % tasks.length];
      if (task === undefined) throw new Error('no tasks');
      await quiet.wait();
      const sample = await submitAlone(database, task);
      if (index >= warmUp) samples.push(sample);
    }
    onProgress(`${tasks.length} submissions open at any time, for ${(warmUpMs + forMs) / 1000} s`);
    const underLoad = await submitInLoop(academy, database, tasks, warmUpMs, forMs);
    const of = (pick: (sample: Sample) => number) => summarise(samples.map(pick));
    return {
      ...underLoad,
      openAtOnce: tasks.length,
      overheadMs: of(({ totalMs, runsMs }) => totalMs - runsMs),
      phases: {
        'POST answered': of(({ answeredMs }) => answeredMs),
        'judging begins': of(({ begunMs }) => begunMs),
        'judging without runs': of(({ judgingMs, runsMs }) => judgingMs - runsMs),
        runs: of(({ runsMs }) => runsMs),
      },
    };
  } finally {
    await database.end();
  }
}

interface Sample {
  readonly answeredMs: number;
  /** From before the POST until a judge has taken it. */
  readonly begunMs: number;
  /** From then on until its verdict is stored. */
  readonly judgingMs: number;
  readonly runsMs: number;
  /** Until the verdict is seen from outside. */
  readonly totalMs: number;
}

async function submitAlone(database: pg.Client, task: ReadyTask): Promise<Sample> {
  const postedAt = Date.now();
  const startedAt = performance.now();
  const submissionId = await task.submit();
  const answeredMs = performance.now() - startedAt;
  const verdict = await until(lookEveryMs, () => selectVerdict(database, submissionId));
  const totalMs = performance.now() - startedAt;
  await until(lookEveryMs, async () => ((await selectClosed(database, [submissionId])).length > 0 ? true : null));
  return {
    answeredMs,
    begunMs: verdict.begun.getTime() - postedAt,
    judgingMs: verdict.finished.getTime() - verdict.begun.getTime(),
    runsMs: verdict.runs.reduce((sum, { wallTimeMs }) => sum + wallTimeMs, 0),
    totalMs,
  };
}

/** Every task is submitted again as soon as its last submission is closed. Counted are the verdicts after the warm-up. */
async function submitInLoop(
  academy: BenchAcademy,
  database: pg.Client,
  tasks: readonly ReadyTask[],
  warmUpMs: number,
  forMs: number,
): Promise<Pick<FullPath, 'perMinute' | 'cpuMsPerVerdict'>> {
  const open = new Map<string, () => void>();
  const end = performance.now() + warmUpMs + forMs;
  const student = async (task: ReadyTask) => {
    while (performance.now() < end) {
      const submissionId = await task.submit();
      const closed = Promise.withResolvers<void>();
      open.set(submissionId, closed.resolve);
      await closed.promise;
    }
  };
  const students = Promise.all(tasks.map(student));
  const over = new AbortController();
  const watch = async () => {
    const deadline = end + verdictTimeoutMs;
    while (!over.signal.aborted) {
      if (performance.now() > deadline) throw new Error('submissions stay open');
      for (const submissionId of await selectClosed(database, [...open.keys()])) {
        open.get(submissionId)?.();
        open.delete(submissionId);
      }
      await sleep(lookForAllEveryMs);
    }
  };
  const count = async () => {
    await sleep(warmUpMs);
    const before = await countVerdicts(database);
    const cpuBefore = readCpuUse(academy.processes());
    await sleep(end - performance.now());
    const after = await countVerdicts(database);
    const cpuAfter = readCpuUse(academy.processes());
    const verdicts = after.verdicts - before.verdicts;
    return {
      perMinute: perMinute(verdicts, after.atMs - before.atMs),
      cpuMsPerVerdict: cpuPerThing(cpuBefore, cpuAfter, verdicts),
    };
  };
  const counted = count();
  const all = Promise.all([counted, students]).finally(() => over.abort());
  await Promise.all([all, watch()]);
  return counted;
}

async function selectVerdict(database: pg.Client, submissionId: string): Promise<z.output<typeof Verdict> | null> {
  const { rows } = await database.query<Record<string, unknown>>(
    `select submission_id as id, started_at as begun, finished_at as finished, runs
     from submissions.check_runs where submission_id = $1`,
    [submissionId],
  );
  return rows[0] === undefined ? null : Verdict.parse(rows[0]);
}

async function selectClosed(database: pg.Client, submissionIds: readonly string[]): Promise<readonly string[]> {
  const { rows } = await database.query<{ id: string; conclusion: string }>(
    `select id, conclusion from submissions.submissions where id = any($1::uuid[]) and closed_at is not null`,
    [submissionIds],
  );
  const odd = rows.find(({ conclusion }) => conclusion !== 'checks-failed');
  if (odd !== undefined) throw new Error(`submission ${odd.id} ended as ${odd.conclusion}`);
  return rows.map(({ id }) => id);
}

async function countVerdicts(database: pg.Client): Promise<{ readonly verdicts: number; readonly atMs: number }> {
  const { rows } = await database.query<{ count: number }>('select count(*)::int as count from submissions.check_runs');
  return { verdicts: rows[0]?.count ?? 0, atMs: performance.now() };
}

async function until<T>(everyMs: number, look: () => Promise<T | null>): Promise<T> {
  const deadline = performance.now() + verdictTimeoutMs;
  for (;;) {
    const found = await look();
    if (found !== null) return found;
    if (performance.now() > deadline) throw new Error('no verdict');
    await sleep(everyMs);
  }
}
