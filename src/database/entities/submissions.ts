import { defineEntity, p } from '@mikro-orm/core';
import {
  conclusions,
  type Draft,
  parkedClasses,
  type SubmissionSource,
  submissionStages,
  submissionStatuses,
} from '../../domain/submissions.ts';
import { identified, instant } from '../columns.ts';
import { ExerciseRevision } from './exercises.ts';
import { Task } from './tasks.ts';
import { User } from './users.ts';

const SubmissionSchema = defineEntity({
  name: 'Submission',
  schema: 'submissions',
  tableName: 'submissions',
  uniques: [{ properties: ['task', 'attemptNo'] }],
  indexes: [
    {
      name: 'submissions_one_open_per_task',
      expression:
        'create unique index "submissions_one_open_per_task" on "submissions"."submissions" ("task_id") where "closed_at" is null',
    },
    {
      name: 'submissions_unstarted',
      expression:
        'create index "submissions_unstarted" on "submissions"."submissions" ("created_at") where "started_at" is null and "closed_at" is null and "status" = \'SUBMITTED\'',
    },
    { properties: ['student'] },
    { properties: ['stage', 'submittedAt'] },
  ],
  properties: {
    ...identified,
    task: () => p.manyToOne(Task).ref(),
    /** Whose work it is; stays when the task is reassigned. */
    student: () => p.manyToOne(User).ref(),
    revision: () => p.manyToOne(ExerciseRevision).ref(),
    /** 1, 2, … counts all attempts at the task. */
    attemptNo: p.integer(),
    /** Whether the attempt cost the student; known when it is closed. */
    counted: p.boolean().strictNullable(),
    status: p.enum([...submissionStatuses]),
    /** Null while it is a draft. */
    stage: p.enum([...submissionStages]).strictNullable(),
    conclusion: p.enum([...conclusions]).strictNullable(),
    /** Why it waits for an admin, in words for the admin; set while PARKED. */
    parkedReason: p.text().strictNullable(),
    parkedClass: p.enum([...parkedClasses]).strictNullable(),
    /** What was written in the academy; null where the code came by git. */
    draft: p.json<Draft>().$type<Draft>().strictNullable(),
    /** Null while it is a draft. */
    source: p.json<SubmissionSource>().$type<SubmissionSource>().strictNullable(),
    workflowId: p.string().length(100).unique(),
    /** 1, 2, … of its workflows: another one is started where the last was terminated or deleted in Temporal. */
    workflowRunNo: p.integer(),
    /** Of its first check run, known before that is stored: the scoring job's id. */
    checkRunId: p.uuid().unique(),
    /** Null while it is a draft. */
    submittedAt: instant().strictNullable(),
    /** When the relay knew the workflow to be started; null makes this row an outbox entry. */
    startedAt: instant().strictNullable(),
    /** The promise to the student, from the course's policy; set when the review opens. */
    answerDueAt: instant().strictNullable(),
    /** Who reviews it, while UNDER_REVIEW. */
    claimedBy: () => p.manyToOne(User).ref().strictNullable(),
    /** When the claim lapses unless its holder is still there. */
    leaseUntil: instant().strictNullable(),
    closedAt: instant().strictNullable(),
    /** Number of its newest event; counted up under the row's lock. */
    lastSequence: p.integer(),
    /** Of the request that it came with; null where it came otherwise. */
    traceId: p.string().length(32).strictNullable(),
  },
});

/** One attempt at a task. */
export class Submission extends SubmissionSchema.class {}
SubmissionSchema.setClass(Submission);
