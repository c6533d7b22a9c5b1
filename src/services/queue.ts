import { sql } from '@mikro-orm/core';
import { Submission } from '../database/entities/submissions.ts';
import { TrialRun } from '../database/entities/trial-runs.ts';
import type { Em } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import { expectedVerdictAt, type QueueLimits, type QueuePlace } from '../domain/queue.ts';
import { trialQueueMs } from '../domain/trial-runs.ts';

/**
 * Lets a submission in, or refuses it before anything of it is stored; in the transaction that will store it, before that locks anything
 * else. A student's submissions come one at a time, so their own limit is exact. The whole queue may be overrun by the submissions that
 * are let in at the same instant (one for each connection of the apis): a lock that all students share would cost more than that.
 *
 * @throws DomainError `too-many-open`, `queue-full`.
 */
export async function admitSubmission(em: Em, studentId: string, limits: QueueLimits): Promise<void> {
  await em.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`submit ${studentId}`}, 0))`);
  const own = await em.count(Submission, { student: studentId, stage: { $in: ['QUEUED', 'CHECKING'] } });
  if (own >= limits.maxOpenPerStudent) {
    throw new DomainError('too-many-open', `${own} of your submissions wait for their checks already: wait for one of them.`);
  }
  refuseWhereFull(await em.count(Submission, { stage: 'QUEUED' }), limits);
}

/**
 * The same for code that is tried: it waits behind the submissions, so they count for it and not the other way round.
 *
 * @throws DomainError `queue-full`.
 */
export async function admitTrialRun(em: Em, limits: QueueLimits): Promise<void> {
  const since = new Date(Date.now() - trialQueueMs);
  const trials = await em.count(TrialRun, { status: 'QUEUED', createdAt: { $gt: since } });
  refuseWhereFull(trials + (await em.count(Submission, { stage: 'QUEUED' })), limits);
}

function refuseWhereFull(queued: number, { maxQueued }: QueueLimits): void {
  if (queued < maxQueued) return;
  throw new DomainError('queue-full', 'So much waits to be checked that nothing more is taken in now. Try again a little later.');
}

interface QueueRow {
  /** 0 where the submission does not wait any more. */
  readonly place: number;
  readonly judges: number;
  readonly medianMs: number | null;
}

/**
 * The place of a submission among those that wait, and when its verdict is expected; null where it does not wait.
 *
 * The queue takes one of each student in turn (Temporal's fairness, by student), so before it come all whose turn is earlier, and of
 * those with the same turn the ones submitted earlier. Reads those that wait by the index on stage and instant, and the last 20 check
 * runs by theirs.
 */
export async function selectQueuePlace(em: Em, submissionId: string): Promise<QueuePlace | null> {
  const [row] = await em.execute<QueueRow[]>(
    `with waiting as (
       select id, submitted_at, row_number() over (partition by student_id order by submitted_at, id) as turn
       from submissions.submissions where stage = 'QUEUED'
     ), recent as (
       select extract(epoch from finished_at - started_at)::float8 * 1000 as ms
       from submissions.check_runs order by finished_at desc limit 20
     )
     select
       (select count(*)::int from waiting join waiting own on own.id = ?
         and (waiting.turn, waiting.submitted_at, waiting.id) <= (own.turn, own.submitted_at, own.id)) as place,
       (select count(*)::int from submissions.submissions where stage = 'CHECKING') as judges,
       (select percentile_cont(0.5) within group (order by ms) from recent) as "medianMs"`,
    [submissionId],
  );
  if (row === undefined || row.place === 0) return null;
  return { place: row.place, expectedAt: expectedVerdictAt({ nowMs: Date.now(), ...row }) };
}
