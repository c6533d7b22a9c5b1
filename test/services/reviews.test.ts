import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { XpEntry } from '../../src/database/entities/progress.ts';
import { Review } from '../../src/database/entities/reviews.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { User } from '../../src/database/entities/users.ts';
import type { Role } from '../../src/domain/users.ts';
import { selectXpTotal } from '../../src/services/progress.ts';
import { commitDecision, listReviewQueue, requestDecision, selectOptionalReviewByRequest } from '../../src/services/reviews.ts';
import { concludeWithoutReview, openReview } from '../../src/services/submissions.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createSubmission, createUser, publishDemoCourse } from '../support/factories.ts';
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
let reviewer: { id: string; role: Role };

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
  reviewer = await createUser(database.orm, 'ACADEMY_REVIEWER');
});

afterAll(() => database.close());

const em = () => database.orm.em.fork();

type Decision = Parameters<typeof commitDecision>[1];

const commit = (attempt: Attempt, changes: Partial<Decision> & { requestId: string }) =>
  commitDecision(em(), {
    submissionId: attempt.submissionId,
    actorId: reviewer.id,
    outcome: 'APPROVED',
    via: 'api',
    ...changes,
  });

const ask = (attempt: Attempt, changes: Partial<Parameters<typeof requestDecision>[2]> = {}, actor = reviewer) =>
  requestDecision(em(), actor, {
    submissionId: attempt.submissionId,
    outcome: 'APPROVED',
    comment: 'Well done.',
    key: null,
    ...changes,
  });

const worthOf = async (taskId: string) => {
  const task = await em().findOneOrFail(Task, taskId, { populate: ['revision'] });
  return task.revision.getEntity().xp;
};

describe('requestDecision', () => {
  it('gives the same key the same request, also of many at once', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const key = newId();
    const { returned, refused } = await race(10, () => ask(attempt, { key }));
    expect(refused).toEqual([]);
    expect(new Set(returned.map(({ requestId }) => requestId)).size).toBe(1);
    expect(returned[0]?.workflowId).toBe(`submission-${attempt.submissionId}`);
  });

  it('makes another request for another key or actor, and without a key each time', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const other = await createUser(database.orm, 'ACADEMY_REVIEWER');
    const requests = [
      await ask(attempt, { key: 'k' }),
      await ask(attempt, { key: 'l' }),
      await ask(attempt, { key: 'k' }, other),
      await ask(attempt),
      await ask(attempt),
    ];
    expect(new Set(requests.map(({ requestId }) => requestId)).size).toBe(5);
  });

  it.each([{ outcome: 'REJECTED' as const }, { comment: 'On second thought.' }])(
    'refuses a key that came with another: %j',
    async (change) => {
      const attempt = await createAttemptInReview(database.orm);
      const key = newId();
      await ask(attempt, { key });
      await expect(ask(attempt, { key, ...change })).rejects.toMatchObject({ kind: 'key-reused' });
    },
  );

  it('keeps a key to the submission that it was first about, also when the task has a newer one', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const decision = { taskId: attempt.taskId, outcome: 'REJECTED' as const, comment: '', key: newId() };
    const first = await requestDecision(em(), reviewer, decision);
    await closeByAdmin(attempt.submissionId);
    await createSubmission(database.orm, { taskId: attempt.taskId, studentId: attempt.student.id });
    expect(await requestDecision(em(), reviewer, decision)).toEqual({ ...first, isRepeat: true });
    const elsewhere = await createAttemptInReview(database.orm);
    await expect(ask(elsewhere, { ...decision, taskId: undefined })).rejects.toMatchObject({ kind: 'key-reused' });
  });

  it('lets nobody review their own work, and knows no other submissions', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const self = { id: attempt.student.id, role: 'ACADEMY_REVIEWER' as const };
    await expect(ask(attempt, {}, self)).rejects.toMatchObject({ kind: 'self-review' });
    await expect(ask(attempt, { submissionId: unknownId })).rejects.toMatchObject({ kind: 'not-found' });
  });
});

describe('commitDecision', () => {
  it('approves in one go: review, task, submission, XP, notice, activity and audit', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const { requestId } = await ask(attempt);
    const worth = await worthOf(attempt.taskId);
    const result = await commit(attempt, { requestId });
    expect(result).toMatchObject({ status: 'committed', xpAdded: worth });
    expect(await selectOptionalReviewByRequest(em(), requestId)).toMatchObject({
      id: result.status === 'committed' && result.reviewId,
      submissionId: attempt.submissionId,
      reviewerId: reviewer.id,
      outcome: 'APPROVED',
      comment: 'Well done.',
      commit: 'c'.repeat(40),
    });
    expect(await em().findOneOrFail(Task, attempt.taskId)).toMatchObject({ status: 'APPROVED' });
    expect(await em().findOneOrFail(Submission, attempt.submissionId)).toMatchObject({
      stage: 'CLOSED',
      conclusion: 'approved',
      counted: true,
    });
    expect(await selectXpTotal(em(), attempt.student.id)).toBe(worth);
    expect(await noticesOf(database.orm, attempt.submissionId)).toContain(`approved ${attempt.student.id}`);
    expect(await activityOf(database.orm, attempt.submissionId)).toEqual(['task.submitted', 'review.opened', 'review.created']);
    const { audit } = await stateOf(database.orm, attempt);
    expect(audit).toEqual([expect.objectContaining({ action: 'submission.decided', actor_id: reviewer.id, via: 'api' })]);
  });

  it('rejects without XP, and keeps the reviewer’s words', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const { requestId } = await ask(attempt, { outcome: 'REJECTED', comment: 'Nearly.' });
    expect(await commit(attempt, { requestId, outcome: 'REJECTED' })).toMatchObject({ status: 'committed', xpAdded: 0 });
    expect(await em().findOneOrFail(Task, attempt.taskId)).toMatchObject({ status: 'REJECTED' });
    expect(await em().findOneOrFail(Submission, attempt.submissionId)).toMatchObject({ conclusion: 'rejected', counted: true });
    expect(await em().count(XpEntry, { task: attempt.taskId })).toBe(0);
    expect(await noticesOf(database.orm, attempt.submissionId)).toContain(`rejected ${attempt.student.id}`);
    expect(await selectOptionalReviewByRequest(em(), requestId)).toMatchObject({ comment: 'Nearly.' });
  });

  it('returns the same review and writes nothing when it is run again', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const { requestId } = await ask(attempt);
    const first = await commit(attempt, { requestId });
    const state = await stateOf(database.orm, attempt);
    expect(await commit(attempt, { requestId })).toEqual({ ...first, xpAdded: 0 });
    expect(await stateOf(database.orm, attempt)).toEqual(state);
  });

  it('commits once of 20 runs of one request at the same time', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const { requestId } = await ask(attempt);
    const { returned, refused } = await race(20, () => commit(attempt, { requestId }));
    expect(refused).toEqual([]);
    expect(new Set(returned.map((result) => result.status === 'committed' && result.reviewId)).size).toBe(1);
    const worth = await worthOf(attempt.taskId);
    const added = returned.map((result) => (result.status === 'committed' ? result.xpAdded : Number.NaN));
    expect(added.toSorted((left, right) => right - left)).toEqual([worth, ...Array<number>(19).fill(0)]);
    const state = await stateOf(database.orm, attempt);
    expect([state['reviews']?.length, state['xp']?.length, state['audit']?.length]).toEqual([1, 1, 1]);
    expect(await selectXpTotal(em(), attempt.student.id)).toBe(worth);
  });

  it('takes one of 20 different decisions at the same time, and refuses the others', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const { returned } = await race(20, async (index) => {
      const outcome = index % 2 === 0 ? 'APPROVED' : 'REJECTED';
      return { outcome, ...(await commit(attempt, { requestId: newId(), outcome })) };
    });
    const committed = returned.filter(({ status }) => status === 'committed');
    expect(committed).toHaveLength(1);
    const others = returned.filter((result) => result.status === 'refused').map(({ kind }) => kind);
    expect(others).toEqual(Array(19).fill('already-decided'));
    expect(await em().findOneOrFail(Task, attempt.taskId)).toMatchObject({ status: committed[0]?.outcome });
    const worth = committed[0]?.outcome === 'APPROVED' ? await worthOf(attempt.taskId) : 0;
    expect(await selectXpTotal(em(), attempt.student.id)).toBe(worth);
  });

  it('adds the XP once over a rejection, a second attempt and its approval', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const { taskId, student } = attempt;
    await commit(attempt, { requestId: newId(), outcome: 'REJECTED' });
    const second = { ...attempt, submissionId: await createSubmission(database.orm, { taskId, studentId: student.id }) };
    await openReview(em(), second.submissionId);
    const worth = await worthOf(taskId);
    expect(await commit(second, { requestId: newId() })).toMatchObject({ status: 'committed', xpAdded: worth });
    expect(await selectXpTotal(em(), student.id)).toBe(worth);
    expect(await em().find(XpEntry, { task: taskId })).toMatchObject([{ amount: worth, sequence: 1 }]);
    const newest = await requestDecision(em(), reviewer, { taskId, outcome: 'REJECTED', comment: '', key: null });
    expect(newest.submissionId).toBe(second.submissionId);
  });

  /** Expects a refusal of this kind that writes nothing, and that a reviewer may decide afterwards. */
  async function expectRefusal(attempt: Attempt, decision: Parameters<typeof commit>[1], kind: string): Promise<void> {
    const before = await stateOf(database.orm, attempt);
    expect(await commit(attempt, decision)).toMatchObject({ status: 'refused', kind });
    expect(await stateOf(database.orm, attempt)).toEqual(before);
    expect(await commit(attempt, { requestId: newId() })).toMatchObject({ status: 'committed' });
  }

  it.each<[string, (id: string) => Promise<unknown>]>([
    ['has lost the role', (id) => em().nativeUpdate(User, id, { role: 'CODING_STUDENT' })],
    ['was blocked', (id) => em().nativeUpdate(User, id, { disabledAt: new Date() })],
    ['was erased', (id) => em().nativeUpdate(User, id, { erasedAt: new Date() })],
  ])('refuses a reviewer who meanwhile %s', async (_case, change) => {
    const attempt = await createAttemptInReview(database.orm);
    const former = await createUser(database.orm, 'ACADEMY_REVIEWER');
    const { requestId } = await ask(attempt, {}, former);
    await change(former.id);
    await expectRefusal(attempt, { requestId, actorId: former.id }, 'forbidden');
  });

  it('refuses a reviewer’s decision on their own work', async () => {
    const attempt = await createAttemptInReview(database.orm);
    await em().nativeUpdate(User, attempt.student.id, { role: 'ACADEMY_REVIEWER' });
    await expectRefusal(attempt, { requestId: newId(), actorId: attempt.student.id }, 'self-review');
    await em().nativeUpdate(User, attempt.student.id, { role: 'CODING_STUDENT' });
  });

  it('refuses what is closed', async () => {
    const attempt = await createAttempt(database.orm);
    await closeByAdmin(attempt.submissionId);
    const before = await stateOf(database.orm, attempt);
    expect(await commit(attempt, { requestId: newId() })).toMatchObject({ status: 'refused', kind: 'already-decided' });
    expect(await stateOf(database.orm, attempt)).toEqual(before);
  });

  describe('by hand in Temporal', () => {
    it('is committed with the door it came by, whatever text names the request', async () => {
      const attempt = await createAttemptInReview(database.orm);
      const decision = { requestId: `approved by Ann, ${newId()}`, via: 'temporal' } as const;
      expect(await commit(attempt, decision)).toMatchObject({ status: 'committed' });
      expect(await em().findOneOrFail(Review, { submission: attempt.submissionId })).toMatchObject({
        via: 'temporal',
        comment: "Decided in Temporal's web UI.",
      });
      const { audit } = await stateOf(database.orm, attempt);
      expect(audit).toEqual([expect.objectContaining({ via: 'temporal' })]);
    });

    it.each(['ann@example.test', '', 'x'.repeat(36)])('is refused for an actor that no account can be: %j', async (actorId) => {
      const attempt = await createAttemptInReview(database.orm);
      await expectRefusal(attempt, { requestId: newId(), actorId, via: 'temporal' }, 'validation');
    });

    it.each(['', 'x'.repeat(101), 'a\0b'])('is refused for a request id that cannot be stored: %j', async (requestId) => {
      const attempt = await createAttemptInReview(database.orm);
      await expectRefusal(attempt, { requestId, via: 'temporal' }, 'validation');
    });

    it('is refused for a request id that decided another submission', async () => {
      const [decided, attempt] = [await createAttemptInReview(database.orm), await createAttemptInReview(database.orm)];
      const requestId = `the first, ${newId()}`;
      expect(await commit(decided, { requestId, via: 'temporal' })).toMatchObject({ status: 'committed' });
      await expectRefusal(attempt, { requestId, via: 'temporal' }, 'validation');
    });
  });
});

describe('listReviewQueue', () => {
  it('shows what awaits a review, due first at the top, without own work', async () => {
    const fresh = await createTestDatabase();
    await publishDemoCourse(fresh.orm);
    const [late, early, own] = [
      await createAttemptInReview(fresh.orm),
      await createAttemptInReview(fresh.orm),
      await createAttemptInReview(fresh.orm),
    ];
    await createAttempt(fresh.orm);
    await fresh.orm.em
      .fork()
      .nativeUpdate(Submission, late.submissionId, { answerDueAt: new Date(Date.now() + 86_400_000 * 30) });
    const queue = (limit: number) =>
      listReviewQueue(fresh.orm.em.fork(), { id: own.student.id, role: 'ACADEMY_REVIEWER' }, limit);
    expect((await queue(10)).map(({ submissionId }) => submissionId)).toEqual([early.submissionId, late.submissionId]);
    expect((await queue(1)).map(({ submissionId }) => submissionId)).toEqual([early.submissionId]);
    await fresh.close();
  });
});
