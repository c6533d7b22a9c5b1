import { Submission } from '../database/entities/submissions.ts';
import type { Em } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import type { ParkedClass } from '../domain/submissions.ts';
import type { Actor } from '../domain/users.ts';
import { recordAudit } from './activity.ts';
import { repeated, requestIdOf, selectOptionalRequest, type StoredRequest, storeRequest } from './requests.ts';
import { submissionNotFound } from './submissions.ts';

export interface ParkedView {
  readonly submissionId: string;
  readonly taskId: string;
  readonly studentId: string;
  readonly exerciseTitle: string;
  readonly attemptNo: number;
  readonly parkedClass: ParkedClass;
  readonly reason: string;
  readonly submittedAt: Date;
  readonly workflowId: string;
}

/** What waits for an admin because of our own trouble, the oldest first: the dead letters. */
export async function listParked(em: Em, limit: number): Promise<ParkedView[]> {
  const rows = await em.find(
    Submission,
    { stage: 'PARKED' },
    { orderBy: { submittedAt: 'asc', id: 'asc' }, limit, populate: ['task.exercise'] },
  );
  return rows.map((row) => ({
    submissionId: row.id,
    taskId: row.task.id,
    studentId: row.student.id,
    exerciseTitle: row.task.$.exercise.$.title,
    attemptNo: row.attemptNo,
    parkedClass: row.parkedClass ?? 'permanent',
    reason: row.parkedReason ?? '',
    submittedAt: row.submittedAt ?? row.createdAt,
    workflowId: row.workflowId,
  }));
}

/**
 * Stores an admin's word on a parked submission, with its audit entry: try again, or close it without charging the student. A repeat of
 * the key finds what was asked before, also where the submission is not parked any more.
 *
 * @throws DomainError `not-found`, `invalid-state` where it is not parked, `key-reused`.
 */
export async function requestParkedResolution(
  em: Em,
  actor: Actor,
  input: { kind: 'redrive' | 'close'; submissionId: string; key: string | null },
): Promise<StoredRequest> {
  const submission = await em.findOne(Submission, input.submissionId);
  if (submission === null) throw submissionNotFound();
  const { kind } = input;
  const requestId = requestIdOf(actor, kind, input.key);
  const known = await selectOptionalRequest(em, requestId);
  if (known !== null) return repeated(known, submission.id, {});
  if (submission.stage !== 'PARKED') throw new DomainError('invalid-state', 'This submission is not parked.');
  const target = { kind: 'submission', id: submission.id };
  // Written with the request, or not at all.
  recordAudit(em, { action: `submission.${kind}-requested`, actorId: actor.id, target, via: 'api' });
  return storeRequest(em, { requestId, kind, actor, submission, body: {} });
}
