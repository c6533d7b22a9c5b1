import { UniqueConstraintViolationException } from '@mikro-orm/core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { Course } from '../../src/database/entities/courses.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { User } from '../../src/database/entities/users.ts';
import type { TaskStatus } from '../../src/domain/tasks.ts';
import { commitClaim } from '../../src/services/claims.ts';
import {
  concludeWithoutReview,
  enterStage,
  markSubmissionStarted,
  openReview,
  relayUnstartedSubmissions,
  remindReviewers,
  submitTask,
} from '../../src/services/submissions.ts';
import type { SubmissionToStart } from '../../src/domain/submissions.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createStudentWithTask, createSubmission, createUser, publishDemoCourse } from '../support/factories.ts';
import {
  activityOf,
  type Attempt,
  createAttempt,
  createAttemptInReview,
  noticesOf,
  race,
  stateOf,
  unknownId,
} from './support.ts';

const closeByAdmin = (submissionId: string) => concludeWithoutReview(em(), { submissionId, conclusion: 'closed-by-admin' });

let database: TestDatabase;
let reviewerId: string;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
  reviewerId = (await createUser(database.orm, 'ACADEMY_REVIEWER')).id;
});

afterAll(() => database.close());

const em = () => database.orm.em.fork();
const selectSubmission = (id: string) => em().findOneOrFail(Submission, id);
const taskStatus = async (id: string) => (await em().findOneOrFail(Task, id)).status;

const submit = (taskId: string, actorId: string, submissionId = newId()) =>
  em().transactional((tx) =>
    submitTask(tx, {
      taskId,
      actorId,
      submissionId,
      makeSource: async ({ repositoryId }) => ({ kind: 'hosted', repositoryId, commit: 'a'.repeat(40) }),
    }),
  );

/** Does it twice, and expects that the second time wrote nothing at all. */
async function expectSecondTimeWritesNothing(attempt: Attempt, change: () => Promise<unknown>): Promise<void> {
  const untouched = await stateOf(database.orm, attempt);
  await change();
  const once = await stateOf(database.orm, attempt);
  expect(once).not.toEqual(untouched);
  await change();
  expect(await stateOf(database.orm, attempt)).toEqual(once);
}

describe('submitTask', () => {
  it('locks the task and leaves an entry of the outbox', async () => {
    const { student, taskId } = await createStudentWithTask(database.orm);
    const { submissionId, attemptNo } = await submit(taskId, student.id);
    expect(attemptNo).toBe(1);
    expect(await selectSubmission(submissionId)).toMatchObject({
      status: 'SUBMITTED',
      stage: 'QUEUED',
      workflowId: `submission-${submissionId}`,
      startedAt: null,
      closedAt: null,
      counted: null,
    });
    expect(await taskStatus(taskId)).toBe('SUBMITTED');
    expect(await activityOf(database.orm, submissionId)).toEqual(['task.submitted']);
  });

  it('makes one submission of many at once', async () => {
    const { student, taskId } = await createStudentWithTask(database.orm);
    const { returned, refused } = await race(20, () => submit(taskId, student.id));
    expect(returned).toHaveLength(1);
    expect(refused).toEqual(Array(19).fill('invalid-state'));
    expect(await em().count(Submission, { task: taskId })).toBe(1);
  });

  it('refuses a second one while the first is open, wherever that is', async () => {
    const { student, taskId, submissionId } = await createAttempt(database.orm);
    const stages = [
      () => enterStage(em(), { submissionId, stage: 'CHECKING' }),
      () => enterStage(em(), { submissionId, stage: 'PARKED' }),
      () => openReview(em(), submissionId),
      () => commitClaim(em(), { submissionId, actorId: reviewerId }),
    ];
    for (const enter of stages) {
      await enter();
      await expect(submit(taskId, student.id)).rejects.toMatchObject({ kind: 'invalid-state' });
    }
    // Also where the task's state alone would allow it.
    await em().nativeUpdate(Task, taskId, { status: 'IN_PROGRESS' });
    await expect(submit(taskId, student.id)).rejects.toMatchObject({ kind: 'invalid-state' });
  });

  it.each<[TaskStatus, string]>([
    ['TODO', 'SUBMITTED'],
    ['IN_PROGRESS', 'SUBMITTED'],
    ['REJECTED', 'SUBMITTED'],
    ['APPROVED', 'invalid-state'],
    ['SUBMITTED', 'invalid-state'],
    ['UNDER_REVIEW', 'invalid-state'],
  ])('of a task that is %s: %s', async (status, expected) => {
    const { student, taskId } = await createStudentWithTask(database.orm);
    await em().nativeUpdate(Task, taskId, { status });
    const { refused } = await race(1, () => submit(taskId, student.id));
    expect(refused[0] ?? (await taskStatus(taskId))).toBe(expected);
    expect(await em().count(Submission, { task: taskId })).toBe(expected === 'SUBMITTED' ? 1 : 0);
  });

  it('is for the assignee; to all others there is no such task', async () => {
    const { taskId } = await createStudentWithTask(database.orm);
    for (const role of ['CODING_STUDENT', 'INSTRUCTOR', 'SUPER_ADMIN'] as const) {
      const { id } = await createUser(database.orm, role);
      await expect(submit(taskId, id)).rejects.toMatchObject({ kind: 'not-found' });
    }
    await expect(submit(unknownId, reviewerId)).rejects.toMatchObject({ kind: 'not-found' });
    expect(await taskStatus(taskId)).toBe('TODO');
  });

  it('counts attempts, those that did not cost anything too', async () => {
    const { student, taskId, submissionId } = await createAttempt(database.orm);
    await concludeWithoutReview(em(), { submissionId, conclusion: 'source-unavailable' });
    expect(await submit(taskId, student.id)).toMatchObject({ attemptNo: 2 });
  });

  it('is backed by the database: a task has one open submission, whoever writes', async () => {
    const { submissionId } = await createAttempt(database.orm);
    const copy = (closedAt: string) =>
      em().execute(
        `insert into submissions.submissions (id, created_at, task_id, student_id, revision_id, attempt_no, status, workflow_id,
                                              workflow_run_no, check_run_id, last_sequence, closed_at)
         select gen_random_uuid(), created_at, task_id, student_id, revision_id, attempt_no + 1, status, gen_random_uuid()::text,
                1, gen_random_uuid(), 0, ${closedAt}
         from submissions.submissions where id = ?`,
        [submissionId],
      );
    await expect(copy('null')).rejects.toThrow(UniqueConstraintViolationException);
    await expect(copy('null')).rejects.toThrow('submissions_one_open_per_task');
    await copy('now()');
  });
});

describe('relayUnstartedSubmissions', () => {
  beforeEach(async () => {
    await em().nativeUpdate(Submission, { startedAt: null }, { startedAt: new Date() });
  });

  const relay = (start: (submission: SubmissionToStart) => Promise<void>, limit = 20) =>
    relayUnstartedSubmissions(em(), limit, start);

  /** A relay that remembers what it was asked to start. */
  const collecting = () => {
    const ids: string[] = [];
    return { ids, start: async ({ id }: SubmissionToStart) => void ids.push(id) };
  };

  it('starts what is not started, oldest first, once, and knows all that starting takes', async () => {
    const [first, second] = [await createAttempt(database.orm), await createAttempt(database.orm)];
    const started: SubmissionToStart[] = [];
    expect(await relay(async (submission) => void started.push(submission))).toBe(2);
    expect(started.map(({ id }) => id)).toEqual([first.submissionId, second.submissionId]);
    const { exercise } = await em().findOneOrFail(Task, first.taskId);
    expect(started[0]).toEqual({
      id: first.submissionId,
      workflowId: `submission-${first.submissionId}`,
      studentId: first.student.id,
      taskId: first.taskId,
      exerciseId: exercise.id,
      attemptNo: 1,
    });
    const again = collecting();
    expect(await relay(again.start)).toBe(0);
    expect(again.ids).toEqual([]);
  });

  it('takes no more than its limit', async () => {
    const attempts = [await createAttempt(database.orm), await createAttempt(database.orm), await createAttempt(database.orm)];
    const [one, two] = [collecting(), collecting()];
    expect(await relay(one.start, 2)).toBe(2);
    expect(await relay(two.start, 2)).toBe(1);
    expect([...one.ids, ...two.ids]).toEqual(attempts.map(({ submissionId }) => submissionId));
  });

  it('skips rows that another relay holds, and takes the others', async () => {
    const [held, free] = [await createAttempt(database.orm), await createAttempt(database.orm)];
    let finish = () => {};
    const blocked = new Promise<void>((resolve) => {
      finish = resolve;
    });
    let isHeld = () => {};
    const holding = new Promise<void>((resolve) => {
      isHeld = resolve;
    });
    const first = relay(async () => {
      isHeld();
      await blocked;
    }, 1);
    await holding;
    const second = collecting();
    expect(await relay(second.start)).toBe(1);
    expect(second.ids).toEqual([free.submissionId]);
    finish();
    expect(await first).toBe(1);
    expect((await selectSubmission(held.submissionId)).startedAt).not.toBeNull();
  });

  it('leaves a row whose start failed for the next time', async () => {
    const { submissionId } = await createAttempt(database.orm);
    await expect(relay(() => Promise.reject(new Error('Temporal is away')))).rejects.toThrow('Temporal is away');
    expect((await selectSubmission(submissionId)).startedAt).toBeNull();
    const next = collecting();
    await relay(next.start);
    expect(next.ids).toEqual([submissionId]);
  });

  it('leaves alone what the api has started and what is closed', async () => {
    const [started, closed] = [await createAttempt(database.orm), await createAttempt(database.orm)];
    await markSubmissionStarted(em(), started.submissionId);
    const { startedAt } = await selectSubmission(started.submissionId);
    await markSubmissionStarted(em(), started.submissionId);
    await closeByAdmin(closed.submissionId);
    expect(await relay(() => Promise.reject(new Error('asked to start')))).toBe(0);
    expect((await selectSubmission(started.submissionId)).startedAt).toEqual(startedAt);
  });
});

describe('enterStage', () => {
  it('writes a stage once', async () => {
    const attempt = await createAttempt(database.orm);
    const { submissionId } = attempt;
    await expectSecondTimeWritesNothing(attempt, () => enterStage(em(), { submissionId, stage: 'CHECKING' }));
    expect(await selectSubmission(submissionId)).toMatchObject({ stage: 'CHECKING' });
  });

  it('parks with the reason for the admin, and forgets the reason when the submission is driven again', async () => {
    const attempt = await createAttempt(database.orm);
    const { submissionId } = attempt;
    const park = () => enterStage(em(), { submissionId, stage: 'PARKED', parkedReason: 'no sandbox' });
    await expectSecondTimeWritesNothing(attempt, park);
    expect(await selectSubmission(submissionId)).toMatchObject({ stage: 'PARKED', parkedReason: 'no sandbox' });
    await expectSecondTimeWritesNothing(attempt, () => enterStage(em(), { submissionId, stage: 'QUEUED' }));
    expect(await selectSubmission(submissionId)).toMatchObject({ stage: 'QUEUED', parkedReason: null });
    expect(await activityOf(database.orm, submissionId)).toEqual(['task.submitted', 'submission.parked', 'submission.redriven']);
    expect(await noticesOf(database.orm, submissionId)).toEqual([]);
  });

  it('takes nothing out of review for a judge that was thought dead', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const open = await stateOf(database.orm, attempt);
    await enterStage(em(), { submissionId: attempt.submissionId, stage: 'CHECKING' });
    expect(await stateOf(database.orm, attempt)).toEqual(open);
  });

  it('leaves a closed submission closed, and knows no other', async () => {
    const attempt = await createAttempt(database.orm);
    await concludeWithoutReview(em(), { submissionId: attempt.submissionId, conclusion: 'checks-failed' });
    const closed = await stateOf(database.orm, attempt);
    await enterStage(em(), { submissionId: attempt.submissionId, stage: 'CHECKING' });
    expect(await stateOf(database.orm, attempt)).toEqual(closed);
    await expect(enterStage(em(), { submissionId: unknownId, stage: 'CHECKING' })).rejects.toMatchObject({ kind: 'not-found' });
  });
});

describe('openReview', () => {
  it('promises an answer by the policy of the course, tells student and reviewers, once', async () => {
    const attempt = await createAttempt(database.orm);
    const { submissionId } = attempt;
    const before = Date.now();
    await expectSecondTimeWritesNothing(attempt, () => openReview(em(), submissionId));
    const { answerDueAt, stage } = await selectSubmission(submissionId);
    expect(stage).toBe('AWAITING_REVIEW');
    const { dueAfterMs, remindAfterMs } = await em().findOneOrFail(Course, { isDefault: true });
    const dueAt = answerDueAt?.getTime() ?? 0;
    expect(dueAt).toBeGreaterThanOrEqual(before + dueAfterMs);
    expect(dueAt).toBeLessThanOrEqual(Date.now() + dueAfterMs);
    expect(await openReview(em(), submissionId)).toEqual({ dueAt, remindAt: dueAt - dueAfterMs + remindAfterMs });
    expect(await noticesOf(database.orm, submissionId)).toEqual([
      `in-review ${attempt.student.id}`,
      `review-wanted ${reviewerId}`,
    ]);
  });

  it('keeps its promise where the review is opened again after trouble', async () => {
    const { submissionId } = await createAttemptInReview(database.orm);
    const { answerDueAt } = await selectSubmission(submissionId);
    await enterStage(em(), { submissionId, stage: 'PARKED', parkedReason: 'lost' });
    await openReview(em(), submissionId);
    expect(await selectSubmission(submissionId)).toMatchObject({ stage: 'AWAITING_REVIEW', answerDueAt });
  });

  it('finds a closed submission ended', async () => {
    const { submissionId } = await createAttempt(database.orm);
    await closeByAdmin(submissionId);
    expect(await openReview(em(), submissionId)).toEqual({ conclusion: 'closed-by-admin' });
  });

  it('asks neither blocked reviewers nor the one whose work it is', async () => {
    const blocked = await createUser(database.orm, 'ACADEMY_REVIEWER');
    await em().nativeUpdate(User, blocked.id, { disabledAt: new Date() });
    const { student, taskId } = await createStudentWithTask(database.orm);
    await em().nativeUpdate(User, student.id, { role: 'ACADEMY_REVIEWER' });
    const submissionId = await createSubmission(database.orm, { taskId, studentId: student.id });
    await openReview(em(), submissionId);
    await em().nativeUpdate(User, student.id, { role: 'CODING_STUDENT' });
    expect(await noticesOf(database.orm, submissionId)).toEqual([`in-review ${student.id}`, `review-wanted ${reviewerId}`]);
  });
});

describe('remindReviewers', () => {
  it('reminds the reviewers once, and tells the student as well when the answer is overdue', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const { submissionId, student } = attempt;
    await expectSecondTimeWritesNothing(attempt, () => remindReviewers(em(), { submissionId, kind: 'review-reminder' }));
    await expectSecondTimeWritesNothing(attempt, () => remindReviewers(em(), { submissionId, kind: 'review-overdue' }));
    const expected = [
      `in-review ${student.id}`,
      `review-overdue ${student.id}`,
      `review-overdue ${reviewerId}`,
      `review-reminder ${reviewerId}`,
      `review-wanted ${reviewerId}`,
    ];
    expect(await noticesOf(database.orm, submissionId)).toEqual(expected.toSorted());
  });

  it('reminds nobody of what is closed', async () => {
    const attempt = await createAttemptInReview(database.orm);
    await closeByAdmin(attempt.submissionId);
    const closed = await stateOf(database.orm, attempt);
    await remindReviewers(em(), { submissionId: attempt.submissionId, kind: 'review-overdue' });
    expect(await stateOf(database.orm, attempt)).toEqual(closed);
  });
});

describe('the end without a review', () => {
  it.each([
    ['checks-failed', true],
    ['source-unavailable', false],
  ] as const)('%s opens the task for the next attempt and tells the student, once; counted: %s', async (conclusion, counted) => {
    const attempt = await createAttempt(database.orm);
    const { submissionId, taskId, student } = attempt;
    await expectSecondTimeWritesNothing(attempt, () => concludeWithoutReview(em(), { submissionId, conclusion }));
    const submission = await selectSubmission(submissionId);
    expect(submission).toMatchObject({ stage: 'CLOSED', conclusion, counted });
    expect(submission.closedAt).toBeInstanceOf(Date);
    expect(await taskStatus(taskId)).toBe('IN_PROGRESS');
    expect(await noticesOf(database.orm, submissionId)).toEqual([`${conclusion} ${student.id}`]);
    expect(await submit(taskId, student.id)).toMatchObject({ attemptNo: 2 });
  });

  it('by an admin costs no attempt, is audited, and is told to the student', async () => {
    const attempt = await createAttempt(database.orm);
    const { submissionId, taskId } = attempt;
    await enterStage(em(), { submissionId, stage: 'PARKED', parkedReason: 'no sandbox' });
    await expectSecondTimeWritesNothing(attempt, () => closeByAdmin(submissionId));
    expect(await selectSubmission(submissionId)).toMatchObject({
      stage: 'CLOSED',
      conclusion: 'closed-by-admin',
      counted: false,
      parkedReason: null,
    });
    expect(await taskStatus(taskId)).toBe('IN_PROGRESS');
    const { audit } = await stateOf(database.orm, attempt);
    expect(audit).toEqual([expect.objectContaining({ action: 'submission.closed', via: 'temporal' })]);
    expect(await noticesOf(database.orm, submissionId)).toEqual([expect.stringContaining('closed-by-admin')]);
  });

  it('taken back costs no attempt, opens the task again, and tells nobody', async () => {
    const attempt = await createAttempt(database.orm);
    const { submissionId, taskId } = attempt;
    await expectSecondTimeWritesNothing(attempt, () => concludeWithoutReview(em(), { submissionId, conclusion: 'cancelled' }));
    expect(await selectSubmission(submissionId)).toMatchObject({ stage: 'CLOSED', conclusion: 'cancelled', counted: false });
    expect(await taskStatus(taskId)).toBe('IN_PROGRESS');
    expect(await noticesOf(database.orm, submissionId)).toEqual([]);
  });

  it('of two that end it at once, the first does', async () => {
    const attempt = await createAttempt(database.orm);
    const { submissionId } = attempt;
    const { refused } = await race(10, (index) =>
      index % 2 === 0 ? closeByAdmin(submissionId) : concludeWithoutReview(em(), { submissionId, conclusion: 'checks-failed' }),
    );
    expect(refused).toEqual([]);
    const { conclusion } = await selectSubmission(submissionId);
    const { audit, notifications } = await stateOf(database.orm, attempt);
    expect([conclusion, audit?.length, notifications?.length]).toEqual(
      conclusion === 'closed-by-admin' ? ['closed-by-admin', 1, 1] : ['checks-failed', 0, 1],
    );
  });
});
