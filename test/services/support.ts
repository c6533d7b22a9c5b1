import { newId } from '../../src/database/columns.ts';
import type { Orm } from '../../src/database/orm.ts';
import type { Role } from '../../src/domain/users.ts';
import { openReview } from '../../src/services/submissions.ts';
import { createStudentWithTask, createSubmission } from '../support/factories.ts';

export interface Attempt {
  readonly student: { readonly id: string; readonly role: Role; readonly email: string };
  readonly taskId: string;
  readonly submissionId: string;
}

/** A student's first submission, queued. */
export async function createAttempt(orm: Orm): Promise<Attempt> {
  const { student, taskId } = await createStudentWithTask(orm);
  return { student, taskId, submissionId: await createSubmission(orm, { taskId, studentId: student.id }) };
}

/** A student's first submission, its checks passed, waiting for a review. */
export async function createAttemptInReview(orm: Orm): Promise<Attempt> {
  const attempt = await createAttempt(orm);
  await openReview(orm.em.fork(), attempt.submissionId);
  return attempt;
}

/** All rows that tell of a submission, as they are: equal states mean that nothing was written in between. */
export async function stateOf(orm: Orm, { submissionId, taskId }: Attempt): Promise<Record<string, unknown[]>> {
  const em = orm.em.fork();
  const rows = (query: string, id: string) => em.execute<unknown[]>(`${query} order by id`, [id]);
  return {
    submission: await rows('select * from submissions.submissions where id = ?', submissionId),
    task: await rows('select * from learning.tasks where id = ?', taskId),
    reviews: await rows('select * from reviews.reviews where submission_id = ?', submissionId),
    xp: await rows('select * from progress.xp_entries where task_id = ?', taskId),
    activity: await rows('select * from operations.activity where submission_id = ?', submissionId),
    audit: await rows('select * from operations.audit where target_id = ?', submissionId),
    notifications: await rows('select * from notifications.notifications where submission_id = ?', submissionId),
    deliveries: await rows(
      'select * from notifications.deliveries where notification_id in (select id from notifications.notifications where submission_id = ?)',
      submissionId,
    ),
  };
}

/** Whom a submission's events were told, as `<kind> <user id>`, sorted. */
export async function noticesOf(orm: Orm, submissionId: string): Promise<string[]> {
  const rows = await orm.em
    .fork()
    .execute<{ kind: string; user_id: string }[]>('select * from notifications.notifications where submission_id = ?', [
      submissionId,
    ]);
  return rows.map(({ kind, user_id: userId }) => `${kind} ${userId}`).toSorted();
}

/** Kinds of a submission's domain events in the order in which they happened. */
export async function activityOf(orm: Orm, submissionId: string): Promise<string[]> {
  const rows = await orm.em
    .fork()
    .execute<{ kind: string }[]>('select kind from operations.activity where submission_id = ? order by created_at, id', [
      submissionId,
    ]);
  return rows.map(({ kind }) => kind);
}

/** How each of `count` calls at once ended: what they returned, and the kinds of what they threw. */
export async function race<T>(
  count: number,
  call: (index: number) => Promise<T>,
): Promise<{ returned: T[]; refused: unknown[] }> {
  const settled = await Promise.allSettled(Array.from({ length: count }, (_, index) => call(index)));
  return {
    returned: settled.filter((result) => result.status === 'fulfilled').map(({ value }) => value),
    refused: settled
      .filter((result) => result.status === 'rejected')
      .map(({ reason }: { reason: unknown }) => (reason instanceof Error && 'kind' in reason ? reason.kind : reason)),
  };
}

export const unknownId = newId();
