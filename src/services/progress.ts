import { sql } from '@mikro-orm/core';
import { newId } from '../database/columns.ts';
import { XpEntry } from '../database/entities/progress.ts';
import type { Task } from '../database/entities/tasks.ts';
import type { Em } from '../database/orm.ts';
import { xpDifference } from '../domain/progress.ts';

/**
 * Brings the ledger in line with the task's state, in the caller's transaction, which holds the task's row lock (the lock is what
 * makes sum-then-insert safe). Whoever had XP for the task and is not its assignee any more gives it back. Returns the XP added for the
 * assignee; 0 where nothing was owed.
 */
export async function settleTaskXp(em: Em, task: Task, revisionXp: number): Promise<number> {
  const entries = await em.find(XpEntry, { causeKind: 'task', causeId: task.id });
  const assigneeId = task.assignee.id;
  let addedForAssignee = 0;
  for (const studentId of new Set([assigneeId, ...entries.map((entry) => entry.student.id)])) {
    const own = entries.filter((entry) => entry.student.id === studentId);
    const ledgerSum = own.reduce((sum, entry) => sum + entry.amount, 0);
    const amount = studentId === assigneeId ? xpDifference(task.status, revisionXp, ledgerSum) : -ledgerSum;
    if (amount === 0) continue;
    if (studentId === assigneeId) addedForAssignee = amount;
    em.create(XpEntry, {
      id: newId(),
      createdAt: new Date(),
      student: studentId,
      task,
      amount,
      causeKind: 'task',
      causeId: task.id,
      sequence: own.length + 1,
    });
  }
  return addedForAssignee;
}

/** A student's XP: the sum of the ledger. */
export async function selectXpTotal(em: Em, studentId: string): Promise<number> {
  const [row] = await em
    .createQueryBuilder(XpEntry, 'entry')
    .select([sql`coalesce(sum(entry.amount), 0)::int`.as('total')])
    .where({ student: studentId })
    .execute<{ total: number }[]>();
  return row?.total ?? 0;
}
