import { defineEntity, p } from '@mikro-orm/core';
import { taskStatuses } from '../../domain/tasks.ts';
import { identified, instant } from '../columns.ts';
import { Enrolment } from './enrolments.ts';
import { Exercise, ExerciseRevision } from './exercises.ts';
import { User } from './users.ts';

const TaskSchema = defineEntity({
  name: 'Task',
  schema: 'learning',
  tableName: 'tasks',
  uniques: [{ properties: ['enrolment', 'exercise'] }],
  indexes: [{ properties: ['assignee'] }],
  properties: {
    ...identified,
    enrolment: () => p.manyToOne(Enrolment).ref(),
    exercise: () => p.manyToOne(Exercise).ref(),
    /** Pinned at assignment: a new revision does not move the goal of who has begun. */
    revision: () => p.manyToOne(ExerciseRevision).ref(),
    assignee: () => p.manyToOne(User).ref(),
    status: p.enum([...taskStatuses]),
    /** Of our own repository for it: the task's own id, until the task is given to somebody else, who must not see the first one's work. */
    repositoryId: p.uuid().unique(),
    /** Another host's repository that is submitted in place of our own, in canonical form (`repo-urls.ts`). */
    repoUrl: p.text().strictNullable(),
    updatedAt: instant(),
    /** Goes up with every change: what If-Match is compared with. */
    version: p.integer().version(),
  },
});

/** An exercise assigned to a student by an enrolment. */
export class Task extends TaskSchema.class {}
TaskSchema.setClass(Task);
