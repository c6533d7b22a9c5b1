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
    updatedAt: instant(),
  },
});

/** An exercise assigned to a student by an enrolment. */
export class Task extends TaskSchema.class {}
TaskSchema.setClass(Task);
