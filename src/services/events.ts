import { createHash, randomBytes } from 'node:crypto';
import { newId } from '../database/columns.ts';
import { Activity, StreamTicket } from '../database/entities/operations.ts';
import { Submission } from '../database/entities/submissions.ts';
import type { Em } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import type { Actor } from '../domain/users.ts';
import { isSubmissionVisible, submissionNotFound } from './submissions.ts';

/** One event of a live stream. */
export interface LiveEvent {
  /** 1, 2, … within its stream. */
  readonly id: number;
  readonly kind: string;
  readonly data: object;
}

/** What a look at the database finds for a stream: the events that follow, and what comes after them. */
export interface LiveLook {
  readonly events: readonly LiveEvent[];
  /** More than these are there already. */
  readonly hasMore: boolean;
  /** None will ever come after these. */
  readonly isOver: boolean;
}

/** So many events are read at a time: a reader who is slow holds no more in memory. */
const pageLength = 100;

/**
 * What of an event's data is shown: to all who see the submission the same. What is not named here is not shown, so that a field that
 * is added for our own use is not told to students by accident. Why a submission is parked is for admins, who committed a review stays
 * with the review.
 */
const shownData: Readonly<Record<string, readonly string[]>> = {
  'task.submitted': ['attemptNo', 'source', 'commit'],
  'source.fetched': ['commit'],
  'ci.run.started': ['run'],
  'ci.result.passed': ['verdict', 'runNo'],
  'ci.result.failed': ['verdict', 'runNo'],
  'review.opened': ['answerDueAt'],
  'review.released': ['lapsed'],
  'review.created': ['outcome', 'xpAdded'],
  'task.overridden': ['status', 'xpAdded'],
};

function showEvent({ sequence, kind, actorId, createdAt, data }: Activity): LiveEvent {
  const shown = Object.fromEntries((shownData[kind] ?? []).filter((name) => name in data).map((name) => [name, data[name]]));
  // As the submission's own view names who has claimed it.
  const claim = kind === 'review.claimed' ? { reviewerId: actorId } : {};
  return { id: sequence ?? 0, kind, data: { kind, at: createdAt, data: { ...shown, ...claim } } };
}

/**
 * What follows after event number `after` of a submission. An event's number is taken under the submission's lock and committed with it:
 * where n is seen, all before n are seen too.
 *
 * @throws DomainError `not-found`, also for a submission that is not visible to the actor.
 */
export async function lookAtSubmission(em: Em, actor: Actor, submissionId: string, after: number): Promise<LiveLook> {
  // First the submission, then its events: where it is closed, its last event is among them.
  const fields = ['student', 'status', 'closedAt'] as const;
  const submission = await em.findOne(Submission, submissionId, { fields });
  if (submission === null || !isSubmissionVisible(submission, actor)) throw submissionNotFound();
  const rows = await em.find(
    Activity,
    { submissionId, sequence: { $gt: after } },
    { orderBy: { sequence: 'asc' }, limit: pageLength },
  );
  const hasMore = rows.length === pageLength;
  return { events: rows.map(showEvent), hasMore, isOver: submission.closedAt !== null && !hasMore };
}

/** How long a ticket waits to be used: the time between two requests of one page. */
const ticketTtlMs = 60_000;

const hashTicket = (ticket: string) => createHash('sha256').update(ticket).digest('hex');

/**
 * Makes a ticket that opens the submission's stream once. Its text is told here and stored nowhere.
 *
 * @throws DomainError `not-found`, also for a submission that is not visible to the actor.
 */
export async function createStreamTicket(
  em: Em,
  actor: Actor,
  input: { submissionId: string; sessionId: string },
): Promise<{ ticket: string; expiresAt: Date }> {
  const submission = await em.findOne(Submission, input.submissionId);
  if (submission === null || !isSubmissionVisible(submission, actor)) throw submissionNotFound();
  const now = new Date();
  // What a user has left unused goes with the user's next one.
  await em.nativeDelete(StreamTicket, { userId: actor.id, expiresAt: { $lt: now } });
  const ticket = `ats_${randomBytes(32).toString('base64url')}`;
  const row = em.create(StreamTicket, {
    id: newId(),
    createdAt: now,
    userId: actor.id,
    sessionId: input.sessionId,
    submissionId: input.submissionId,
    tokenHash: hashTicket(ticket),
    expiresAt: new Date(now.getTime() + ticketTtlMs),
    usedAt: null,
  });
  await em.flush();
  return { ticket, expiresAt: row.expiresAt };
}

/**
 * Uses a ticket up. Returns whose session it stands for.
 *
 * @throws DomainError `unauthenticated`, the same for one that is unknown, used, expired or another submission's.
 */
export async function useStreamTicket(
  em: Em,
  input: { ticket: string; submissionId: string },
): Promise<{ sessionId: string; userId: string }> {
  const { submissionId } = input;
  const tokenHash = hashTicket(input.ticket);
  const now = new Date();
  const which = { tokenHash, submissionId, usedAt: null, expiresAt: { $gt: now } };
  // One statement: of two that come at once, one finds it unused.
  const used = await em.nativeUpdate(StreamTicket, which, { usedAt: now });
  const row = used === 1 ? await em.findOne(StreamTicket, { tokenHash }) : null;
  if (row === null)
    throw new DomainError('unauthenticated', 'This ticket opens nothing: tickets are used once, within a minute.');
  return { sessionId: row.sessionId, userId: row.userId };
}
