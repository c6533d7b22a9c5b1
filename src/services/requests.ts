import { createHash } from 'node:crypto';
import { UniqueConstraintViolationException } from '@mikro-orm/core';
import { newId } from '../database/columns.ts';
import { SubmissionRequest } from '../database/entities/reviews.ts';
import type { Submission } from '../database/entities/submissions.ts';
import type { Em } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import { uuidV7 } from '../domain/ids.ts';
import type { RequestBody, RequestKind } from '../domain/reviews.ts';
import type { Actor } from '../domain/users.ts';

/** A stored request, as its workflow is asked. */
export interface StoredRequest {
  readonly requestId: string;
  readonly submissionId: string;
  readonly workflowId: string;
  /** Whether the same was asked before, with the same key. */
  readonly isRepeat: boolean;
}

/** The same actor, kind and key give the same request id, hence the same update id: asking again cannot have a second effect. */
export function requestIdOf(actor: Actor, kind: RequestKind | 'trial', key: string | null): string {
  if (key === null) return newId();
  const digest = createHash('sha256').update(`${actor.id}:${kind}:${key}`).digest();
  return uuidV7(digest.readUIntBE(0, 6), digest.subarray(6));
}

/** What was asked under this id before; null where nothing was. */
export async function selectOptionalRequest(em: Em, requestId: string): Promise<SubmissionRequest | null> {
  return em.findOne(SubmissionRequest, requestId, { populate: ['submission'] });
}

/**
 * Stores what is asked of a submission; its workflow then decides what becomes of it.
 *
 * @throws DomainError `key-reused` where the same request came about something else before.
 */
export async function storeRequest(
  em: Em,
  request: { requestId: string; kind: RequestKind; actor: Actor; submission: Submission; body: RequestBody },
): Promise<StoredRequest> {
  const { requestId, kind, actor, submission, body } = request;
  const known = await selectOptionalRequest(em, requestId);
  if (known !== null) return repeated(known, submission.id, body);
  try {
    em.create(SubmissionRequest, { id: requestId, createdAt: new Date(), kind, submission, actor: actor.id, body });
    await em.flush();
  } catch (error) {
    if (!(error instanceof UniqueConstraintViolationException)) throw error;
    // The same request at the same time was first.
    const first = await em.fork().findOneOrFail(SubmissionRequest, requestId, { populate: ['submission'] });
    return repeated(first, submission.id, body);
  }
  return { requestId, submissionId: submission.id, workflowId: submission.workflowId, isRepeat: false };
}

/** A request that was stored before, for one who asks the same again. @throws DomainError `key-reused`. */
export function repeated(known: SubmissionRequest, submissionId: string, body: RequestBody): StoredRequest {
  const submission = known.submission.getEntity();
  const isSame =
    submission.id === submissionId &&
    known.body.outcome === body.outcome &&
    known.body.comment === body.comment &&
    known.body.takeOver === body.takeOver;
  if (!isSame) throw new DomainError('key-reused', 'This Idempotency-Key came with another request before.');
  return { requestId: known.id, submissionId, workflowId: submission.workflowId, isRepeat: true };
}
