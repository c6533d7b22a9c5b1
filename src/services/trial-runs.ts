import { isDeepStrictEqual } from 'node:util';
import { LockMode, sql } from '@mikro-orm/core';
import { ExerciseRevision } from '../database/entities/exercises.ts';
import { Task } from '../database/entities/tasks.ts';
import { TrialRun } from '../database/entities/trial-runs.ts';
import type { Em } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import type { QueueLimits } from '../domain/queue.ts';
import type { Draft } from '../domain/submissions.ts';
import {
  trialAllowance,
  trialDeadlineMs,
  trialKeptMs,
  type TrialOutput,
  type TrialRequest,
  type TrialResult,
  type TrialStatus,
  trialWaitMs,
} from '../domain/trial-runs.ts';
import type { Actor } from '../domain/users.ts';
import { selectDraftFiles, selectSourcePath } from './drafts.ts';
import type { LiveEvent, LiveLook } from './events.ts';
import { admitTrialRun } from './queue.ts';
import { requestIdOf } from './requests.ts';
import { taskNotFound } from './tasks.ts';

export interface NewTrial {
  readonly taskId: string;
  readonly draft: Draft;
  /** What the program reads; null runs the visible tests. */
  readonly stdin: string | null;
  /** The caller's Idempotency-Key; null where it sent none. */
  readonly key: string | null;
  readonly queueLimits: QueueLimits;
}

/** What became of a wish to try code: `limited` is what the user's allowance says. */
export type TrialAnswer =
  | { readonly status: 'stored'; readonly runId: string; readonly isReplay: boolean }
  | { readonly status: 'limited'; readonly waitMs: number };

/**
 * Stores code to try, within the user's allowance; its workflow is then to be started. The same key gives the same run.
 *
 * @throws DomainError `not-found` unless the actor is the task's assignee, `validation` for files that cannot be and for an input where
 *   the exercise does not say which file is the program, `key-reused` where the key came with other code, `queue-full`.
 */
export async function createTrialRun(em: Em, actor: Actor, input: NewTrial): Promise<TrialAnswer> {
  const id = requestIdOf(actor, 'trial', input.key);
  return em.transactional<TrialAnswer>(async (tx) => {
    // One at a time for a user, or many sent at once would each find the allowance unused.
    await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`trial ${actor.id}`}, 0))`);
    const task = await tx.findOne(Task, { id: input.taskId, assignee: actor.id });
    if (task === null) throw taskNotFound();
    const revisionId = task.revision.id;
    const files = await selectDraftFiles(tx, revisionId, input.draft);
    const request: TrialRequest = { files, program: await selectProgram(tx, revisionId, input.stdin) };
    const known = await tx.findOne(TrialRun, id);
    if (known !== null) {
      const isSame = known.revision.id === revisionId && isDeepStrictEqual(known.request, request);
      if (!isSame) throw new DomainError('key-reused', 'This Idempotency-Key came with another request before.');
      return { status: 'stored', runId: id, isReplay: true };
    }
    const now = new Date();
    const since = new Date(now.getTime() - trialAllowance.windowMs);
    const recent = await tx.find(
      TrialRun,
      { user: actor.id, createdAt: { $gt: since } },
      { fields: ['createdAt', 'finishedAt'] },
    );
    const waitMs = trialWaitMs(
      recent.map((run) => ({ createdAtMs: run.createdAt.getTime(), isUnderWay: run.finishedAt === null && !isLost(run) })),
      now.getTime(),
    );
    if (waitMs > 0) return { status: 'limited', waitMs };
    await admitTrialRun(tx, input.queueLimits);
    tx.create(TrialRun, {
      id,
      createdAt: now,
      user: actor.id,
      revision: revisionId,
      request,
      status: 'QUEUED',
      results: [],
      output: [],
      problem: null,
      finishedAt: null,
    });
    return { status: 'stored', runId: id, isReplay: false };
  });
}

async function selectProgram(em: Em, revisionId: string, stdin: string | null): Promise<TrialRequest['program']> {
  if (stdin === null) return null;
  const { checks } = await em.findOneOrFail(ExerciseRevision, revisionId, { fields: ['checks'] });
  if (checks.kind === 'program') return { entry: null, stdin };
  const entry = await selectSourcePath(em, revisionId);
  if (entry === null) {
    throw new DomainError('validation', 'This exercise is solved in several files: none of them is a program by itself.');
  }
  return { entry, stdin };
}

/** Takes back a run whose workflow could not be started, unless it was; a repeat of its key then begins anew. */
export async function removeTrialRun(em: Em, runId: string): Promise<void> {
  await em.nativeDelete(TrialRun, { id: runId, status: 'QUEUED' });
}

/** Nobody will finish it any more, such as after Temporal was reset. */
const isLost = ({ createdAt }: { createdAt: Date }) => createdAt.getTime() < Date.now() - trialDeadlineMs;

export interface TrialRunView {
  readonly runId: string;
  readonly status: TrialStatus;
  /** Why it could not be run; null unless ERROR. */
  readonly problem: string | null;
  readonly results: readonly TrialResult[];
  /** What the runs wrote while they were under way; cut. */
  readonly output: readonly TrialOutput[];
}

/** One trial run, for who asked for it. @throws DomainError `not-found`, also for somebody else's. */
export async function selectTrialRun(em: Em, actor: Actor, runId: string): Promise<TrialRunView> {
  const run = await em.findOne(TrialRun, { id: runId, user: actor.id });
  if (run === null) throw new DomainError('not-found', 'There is no such run: runs are kept for an hour.');
  if (run.finishedAt === null && isLost(run)) {
    return { runId, status: 'ERROR', problem: 'It was not run in time. Try again.', results: run.results, output: run.output };
  }
  return { runId, status: run.status, problem: run.problem, results: run.results, output: run.output };
}

/**
 * What follows after event number `after` of a run: an event for each piece of output while it is under way, then for each result, then
 * its end. Numbers are places in that order, so that a stream can be taken up anywhere: results are stored when no output comes any more.
 *
 * @throws DomainError `not-found`.
 */
export async function lookAtTrialRun(em: Em, actor: Actor, runId: string, after: number): Promise<LiveLook> {
  const { status, problem, results, output } = await selectTrialRun(em, actor, runId);
  const isOver = status === 'DONE' || status === 'ERROR';
  const all: Omit<LiveEvent, 'id'>[] = [
    ...output.map((piece) => ({ kind: 'output', data: piece })),
    ...results.map((result) => ({ kind: 'result', data: result })),
  ];
  if (isOver) all.push({ kind: 'end', data: { status, problem } });
  return { events: all.map((event, index) => ({ ...event, id: index + 1 })).slice(after), hasMore: false, isOver };
}

/** What a judge needs of a run. */
export interface TrialToMake {
  readonly revisionId: string;
  readonly request: TrialRequest;
}

/** Marks a run as being made. Null where there is nothing to do: it is finished, or was taken back. */
export async function beginTrialRun(em: Em, runId: string): Promise<TrialToMake | null> {
  return em.transactional(async (tx) => {
    const run = await lockUnfinished(tx, runId);
    if (run === null) return null;
    // A repeat, after a judge was lost or had trouble: what has been shown stays, as its events have been counted.
    if (run.output.length > 0)
      run.output = [...run.output, { run: '', stream: 'stderr', text: 'It is run again from the start.\n' }];
    run.status = 'RUNNING';
    return { revisionId: run.revision.id, request: run.request };
  });
}

/** Adds output of a run that is under way; of one that has ended, nothing. */
export async function appendTrialOutput(
  em: Em,
  { runId, output }: { runId: string; output: readonly TrialOutput[] },
): Promise<void> {
  const added = JSON.stringify(output);
  await em.execute(
    sql`update submissions.trial_runs set output = output || ${added}::jsonb where id = ${runId} and finished_at is null`,
  );
}

/** Stores how a run ended, with its results or with the problem that kept it from being made. The first end stays. */
export async function finishTrialRun(
  em: Em,
  input: { runId: string } & ({ results: readonly TrialResult[] } | { problem: string }),
): Promise<void> {
  await em.transactional(async (tx) => {
    const run = await lockUnfinished(tx, input.runId);
    if (run === null) return;
    run.finishedAt = new Date();
    if ('problem' in input) {
      run.status = 'ERROR';
      run.problem = input.problem;
    } else {
      run.status = 'DONE';
      run.results = input.results;
    }
  });
}

const lockUnfinished = (em: Em, runId: string) =>
  em.findOne(TrialRun, { id: runId, finishedAt: null }, { lockMode: LockMode.PESSIMISTIC_WRITE });

/** Removes the runs that nobody looks at any more. Returns how many. */
export async function removeOldTrialRuns(em: Em): Promise<number> {
  return em.nativeDelete(TrialRun, { createdAt: { $lt: new Date(Date.now() - trialKeptMs) } });
}
