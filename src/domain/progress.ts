import type { TaskStatus } from './tasks.ts';

/**
 * What the ledger must add for a task so that its entries sum to what the task's state is worth: the revision's XP when approved, else
 * nothing. Zero means no entry. Repeating it after its own entry gives zero, which is what makes awarding idempotent.
 *
 * @param ledgerSum sum of the task's entries so far, in XP.
 */
export function xpDifference(status: TaskStatus, revisionXp: number, ledgerSum: number): number {
  return (status === 'APPROVED' ? revisionXp : 0) - ledgerSum;
}
