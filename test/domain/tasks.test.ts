import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DomainError, type ErrorKind } from '../../src/domain/errors.ts';
import { taskAfter, type TaskEvent, type TaskStatus, taskStatuses } from '../../src/domain/tasks.ts';

const events = ['begin', 'submit', 'claim', 'release', 'approve', 'reject', 'reopen'] as const satisfies TaskEvent[];

/** All that is allowed, written out a second time; whatever is not here must be refused. */
const allowed: Partial<Record<`${TaskStatus} ${TaskEvent}`, TaskStatus>> = {
  'TODO begin': 'IN_PROGRESS',
  'TODO submit': 'SUBMITTED',
  'IN_PROGRESS begin': 'IN_PROGRESS',
  'IN_PROGRESS submit': 'SUBMITTED',
  'SUBMITTED claim': 'UNDER_REVIEW',
  'SUBMITTED approve': 'APPROVED',
  'SUBMITTED reject': 'REJECTED',
  'SUBMITTED reopen': 'IN_PROGRESS',
  'UNDER_REVIEW release': 'SUBMITTED',
  'UNDER_REVIEW approve': 'APPROVED',
  'UNDER_REVIEW reject': 'REJECTED',
  'UNDER_REVIEW reopen': 'IN_PROGRESS',
  'REJECTED begin': 'REJECTED',
  'REJECTED submit': 'SUBMITTED',
};

function attempt(status: TaskStatus, event: TaskEvent): TaskStatus | ErrorKind {
  try {
    return taskAfter(status, event);
  } catch (error) {
    if (error instanceof DomainError) return error.kind;
    throw error;
  }
}

describe('taskAfter', () => {
  const pairs = taskStatuses.flatMap((status) => events.map((event) => [status, event] as const));

  it.each(pairs)('from %s by %s', (status, event) => {
    expect(attempt(status, event)).toBe(allowed[`${status} ${event}`] ?? 'invalid-state');
  });

  it('names the state and the event where it refuses', () => {
    expect(() => taskAfter('APPROVED', 'submit')).toThrow('APPROVED');
    expect(() => taskAfter('APPROVED', 'submit')).toThrow('submit');
  });

  it('ends only in APPROVED or REJECTED by a decision, and never leaves APPROVED, whatever happens', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...events), { maxLength: 30 }), (happenings) => {
        let status: TaskStatus = 'TODO';
        for (const event of happenings) {
          const before = status;
          const after = attempt(before, event);
          if (after === 'invalid-state') continue;
          if (before === 'APPROVED') throw new Error(`left APPROVED by ${event}`);
          const isDecision = event === 'approve' || event === 'reject';
          const isDecided = after === 'APPROVED' || (after === 'REJECTED' && before !== 'REJECTED');
          expect(isDecided).toBe(isDecision);
          status = after as TaskStatus;
        }
      }),
    );
  });
});
