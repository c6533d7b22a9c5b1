import { defineEntity, p } from '@mikro-orm/core';
import { type TrialOutput, type TrialRequest, type TrialResult, trialStatuses } from '../../domain/trial-runs.ts';
import { identified, instant } from '../columns.ts';
import { ExerciseRevision } from './exercises.ts';
import { User } from './users.ts';

const TrialRunSchema = defineEntity({
  name: 'TrialRun',
  schema: 'submissions',
  tableName: 'trial_runs',
  indexes: [{ properties: ['user', 'createdAt'] }, { properties: ['createdAt'] }],
  triggers: [
    {
      // Who follows it live hears of a change when it is committed.
      name: 'trial_run_tell',
      timing: 'after',
      events: ['update'],
      body: "perform pg_notify('trial_run_events', new.id::text); return new;",
    },
  ],
  properties: {
    ...identified,
    user: () => p.manyToOne(User).ref(),
    revision: () => p.manyToOne(ExerciseRevision).ref(),
    request: p.json<TrialRequest>().$type<TrialRequest>(),
    status: p.enum([...trialStatuses]),
    /** Empty until it is done. */
    results: p.json<readonly TrialResult[]>().$type<readonly TrialResult[]>(),
    /** What its runs wrote while they were under way; only ever grows. */
    output: p.json<readonly TrialOutput[]>().$type<readonly TrialOutput[]>(),
    /** Why it could not be run, for its student; null unless ERROR. */
    problem: p.text().strictNullable(),
    finishedAt: instant().strictNullable(),
  },
});

/** Code that is tried without submitting it; removed after an hour. */
export class TrialRun extends TrialRunSchema.class {}
TrialRunSchema.setClass(TrialRun);
