import { z } from 'zod';
import { reviewOutcomes } from '../../domain/reviews.ts';
import { parkedClasses } from '../../domain/submissions.ts';
import { overridableStatuses } from '../../domain/tasks.ts';
import { ById, defineContract, Id, Instant, pageLimit, text } from './core.ts';

const admins = ['SUPER_ADMIN'] as const;

const Reason = text(2_000).meta({ description: 'Why; the student and the audit see it.' });

/** `accepted`: stored, and applied as soon as Temporal answers. */
const OverrideView = z.object({ overrideId: z.uuid(), status: z.enum(['applied', 'accepted']) }).meta({ id: 'Override' });

export const adminContract = defineContract({
  overrideTask: {
    method: 'patch',
    path: '/admin/tasks/{id}',
    tag: 'admin',
    summary: 'Override a task, whatever its state: its status, its assignee, or both; an open submission is ended',
    access: admins,
    isKeyed: true,
    needsIfMatch: true,
    params: ById,
    body: z
      .strictObject({
        status: z.enum(overridableStatuses).optional(),
        assigneeId: Id.optional().meta({ description: 'Begins the task anew there, unless a status is named.' }),
        reason: Reason,
      })
      .refine((body) => body.status !== undefined || body.assigneeId !== undefined, 'give status or assigneeId'),
    status: 200,
    mayBeAccepted: true,
    response: OverrideView,
  },
  overrideReview: {
    method: 'patch',
    path: '/admin/reviews/{id}',
    tag: 'admin',
    summary: 'Put another outcome in the place of a review; XP follows by a ledger entry',
    access: admins,
    isKeyed: true,
    needsIfMatch: true,
    params: ById,
    body: z.strictObject({ outcome: z.enum(reviewOutcomes), reason: Reason }),
    status: 200,
    mayBeAccepted: true,
    response: OverrideView,
  },
  listParked: {
    method: 'get',
    path: '/admin/parked',
    tag: 'admin',
    summary: 'Submissions that wait for an admin because of our own trouble, the oldest first',
    access: admins,
    query: z.object({ limit: pageLimit(50) }),
    status: 200,
    response: z.object({
      items: z.array(
        z.object({
          submissionId: z.uuid(),
          taskId: z.uuid(),
          studentId: z.uuid(),
          exerciseTitle: z.string(),
          attemptNo: z.int(),
          parkedClass: z.enum(parkedClasses),
          reason: z.string(),
          submittedAt: Instant,
          workflow: z.object({ id: z.string(), url: z.string().nullable() }),
        }),
      ),
    }),
  },
  redriveSubmission: {
    method: 'post',
    path: '/admin/submissions/{id}/redrive',
    tag: 'admin',
    summary: 'Have a parked submission tried again from the start; what is done is found done',
    access: admins,
    isKeyed: true,
    params: ById,
    status: 202,
    response: z.object({ status: z.literal('redriving') }),
  },
  closeSubmission: {
    method: 'post',
    path: '/admin/submissions/{id}/close',
    tag: 'admin',
    summary: 'Close a parked submission; it costs its student no attempt',
    access: admins,
    isKeyed: true,
    params: ById,
    status: 202,
    response: z.object({ status: z.literal('closing') }),
  },
  listAudit: {
    method: 'get',
    path: '/admin/audit',
    tag: 'admin',
    summary: 'Who did what, newest first',
    access: admins,
    query: z.object({
      limit: pageLimit(50),
      before: Id.optional().meta({ description: 'Id of the last entry of the page before.' }),
      targetId: Id.optional().meta({ description: 'Only what was done to this task, submission, session or user.' }),
    }),
    status: 200,
    response: z.object({
      items: z.array(
        z.object({
          id: z.uuid(),
          action: z.string(),
          actorId: z.uuid().nullable(),
          targetKind: z.string(),
          targetId: z.uuid(),
          via: z.enum(['api', 'temporal', 'system', 'command-line']),
          data: z.record(z.string(), z.unknown()),
          createdAt: Instant,
        }),
      ),
    }),
  },
});
