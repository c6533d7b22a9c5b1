import { newId } from '../database/columns.ts';
import { Activity, AuditEntry } from '../database/entities/operations.ts';
import type { Submission } from '../database/entities/submissions.ts';
import type { Em } from '../database/orm.ts';

/** Domain events, named by what happened. */
export type ActivityKind =
  | 'user.registered'
  | 'enrolment.created'
  | 'task.assigned'
  | 'task.begun'
  | 'task.overridden'
  | 'submission.drafted'
  | 'task.submitted'
  | 'source.fetched'
  | 'ci.started'
  | 'ci.run.started'
  | 'ci.result.passed'
  | 'ci.result.failed'
  | 'source.unavailable'
  | 'submission.parked'
  | 'submission.redriven'
  | 'submission.restarted'
  | 'submission.cancelled'
  | 'submission.checks-failed'
  | 'submission.closed'
  | 'review.opened'
  | 'review.claimed'
  | 'review.released'
  | 'review.reminded'
  | 'review.overdue'
  | 'review.created';

/**
 * Adds a domain event to the caller's transaction.
 *
 * @param about.submission where it is a submission's event: its row, which the caller has locked or just made; it counts its events.
 */
export function recordActivity(
  em: Em,
  kind: ActivityKind,
  about: { actorId?: string | null; taskId?: string; submission?: Submission; data?: Record<string, unknown> },
): void {
  const { submission } = about;
  if (submission !== undefined) submission.lastSequence += 1;
  em.create(Activity, {
    id: newId(),
    createdAt: new Date(),
    kind,
    actorId: about.actorId ?? null,
    taskId: about.taskId ?? submission?.task.id ?? null,
    submissionId: submission?.id ?? null,
    sequence: submission?.lastSequence ?? null,
    data: about.data ?? {},
  });
}

/** Adds an audit entry to the caller's transaction. */
export function recordAudit(
  em: Em,
  entry: {
    action: string;
    actorId: string | null;
    target: { kind: string; id: string };
    via: 'api' | 'temporal' | 'system' | 'command-line';
    data?: Record<string, unknown>;
  },
): void {
  em.create(AuditEntry, {
    id: newId(),
    createdAt: new Date(),
    action: entry.action,
    actorId: entry.actorId,
    targetKind: entry.target.kind,
    targetId: entry.target.id,
    via: entry.via,
    data: entry.data ?? {},
  });
}

export interface AuditView {
  readonly id: string;
  readonly action: string;
  readonly actorId: string | null;
  readonly targetKind: string;
  readonly targetId: string;
  readonly via: 'api' | 'temporal' | 'system' | 'command-line';
  readonly data: Record<string, unknown>;
  readonly createdAt: Date;
}

/** The audit, newest first. `before` is the id of the last one of the page before. */
export async function listAudit(
  em: Em,
  query: { limit: number; before?: string | undefined; targetId?: string | undefined },
): Promise<AuditView[]> {
  const rows = await em.find(
    AuditEntry,
    {
      ...(query.before === undefined ? {} : { id: { $lt: query.before } }),
      ...(query.targetId === undefined ? {} : { targetId: query.targetId }),
    },
    { orderBy: { id: 'desc' }, limit: query.limit },
  );
  return rows.map(({ id, action, actorId, targetKind, targetId, via, data, createdAt }) => ({
    id,
    action,
    actorId,
    targetKind,
    targetId,
    via,
    data,
    createdAt,
  }));
}
