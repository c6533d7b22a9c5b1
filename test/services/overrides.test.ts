import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { XpEntry } from '../../src/database/entities/progress.ts';
import { Override, Review } from '../../src/database/entities/reviews.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { User } from '../../src/database/entities/users.ts';
import type { ReviewOutcome } from '../../src/domain/reviews.ts';
import type { Role } from '../../src/domain/users.ts';
import { commitClaim } from '../../src/services/claims.ts';
import { openDraft } from '../../src/services/drafts.ts';
import {
  commitOverride,
  markOverrideStarted,
  recordOverrideSignal,
  relayUnstartedOverrides,
  requestReviewOverride,
  requestTaskOverride,
  selectOverriddenWorkflow,
} from '../../src/services/overrides.ts';
import { selectXpTotal } from '../../src/services/progress.ts';
import { commitDecision } from '../../src/services/reviews.ts';
import { concludeWithoutReview, enterStage, markSubmissionStarted, openReview } from '../../src/services/submissions.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createStudentWithTask, createSubmission, createUser, publishDemoCourse } from '../support/factories.ts';
import { type Attempt, createAttempt, createAttemptInReview, race, stateOf, unknownId } from './support.ts';

let database: TestDatabase;
let admin: { id: string; role: Role };
let reviewer: { id: string; role: Role };
/** XP of the starter exercise. */
const worth = 50;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
  admin = await createUser(database.orm, 'SUPER_ADMIN');
  reviewer = await createUser(database.orm, 'ACADEMY_REVIEWER');
});

afterAll(() => database.close());

const em = () => database.orm.em.fork();
const selectTask = (id: string) => em().findOneOrFail(Task, id);
const selectSubmission = (id: string) => em().findOneOrFail(Submission, id);
const commit = (overrideId: string) => commitOverride(em(), overrideId);
const ledgerOf = async (taskId: string) =>
  (await em().find(XpEntry, { task: taskId }, { orderBy: { createdAt: 'asc', id: 'asc' } })).map(({ amount }) => amount);
const decide = ({ submissionId }: Attempt, outcome: ReviewOutcome) =>
  commitDecision(em(), { submissionId, requestId: newId(), actorId: reviewer.id, outcome, via: 'api' });

type TaskOverride = Parameters<typeof requestTaskOverride>[2];
type ReviewOverride = Parameters<typeof requestReviewOverride>[2];

async function askForTask(taskId: string, changes: Partial<TaskOverride> = {}, actor = admin): Promise<string> {
  const { version } = await selectTask(taskId);
  const { overrideId } = await em().transactional((tx) =>
    requestTaskOverride(tx, actor, { taskId, version, reason: 'it is right so', ...changes }),
  );
  return overrideId;
}

async function askForReview(submissionId: string, outcome: ReviewOutcome, changes: Partial<ReviewOverride> = {}, actor = admin) {
  const { id } = await em().findOneOrFail(Review, { submission: submissionId, supersededBy: null });
  const { overrideId } = await em().transactional((tx) =>
    requestReviewOverride(tx, actor, { reviewId: id, ifMatch: id, outcome, reason: 'looked again', ...changes }),
  );
  return overrideId;
}

describe('an override of a task', () => {
  it('needs no submission', async () => {
    const { student, taskId } = await createStudentWithTask(database.orm);
    const overrideId = await askForTask(taskId, { status: 'APPROVED' });
    expect((await selectTask(taskId)).status).toBe('TODO');
    await commit(overrideId);
    expect(await selectTask(taskId)).toMatchObject({ status: 'APPROVED', assignee: { id: student.id } });
    expect(await selectXpTotal(em(), student.id)).toBe(worth);
    expect(await em().find(Override, { task: taskId })).toMatchObject([{ appliedAt: expect.any(Date), via: 'api' }]);
    const audit = await em().execute('select * from operations.audit where target_id = ?', [taskId]);
    expect(audit).toMatchObject([
      {
        action: 'task.overridden',
        actor_id: admin.id,
        via: 'api',
        data: { overrideId, reason: 'it is right so', xpAdded: worth, from: { status: 'TODO' }, to: { status: 'APPROVED' } },
      },
    ]);
    const told = await em().execute('select kind from notifications.notifications where user_id = ? and task_id = ?', [
      student.id,
      taskId,
    ]);
    expect(told).toEqual([{ kind: 'overridden' }]);
  });

  it('closes an open draft', async () => {
    const { student, taskId } = await createStudentWithTask(database.orm);
    const { submissionId } = await em().transactional((tx) => openDraft(tx, student, taskId));
    await commit(await askForTask(taskId, { status: 'APPROVED' }));
    expect(await selectSubmission(submissionId)).toMatchObject({ conclusion: 'closed-by-admin', counted: false });
    expect((await selectTask(taskId)).status).toBe('APPROVED');
    expect(await em().count(Review, { submission: submissionId })).toBe(0);
  });

  const stages: [string, (attempt: Attempt) => Promise<unknown>][] = [
    ['QUEUED', async () => undefined],
    ['CHECKING', ({ submissionId }) => enterStage(em(), { submissionId, stage: 'CHECKING' })],
    ['PARKED', ({ submissionId }) => enterStage(em(), { submissionId, stage: 'PARKED', parkedReason: 'no disk' })],
    ['AWAITING_REVIEW', ({ submissionId }) => openReview(em(), submissionId)],
    [
      'UNDER_REVIEW',
      async ({ submissionId }) => {
        await openReview(em(), submissionId);
        await commitClaim(em(), { submissionId, actorId: reviewer.id });
      },
    ],
  ];

  it.each(stages)('decides an open submission that is %s', async (stage, enter) => {
    const attempt = await createAttempt(database.orm);
    await enter(attempt);
    expect((await selectSubmission(attempt.submissionId)).stage).toBe(stage);
    await commit(await askForTask(attempt.taskId, { status: 'REJECTED' }));
    expect(await selectSubmission(attempt.submissionId)).toMatchObject({
      stage: 'CLOSED',
      conclusion: 'rejected',
      counted: true,
      claimedBy: null,
      parkedReason: null,
    });
    expect((await selectTask(attempt.taskId)).status).toBe('REJECTED');
    const reviews = await em().find(Review, { submission: attempt.submissionId });
    expect(reviews).toMatchObject([
      { outcome: 'REJECTED', reviewer: { id: admin.id }, comment: 'it is right so', supersededBy: null },
    ]);
    // The workflow, which was at another step, finds it ended.
    const ended = { conclusion: 'rejected' };
    const { submissionId } = attempt;
    expect(await concludeWithoutReview(em(), { submissionId, conclusion: 'checks-failed' })).toEqual(ended);
    expect(await openReview(em(), submissionId)).toEqual(ended);
    expect(await decide(attempt, 'APPROVED')).toMatchObject({ status: 'refused', kind: 'already-decided', ...ended });
  });

  it.each(['TODO', 'IN_PROGRESS'] as const)('to %s closes an open submission at no cost, and takes no review', async (status) => {
    const attempt = await createAttemptInReview(database.orm);
    await commit(await askForTask(attempt.taskId, { status }));
    expect(await selectSubmission(attempt.submissionId)).toMatchObject({ conclusion: 'closed-by-admin', counted: false });
    expect((await selectTask(attempt.taskId)).status).toBe(status);
    expect(await em().count(Review, { submission: attempt.submissionId })).toBe(0);
  });

  it('to another student begins anew there: own repository, no XP for what the first one did', async () => {
    const attempt = await createAttemptInReview(database.orm);
    await decide(attempt, 'APPROVED');
    const { repositoryId } = await selectTask(attempt.taskId);
    const next = await createUser(database.orm);
    await commit(await askForTask(attempt.taskId, { assigneeId: next.id }));
    const task = await selectTask(attempt.taskId);
    expect(task).toMatchObject({ status: 'TODO', assignee: { id: next.id }, repoUrl: null });
    expect(task.repositoryId).not.toBe(repositoryId);
    expect(await ledgerOf(attempt.taskId)).toEqual([worth, -worth]);
    expect([await selectXpTotal(em(), attempt.student.id), await selectXpTotal(em(), next.id)]).toEqual([0, 0]);
    // What was submitted stays the work of who submitted it.
    expect(await selectSubmission(attempt.submissionId)).toMatchObject({
      student: { id: attempt.student.id },
      conclusion: 'approved',
    });
    const told = await em().execute<{ kind: string; user_id: string }[]>(
      'select kind, user_id from notifications.notifications where task_id = ? order by kind',
      [attempt.taskId],
    );
    expect(told).toEqual([
      { kind: 'overridden', user_id: attempt.student.id },
      { kind: 'task-assigned', user_id: next.id },
    ]);
    const second = await createSubmission(database.orm, { taskId: attempt.taskId, studentId: next.id });
    expect(await selectSubmission(second)).toMatchObject({
      student: { id: next.id },
      source: { repositoryId: task.repositoryId },
    });
  });

  it('to another student as approved moves the XP', async () => {
    const attempt = await createAttemptInReview(database.orm);
    await decide(attempt, 'APPROVED');
    const next = await createUser(database.orm);
    await commit(await askForTask(attempt.taskId, { assigneeId: next.id, status: 'APPROVED' }));
    expect([await selectXpTotal(em(), attempt.student.id), await selectXpTotal(em(), next.id)]).toEqual([0, worth]);
    expect(await em().find(Review, { submission: attempt.submissionId })).toMatchObject([{ reviewer: { id: reviewer.id } }]);
  });

  it('is refused for what is not there any more, for an unknown assignee, and for the admin’s own work', async () => {
    const { student, taskId } = await createStudentWithTask(database.orm);
    const disabled = await createUser(database.orm);
    await em().nativeUpdate(User, disabled.id, { disabledAt: new Date() });
    const refusals: [Promise<string>, string][] = [
      [askForTask(taskId, { taskId: unknownId }), 'not-found'],
      [askForTask(taskId, { version: 99 }), 'changed-meanwhile'],
      [askForTask(taskId, { assigneeId: unknownId }), 'validation'],
      [askForTask(taskId, { assigneeId: disabled.id }), 'validation'],
      [askForTask(taskId, { assigneeId: admin.id }), 'self-review'],
      [askForTask(taskId, {}, { id: student.id, role: 'SUPER_ADMIN' }), 'self-review'],
    ];
    for (const [refused, kind] of refusals) await expect(refused).rejects.toMatchObject({ kind });
    expect(await em().count(Override, { task: taskId })).toBe(0);
  });

  it('that is not applied yet blocks the next; of many at once one is stored', async () => {
    const { taskId } = await createStudentWithTask(database.orm);
    const { version } = await selectTask(taskId);
    const { returned, refused } = await race(10, () => askForTask(taskId, { status: 'APPROVED', version }));
    expect(returned).toHaveLength(1);
    expect(refused).toEqual(Array(9).fill('invalid-state'));
    await commit(returned[0] ?? '');
    await expect(askForTask(taskId, { status: 'TODO', version })).rejects.toMatchObject({ kind: 'changed-meanwhile' });
    await commit(await askForTask(taskId, { status: 'TODO' }));
    expect(await ledgerOf(taskId)).toEqual([worth, -worth]);
  });
});

describe('an override of a review', () => {
  it('over and over adds and takes the XP each time, with exactly one current review', async () => {
    const attempt = await createAttemptInReview(database.orm);
    await decide(attempt, 'APPROVED');
    const { closedAt } = await selectSubmission(attempt.submissionId);
    for (const outcome of ['REJECTED', 'APPROVED'] as const) {
      await commit(await askForReview(attempt.submissionId, outcome));
      expect((await selectTask(attempt.taskId)).status).toBe(outcome);
      expect(await selectSubmission(attempt.submissionId)).toMatchObject({ conclusion: outcome.toLowerCase(), closedAt });
    }
    expect(await ledgerOf(attempt.taskId)).toEqual([worth, -worth, worth]);
    expect(await selectXpTotal(em(), attempt.student.id)).toBe(worth);
    const reviews = await em().find(Review, { submission: attempt.submissionId }, { orderBy: { id: 'asc' } });
    expect(reviews.map(({ outcome }) => outcome)).toEqual(['APPROVED', 'REJECTED', 'APPROVED']);
    expect(reviews.map((review) => review.supersededBy?.id)).toEqual([reviews[1]?.id, reviews[2]?.id, undefined]);
    expect(reviews.map((review) => review.reviewer.id)).toEqual([reviewer.id, admin.id, admin.id]);
  });

  it('is refused where the entity tag is another’s, the review superseded or unknown, and for the admin’s own work', async () => {
    const attempt = await createAttemptInReview(database.orm);
    await decide(attempt, 'APPROVED');
    const first = await em().findOneOrFail(Review, { submission: attempt.submissionId });
    const owner = { id: attempt.student.id, role: 'SUPER_ADMIN' as const };
    const refusals: [Promise<string>, string][] = [
      [askForReview(attempt.submissionId, 'REJECTED', { ifMatch: unknownId }), 'changed-meanwhile'],
      [askForReview(attempt.submissionId, 'REJECTED', { reviewId: unknownId }), 'not-found'],
      [askForReview(attempt.submissionId, 'REJECTED', {}, owner), 'self-review'],
    ];
    for (const [refused, kind] of refusals) await expect(refused).rejects.toMatchObject({ kind });
    await commit(await askForReview(attempt.submissionId, 'REJECTED'));
    const stale = askForReview(attempt.submissionId, 'REJECTED', { reviewId: first.id, ifMatch: first.id });
    await expect(stale).rejects.toMatchObject({ kind: 'changed-meanwhile' });
  });

  it('of an earlier attempt closes the open one, and is refused once a later one is decided', async () => {
    const first = await createAttemptInReview(database.orm);
    await decide(first, 'REJECTED');
    const nextAttempt = async () => {
      const submissionId = await createSubmission(database.orm, { taskId: first.taskId, studentId: first.student.id });
      await openReview(em(), submissionId);
      return { ...first, submissionId };
    };
    const second = await nextAttempt();
    await commit(await askForReview(first.submissionId, 'APPROVED'));
    expect(await selectSubmission(second.submissionId)).toMatchObject({ conclusion: 'closed-by-admin', counted: false });
    expect(await selectSubmission(first.submissionId)).toMatchObject({ conclusion: 'approved' });
    expect((await selectTask(first.taskId)).status).toBe('APPROVED');

    await commit(await askForReview(first.submissionId, 'REJECTED'));
    await decide(await nextAttempt(), 'APPROVED');
    await expect(askForReview(first.submissionId, 'APPROVED')).rejects.toMatchObject({ kind: 'invalid-state' });
  });

  it('is refused once the task is somebody else’s, who must not be given the XP', async () => {
    const attempt = await createAttemptInReview(database.orm);
    await decide(attempt, 'REJECTED');
    const next = await createUser(database.orm);
    await commit(await askForTask(attempt.taskId, { assigneeId: next.id }));
    await expect(askForReview(attempt.submissionId, 'APPROVED')).rejects.toMatchObject({ kind: 'invalid-state' });
  });
});

describe('commitOverride', () => {
  it('has one effect of 20 at once, and none of a repeat', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const overrideId = await askForTask(attempt.taskId, { status: 'APPROVED' });
    const { refused } = await race(20, () => commit(overrideId));
    expect(refused).toEqual([]);
    const state = await stateOf(database.orm, attempt);
    expect([state['reviews']?.length, state['xp']?.length]).toEqual([1, 1]);
    const audit = await em().execute('select 1 from operations.audit where target_id = ?', [attempt.taskId]);
    expect(audit).toHaveLength(1);
    await commit(overrideId);
    expect(await stateOf(database.orm, attempt)).toEqual(state);
  });

  it('knows no other', async () => {
    await expect(commit(unknownId)).rejects.toMatchObject({ kind: 'not-found' });
  });

  it('and a decision at once leave one current review and its XP', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const overrideId = await askForTask(attempt.taskId, { status: 'REJECTED' });
    await Promise.all([commit(overrideId), decide(attempt, 'APPROVED')]);
    expect(await em().count(Review, { submission: attempt.submissionId, supersededBy: null })).toBe(1);
    expect((await selectTask(attempt.taskId)).status).toBe('REJECTED');
    expect(await selectXpTotal(em(), attempt.student.id)).toBe(0);
  });
});

describe('the workflow that an override takes the submission from', () => {
  it('is that of the open and started one', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const overrideId = await askForTask(attempt.taskId, { status: 'APPROVED' });
    expect(await selectOverriddenWorkflow(em(), overrideId)).toBeNull();
    await markSubmissionStarted(em(), attempt.submissionId);
    expect(await selectOverriddenWorkflow(em(), overrideId)).toBe(`submission-${attempt.submissionId}`);
    await commit(overrideId);
    expect(await selectOverriddenWorkflow(em(), overrideId)).toBeNull();
  });
});

describe('relayUnstartedOverrides', () => {
  it('starts each once, and again where the start failed', async () => {
    await em().nativeUpdate(Override, { startedAt: null }, { startedAt: new Date() });
    const [byRelay, byApi] = [await createStudentWithTask(database.orm), await createStudentWithTask(database.orm)];
    const overrideId = await askForTask(byRelay.taskId);
    await markOverrideStarted(em(), await askForTask(byApi.taskId));
    const started: string[] = [];
    const relay = () => relayUnstartedOverrides(em(), 20, async (id) => void started.push(id));
    await expect(relayUnstartedOverrides(em(), 20, () => Promise.reject(new Error('Temporal is away')))).rejects.toThrow('away');
    expect([await relay(), await relay()]).toEqual([1, 0]);
    expect(started).toEqual([overrideId]);
  });
});

describe('recordOverrideSignal', () => {
  const signal = (attempt: Attempt, changes: object = {}) => ({
    requestId: 'asked by phone',
    actorId: admin.id,
    outcome: 'APPROVED' as const,
    reason: 'the reviewer is ill',
    submissionId: attempt.submissionId,
    ...changes,
  });

  it('stores an override of that submission, once for the same request, also of many at once', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const { returned, refused } = await race(10, () => recordOverrideSignal(em(), signal(attempt)));
    expect(refused).toEqual([]);
    expect(returned).toEqual(Array.from({ length: 10 }, () => ({ status: 'recorded' })));
    const stored = await em().find(Override, { task: attempt.taskId });
    expect(stored).toMatchObject([{ via: 'temporal', startedAt: null, submission: { id: attempt.submissionId } }]);
    await commit(stored[0]?.id ?? '');
    expect(await selectSubmission(attempt.submissionId)).toMatchObject({ conclusion: 'approved' });
    expect(await recordOverrideSignal(em(), signal(attempt))).toEqual({ status: 'recorded' });
    expect(await em().count(Override, { task: attempt.taskId })).toBe(1);
  });

  it.each<[string, object]>([
    ['nothing', { requestId: undefined, actorId: undefined, outcome: undefined, reason: undefined }],
    ['no request id', { requestId: undefined }],
    ['a request id that is a number', { requestId: 7 }],
    ['an actor that no account can be', { actorId: 'ann@example.test' }],
    ['an actor that is no account', { actorId: unknownId }],
    ['an outcome that is none', { outcome: 'MAYBE' }],
    ['no reason', { reason: undefined }],
    ['an empty reason', { reason: '  ' }],
    ['a reason that cannot be stored', { reason: 'a\0b' }],
    ['a reason of a book', { reason: 'x'.repeat(2_001) }],
  ])('ignores %s, and throws nothing', async (_case, changes) => {
    const attempt = await createAttemptInReview(database.orm);
    expect(await recordOverrideSignal(em(), signal(attempt, changes))).toMatchObject({ status: 'ignored' });
    expect(await em().count(Override, { task: attempt.taskId })).toBe(0);
  });

  it('ignores who is no admin, whose own work it is, and a second one while one is under way', async () => {
    const attempt = await createAttemptInReview(database.orm);
    expect(await recordOverrideSignal(em(), signal(attempt, { actorId: reviewer.id }))).toMatchObject({ status: 'ignored' });
    await em().nativeUpdate(User, attempt.student.id, { role: 'SUPER_ADMIN' });
    const own = signal(attempt, { actorId: attempt.student.id });
    expect(await recordOverrideSignal(em(), own)).toMatchObject({ status: 'ignored' });
    await em().nativeUpdate(User, attempt.student.id, { role: 'CODING_STUDENT' });
    expect(await recordOverrideSignal(em(), signal(attempt))).toEqual({ status: 'recorded' });
    expect(await recordOverrideSignal(em(), signal(attempt, { requestId: 'again' }))).toMatchObject({ status: 'ignored' });
  });
});
