import { newId } from '../database/columns.ts';
import { Activity, AuditEntry } from '../database/entities/operations.ts';
import type { Em } from '../database/orm.ts';

/** Domain events, named by what happened. */
export type ActivityKind =
  | 'user.registered'
  | 'enrolment.created'
  | 'task.assigned'
  | 'task.begun'
  | 'task.submitted'
  | 'ci.result.passed'
  | 'ci.result.failed'
  | 'source.unavailable'
  | 'submission.parked'
  | 'submission.redriven'
  | 'submission.cancelled'
  | 'submission.closed'
  | 'review.opened'
  | 'review.created';

/** Adds a domain event to the caller's transaction. */
export function recordActivity(
  em: Em,
  kind: ActivityKind,
  about: { actorId?: string; taskId?: string; submissionId?: string; data?: Record<string, unknown> },
): void {
  em.create(Activity, {
    id: newId(),
    createdAt: new Date(),
    kind,
    actorId: about.actorId ?? null,
    taskId: about.taskId ?? null,
    submissionId: about.submissionId ?? null,
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
