import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { FaultName, ProgramName } from '../../end-to-end/academy.ts';
import { waitFor } from '../../support/wait.ts';
import { ask, askUntilKnown, createPerson, decision, waitForStages, Writer } from '../people.ts';
import { observe, type Outcome, waitForStroke, type World } from '../world.ts';

const midApply: FaultName = 'apply-tx:after-effect:postgres';
export const outageFaults: Partial<Record<ProgramName, readonly FaultName[]>> = { submissions: [midApply] };

/** Submissions that await a review. */
async function reviewable(world: World, count: number): Promise<string[]> {
  return submitAll(world, await Promise.all(Array.from({ length: count }, () => Writer.enrol(world.academy))));
}

async function submitAll({ academy, acknowledged }: World, writers: readonly Writer[]): Promise<string[]> {
  const ids = await Promise.all(writers.map((writer) => writer.submit()));
  for (const id of ids) acknowledged.set(id, 'open');
  await waitForStages(academy, ids, ['AWAITING_REVIEW'], 300_000);
  return ids;
}

/** Decides with one key until it is known what became of it. @throws Error where it is not decided. */
async function approve({ academy, acknowledged }: World, id: string, token: string, key: string = randomUUID()): Promise<void> {
  const answer = await askUntilKnown(academy, decision(token, id, 'APPROVED', key));
  if (answer.status !== 201) throw new Error(`decide: ${answer.status} ${JSON.stringify(answer.body)}`);
  acknowledged.set(id, 'approved');
}

/** P4: Temporal is killed while submissions are in all states. Each goes on where it was. */
export function temporalMayRestart(world: World, { submissions }: { submissions: number }): Promise<Outcome> {
  const { academy, acknowledged } = world;
  return observe(world, `P4 Temporal may restart (${submissions} submissions)`, async () => {
    const violations: string[] = [];
    const third = Math.ceil(submissions / 3);
    const claimer = await createPerson(academy, 'ACADEMY_REVIEWER');
    const claimed = await reviewable(world, third);
    for (const id of claimed) await askUntilKnown(academy, { path: `/api/submissions/${id}/claim`, token: claimer.token });
    await waitForStages(academy, claimed, ['UNDER_REVIEW']);
    const awaiting = await reviewable(world, third);
    // These are queued, or being checked.
    const writers = await Promise.all(Array.from({ length: third }, () => Writer.enrol(academy)));
    const early = await Promise.all(writers.map((writer) => writer.submit()));
    for (const id of early) acknowledged.set(id, 'open');

    // Decisions are under way when it dies; each has the key with which it will be repeated.
    const keys = new Map(awaiting.map((id) => [id, randomUUID()]));
    const underWay = awaiting
      .slice(0, Math.ceil(third / 2))
      .map((id) => ask(academy, decision(academy.reviewerToken, id, 'APPROVED', keys.get(id))));
    await academy.kill('temporal');
    await Promise.all(underWay);

    const late = await Writer.enrol(academy);
    const lateRequest = await late.write();
    const accepted = await ask(academy, lateRequest);
    if (accepted.status !== 202) violations.push(`submit without Temporal: ${accepted.status}`);
    const refused = await ask(
      academy,
      decision(academy.reviewerToken, awaiting.at(-1) ?? '', 'APPROVED', keys.get(awaiting.at(-1) ?? '')),
    );
    if (refused.status !== 503 || refused.retryAfter === null) violations.push(`decide without Temporal: ${refused.status}`);
    for (const path of ['/api/reviews/queue', `/api/submissions/${awaiting[0]}`, '/api/me']) {
      const { status } = await ask(academy, { method: 'GET', path, token: academy.reviewerToken });
      if (status !== 200) violations.push(`GET ${path} without Temporal: ${status}`);
    }
    early.push(String(accepted.body['submissionId']));
    acknowledged.set(String(accepted.body['submissionId']), 'open');

    academy.startProcess('temporal');
    const since = Date.now();
    await Promise.all(awaiting.map((id) => approve(world, id, academy.reviewerToken, keys.get(id))));
    await Promise.all(claimed.map((id) => approve(world, id, claimer.token)));
    const slowestRecoveryMs = Date.now() - since;
    await waitForStages(academy, early, ['AWAITING_REVIEW'], 300_000);
    await Promise.all(early.map((id) => approve(world, id, academy.reviewerToken)));
    return { crashes: 1, slowestRecoveryMs, violations, note: 'until all open decisions were committed' };
  });
}

/** P5: PostgreSQL stops in the middle of a decision's transaction; connections are cut; it is read-only; it rolls back. */
export function postgresMayRestart(world: World, size: { stops: number; cuts: number; readOnlyMs: number }): Promise<Outcome> {
  const { academy, postgres, acknowledged } = world;
  const programs = ['api', 'submissions', 'judging', 'notifications'] as const;
  return observe(world, 'P5 PostgreSQL may restart', async () => {
    const violations: string[] = [];
    const pids = programs.map((name) => academy.pid(name));
    let slowestRecoveryMs = 0;

    for (const id of await reviewable(world, size.stops)) {
      academy.arm(midApply);
      const approved = approve(world, id, academy.reviewerToken);
      const { at } = await waitForStroke(academy, midApply);
      await postgres.stopImmediately();
      await postgres.startAgain();
      academy.letGo(midApply);
      await approved;
      slowestRecoveryMs = Math.max(slowestRecoveryMs, Date.now() - at);
    }

    // Every connection of every pool, again and again, while work goes on.
    const work = { isDone: false };
    // Before, as making an account takes a connection of the test's own.
    const authors = [await Writer.enrol(academy), await Writer.enrol(academy)];
    const working = (async () => {
      for (const id of await submitAll(world, authors)) await approve(world, id, academy.reviewerToken);
    })().finally(() => {
      work.isDone = true;
    });
    let cuts = 0;
    for (; cuts < size.cuts && !work.isDone; cuts += 1) {
      await postgres.cutConnections();
      await delay(300);
    }
    await working;

    const [id = ''] = await reviewable(world, 1);
    const writer = await Writer.enrol(academy);
    const request = await writer.write();
    await setReadOnly(true);
    for (const [what, asked] of [
      ['submit', request],
      ['decide', decision(academy.reviewerToken, id, 'APPROVED')],
    ] as const) {
      const answer = await ask(academy, asked);
      if (answer.status !== 503 || answer.retryAfter === null) violations.push(`${what} while read-only: ${answer.status}`);
    }
    await delay(size.readOnlyMs);
    await setReadOnly(false);
    const sinceWritable = Date.now();
    await approve(world, id, academy.reviewerToken);
    const accepted = await askUntilKnown(academy, request);
    acknowledged.set(String(accepted.body['submissionId']), 'open');
    slowestRecoveryMs = Math.max(slowestRecoveryMs, Date.now() - sinceWritable);

    for (const code of ['40001', '40P01']) {
      const [reviewed = ''] = await reviewable(world, 1);
      await failTimes('progress.xp_entries', code, 3);
      await approve(world, reviewed, academy.reviewerToken);
      const author = await Writer.enrol(academy);
      const toSubmit = await author.write();
      await failTimes('operations.idempotency_keys', code, 2);
      const submitted = await askUntilKnown(academy, toSubmit);
      acknowledged.set(String(submitted.body['submissionId']), 'open');
      await noFailures();
    }

    const after = programs.map((name) => academy.pid(name));
    if (pids.join() !== after.join()) violations.push(`processes had to be restarted: ${pids.join()} became ${after.join()}`);
    return { crashes: size.stops + cuts, slowestRecoveryMs, violations };
  });

  async function setReadOnly(isReadOnly: boolean): Promise<void> {
    await postgres.execute(`alter system set default_transaction_read_only = ${isReadOnly ? 'on' : 'off'}`);
    await postgres.execute('select pg_reload_conf()');
    await waitFor('the setting', async () => {
      const rows = await academy
        .query<{ default_transaction_read_only: string }>('show default_transaction_read_only')
        .catch(() => []);
      return rows[0]?.default_transaction_read_only === (isReadOnly ? 'on' : 'off') ? true : null;
    });
  }

  /** The next inserts are rolled back with this SQLSTATE. A sequence counts them, as it is not rolled back. */
  async function failTimes(table: string, code: string, times: number): Promise<void> {
    await postgres.execute(`
      drop schema if exists chaos cascade;
      create schema chaos;
      create sequence chaos.failures;
      create function chaos.fail() returns trigger language plpgsql as $$ begin
        if nextval('chaos.failures') <= ${times} then raise exception 'chaos' using errcode = '${code}'; end if;
        return new;
      end $$;
      create trigger chaos before insert on ${table} for each row execute function chaos.fail()`);
  }

  async function noFailures(): Promise<void> {
    await postgres.execute('drop schema if exists chaos cascade');
  }
}

/** P10: without a worker the outcome of a decision is unknown, which is what is said; a repeat with the same key decides once. */
export function unknownIsHonest(world: World): Promise<Outcome> {
  const { academy } = world;
  return observe(world, 'P10 an unknown outcome is honest', async () => {
    const violations: string[] = [];
    let slowestAnswerMs = 0;
    const [plain = '', betweenKills = ''] = await reviewable(world, 2);
    for (const id of [plain, betweenKills]) {
      await academy.kill('submissions');
      const key = randomUUID();
      const since = Date.now();
      const answer = await ask(academy, decision(academy.reviewerToken, id, 'APPROVED', key));
      slowestAnswerMs = Math.max(slowestAnswerMs, Date.now() - since);
      const isHonest =
        answer.status === 503 && answer.retryAfter !== null && String(answer.body['type']).endsWith('outcome-unknown');
      if (!isHonest) violations.push(`decide without a worker: ${answer.status} ${JSON.stringify(answer.body)}`);
      if (id === betweenKills) {
        await academy.kill('temporal');
        academy.startProcess('temporal');
      }
      academy.startProcess('submissions');
      await approve(world, id, academy.reviewerToken, key);
      const again = await askUntilKnown(academy, decision(academy.reviewerToken, id, 'APPROVED', key));
      if (again.status !== 201) violations.push(`a repeat of what is decided: ${again.status}`);
    }
    return { crashes: 3, violations, note: `the slowest 503 came after ${(slowestAnswerMs / 1000).toFixed(1)} s` };
  });
}
