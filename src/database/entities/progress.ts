import { defineEntity, p } from '@mikro-orm/core';
import { identified } from '../columns.ts';
import { Task } from './tasks.ts';
import { User } from './users.ts';

const XpEntrySchema = defineEntity({
  name: 'XpEntry',
  schema: 'progress',
  tableName: 'xp_entries',
  uniques: [{ properties: ['student', 'causeKind', 'causeId', 'sequence'] }],
  properties: {
    ...identified,
    student: () => p.manyToOne(User).ref(),
    task: () => p.manyToOne(Task).ref(),
    /** XP; negative where an approval was taken back. */
    amount: p.integer(),
    causeKind: p.enum(['task']),
    causeId: p.uuid(),
    /** 1, 2, … within the cause. */
    sequence: p.integer(),
  },
});

/** A row of the ledger; totals are always its sums. */
export class XpEntry extends XpEntrySchema.class {}
XpEntrySchema.setClass(XpEntry);
