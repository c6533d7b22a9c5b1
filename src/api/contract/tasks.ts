import { z } from 'zod';
import { languageNames } from '../../domain/check-runs.ts';
import { taskStatuses } from '../../domain/tasks.ts';
import { ById, defineContract, Id, Instant } from './core.ts';

const TaskView = z
  .object({
    id: z.uuid(),
    status: z.enum(taskStatuses),
    courseSlug: z.string(),
    exercise: z.object({ id: z.uuid(), slug: z.string(), title: z.string(), language: z.enum(languageNames) }),
    xp: z.int(),
    assigneeId: z.uuid(),
    cloneUrl: z.string().meta({ description: 'Address for git clone and push; the password is an access token.' }),
    repoUrl: z.string().nullable().meta({ description: "Another host's repository that is submitted in place of this one." }),
    latestSubmissionId: z.uuid().nullable(),
    updatedAt: Instant,
  })
  .meta({ id: 'Task' });

/** What git accepts as a branch or tag name, and a good deal less: no option, no path tricks. */
const Ref = z
  .string()
  .max(200)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]*$/)
  .refine((ref) => !/\.\.|\/\/|\/\.|\.\/|[/.]$|\.lock(?:\/|$)/.test(ref), 'not a ref name');

/** What submitting is answered. */
export const AcceptedSubmission = z
  .object({
    submissionId: z.uuid(),
    attemptNo: z.int(),
    commit: z.string().nullable().meta({ description: 'Null until a repository of another host is fetched.' }),
    statusUrl: z.string(),
  })
  .meta({ id: 'AcceptedSubmission' });

export const tasksContract = defineContract({
  listTasks: {
    method: 'get',
    path: '/tasks',
    tag: 'tasks',
    summary: 'The tasks assigned to you',
    access: 'user',
    status: 200,
    response: z.object({ items: z.array(TaskView) }),
  },
  startTask: {
    method: 'post',
    path: '/tasks',
    tag: 'tasks',
    summary: 'Start an exercise of a course that you are enrolled in; a second call returns the same task',
    access: 'user',
    isKeyed: true,
    body: z.strictObject({ exerciseId: Id }),
    status: 201,
    response: TaskView,
  },
  getTask: {
    method: 'get',
    path: '/tasks/{id}',
    tag: 'tasks',
    summary: 'One task with its statement; its ETag is what an override names in If-Match',
    access: 'user',
    hasETag: true,
    params: ById,
    status: 200,
    response: TaskView.extend({ statement: z.string().meta({ description: 'Markdown' }) }).meta({ id: 'TaskDetails' }),
  },
  submitTask: {
    method: 'post',
    path: '/tasks/{id}/submit',
    tag: 'tasks',
    summary: "Submit the open draft where something is written in it, else what was pushed to the task's repository",
    access: 'user',
    isKeyed: true,
    params: ById,
    body: z.strictObject({
      ref: Ref.optional().meta({ description: 'Branch, tag or full commit id; main unless given.' }),
    }),
    status: 202,
    response: AcceptedSubmission,
  },
  changeTask: {
    method: 'patch',
    path: '/tasks/{id}',
    tag: 'tasks',
    summary: "Name another host's repository to submit from; null goes back to Atelier's own",
    access: 'user',
    params: ById,
    body: z.strictObject({ repoUrl: z.string().max(500).nullable() }),
    status: 200,
    response: TaskView,
  },
});
