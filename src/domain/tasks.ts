import { DomainError } from './errors.ts';

/** States of a task: an exercise assigned to a student by an enrolment. */
export const taskStatuses = ['TODO', 'IN_PROGRESS', 'SUBMITTED', 'UNDER_REVIEW', 'APPROVED', 'REJECTED'] as const;
export type TaskStatus = (typeof taskStatuses)[number];

/** The states that an override sets: the others belong to an open submission, which an override closes. */
export const overridableStatuses = ['TODO', 'IN_PROGRESS', 'APPROVED', 'REJECTED'] as const satisfies readonly TaskStatus[];
export type OverridableStatus = (typeof overridableStatuses)[number];

/** What happens to a task; an override is none of these, it goes from any state to any other. */
export type TaskEvent = 'begin' | 'submit' | 'claim' | 'release' | 'approve' | 'reject' | 'reopen';

/** The one transition table. `begin` is the first draft or push, `reopen` failed checks, a source that is not there, or a cancel. */
const transitions: Readonly<Record<TaskStatus, Partial<Record<TaskEvent, TaskStatus>>>> = {
  TODO: { begin: 'IN_PROGRESS', submit: 'SUBMITTED' },
  IN_PROGRESS: { begin: 'IN_PROGRESS', submit: 'SUBMITTED' },
  SUBMITTED: { claim: 'UNDER_REVIEW', approve: 'APPROVED', reject: 'REJECTED', reopen: 'IN_PROGRESS' },
  UNDER_REVIEW: { release: 'SUBMITTED', approve: 'APPROVED', reject: 'REJECTED', reopen: 'IN_PROGRESS' },
  APPROVED: {},
  REJECTED: { begin: 'REJECTED', submit: 'SUBMITTED' },
};

/**
 * The state after `event`.
 *
 * @throws DomainError `invalid-state` where the table has no such transition.
 */
export function taskAfter(status: TaskStatus, event: TaskEvent): TaskStatus {
  const next = transitions[status][event];
  if (next === undefined) throw new DomainError('invalid-state', `A task that is ${status} does not take "${event}".`);
  return next;
}
