import { concludeWithoutReview } from '../../src/services/submissions.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from '@mikro-orm/core';
import { newId } from '../../src/database/columns.ts';
import { AuditEntry } from '../../src/database/entities/operations.ts';
import { Review, SubmissionRequest } from '../../src/database/entities/reviews.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { User } from '../../src/database/entities/users.ts';
import { DomainError } from '../../src/domain/errors.ts';
import type { DecisionRequest as Decision } from '../../src/domain/reviews.ts';
import { enrol } from '../../src/services/enrolments.ts';
import { commitDecision } from '../../src/services/reviews.ts';
import type { DecideResult } from '../../src/temporal/submissions.ts';
import { createStudentWithTask, createUser } from '../support/factories.ts';
import { answerOf, as, createSubmissionInReview, expectProblem, signIn, startApi, type TestApi } from './support.ts';

let api: TestApi;
let reviewerId: string;
let reviewer: ReturnType<typeof as>;

beforeAll(async () => {
  api = await startApi();
  const user = await createUser(api.orm, 'ACADEMY_REVIEWER');
  reviewerId = user.id;
  reviewer = as(api, await signIn(api, user));
});

afterAll(() => api.close());

/** The Idempotency-Key of one test. */
let key: string;

beforeEach(() => {
  key = newId();
  api.workflows.failure = null;
  api.workflows.onDecide = commitLikeTheWorkflow;
  api.workflows.decisions.length = 0;
});

/** What the workflow's committing activity does, with the same answers. */
async function commitLikeTheWorkflow(decision: Decision): Promise<DecideResult> {
  const request = await api.orm.em.fork().findOneOrFail(SubmissionRequest, decision.requestId);
  const result = await commitDecision(api.orm.em.fork(), { ...decision, submissionId: request.submission.id });
  if (result.status === 'refused') throw new DomainError(result.kind, result.message);
  return { status: 'decided', reviewId: result.reviewId };
}

const decide = (body: object, ownKey?: string) => {
  const sent = reviewer.post('/api/reviews', { outcome: 'APPROVED', comment: 'Well done.', ...body });
  return ownKey === undefined ? sent : sent.set('Idempotency-Key', ownKey);
};

describe('the queue', () => {
  test('has what awaits a review, the one due first at the top', async () => {
    const first = await createSubmissionInReview(api);
    const second = await createSubmissionInReview(api);
    await api.orm.em.fork().nativeUpdate(Submission, { id: second.submissionId }, { answerDueAt: new Date(Date.now() - 60_000) });
    const { items } = (await reviewer.get('/api/reviews/queue')).body as { items: { submissionId: string }[] };
    const order = items
      .map(({ submissionId }) => submissionId)
      .filter((id) => id === first.submissionId || id === second.submissionId);
    expect(order).toEqual([second.submissionId, first.submissionId]);
    expect(items.find(({ submissionId }) => submissionId === first.submissionId)).toEqual({
      submissionId: first.submissionId,
      taskId: first.taskId,
      studentName: expect.stringContaining('User'),
      exerciseTitle: 'Night bus board',
      attemptNo: 1,
      verdict: 'accepted',
      submittedAt: expect.any(String),
      answerDueAt: expect.any(String),
      claim: null,
    });
    expect(JSON.stringify(items)).not.toContain('@example.test');
    const limited = (await reviewer.get('/api/reviews/queue?limit=1')).body as { items: unknown[] };
    expect(limited.items).toHaveLength(1);
  });

  test('has not what is decided, nor the reviewer’s own work', async () => {
    const decided = await createSubmissionInReview(api);
    expect((await decide({ submissionId: decided.submissionId })).status).toBe(201);
    const own = await ownSubmissionOf(reviewerId);
    const { text } = await reviewer.get('/api/reviews/queue?limit=100');
    expect(text).not.toContain(decided.submissionId);
    expect(text).not.toContain(own.submissionId);
    const admin = as(api, await signIn(api, await createUser(api.orm, 'SUPER_ADMIN')));
    expect((await admin.get('/api/reviews/queue?limit=100')).text).toContain(own.submissionId);
  });
});

let ownSubmission: ReturnType<typeof createSubmissionInReview> | undefined;
/** The reviewer's own work, for they may learn too. */
function ownSubmissionOf(id: string) {
  ownSubmission ??= (async () => {
    await enrol(api.orm.em.fork(), { userId: id, courseSlug: 'small-tools' });
    const task = await api.orm.em.fork().findOneOrFail(Task, { assignee: id });
    return createSubmissionInReview(api, { student: { id, role: 'ACADEMY_REVIEWER' }, taskId: task.id });
  })();
  return ownSubmission;
}

describe('a decision', () => {
  test('is committed when it is answered: review, task, XP, notice and audit', async () => {
    const { submissionId, taskId, student } = await createSubmissionInReview(api);
    const { source } = await api.orm.em.fork().findOneOrFail(Submission, submissionId);
    const response = await decide({ submissionId });
    expect(answerOf(response)).toEqual({
      status: 201,
      body: {
        id: expect.any(String),
        submissionId,
        reviewerId,
        outcome: 'APPROVED',
        comment: 'Well done.',
        commit: source?.commit,
        supersededById: null,
        createdAt: expect.any(String),
      },
    });
    expect(api.workflows.decisions).toEqual([
      { requestId: expect.any(String), actorId: reviewerId, outcome: 'APPROVED', via: 'api' },
    ]);
    const owner = as(api, await signIn(api, student));
    expect((await owner.get('/api/me')).body).toMatchObject({ xp: 50 });
    expect((await owner.get(`/api/tasks/${taskId}`)).body).toMatchObject({ status: 'APPROVED' });
    expect((await owner.get('/api/notifications')).body).toMatchObject({
      items: [{ kind: 'approved', submissionId }, { kind: 'in-review' }],
    });
    expect((await owner.get(`/api/submissions/${submissionId}`)).body).toMatchObject({
      stage: 'CLOSED',
      conclusion: 'approved',
      counted: true,
      review: { outcome: 'APPROVED', comment: 'Well done.' },
    });
    expect(await api.orm.em.fork().find(AuditEntry, { targetId: submissionId })).toMatchObject([
      { action: 'submission.decided', actorId: reviewerId, via: 'api' },
    ]);
  });

  test('that rejects gives no XP and opens the task again', async () => {
    const { submissionId, taskId, student } = await createSubmissionInReview(api);
    expect((await decide({ submissionId, outcome: 'REJECTED', comment: '' })).body).toMatchObject({
      outcome: 'REJECTED',
      comment: '',
    });
    const owner = as(api, await signIn(api, student));
    expect((await owner.get('/api/me')).body).toMatchObject({ xp: 0 });
    expect((await owner.get(`/api/tasks/${taskId}`)).body).toMatchObject({ status: 'REJECTED' });
  });

  test('may name the task instead: it is about its last submission', async () => {
    const { submissionId, taskId } = await createSubmissionInReview(api);
    expect((await decide({ taskId })).body).toMatchObject({ submissionId });
  });

  test.each([
    ['both', { submissionId: newId(), taskId: newId() }],
    ['neither', {}],
  ])('with %s of submissionId and taskId is refused', async (_name, body) => {
    expectProblem(await decide(body), 422, 'validation');
  });

  test.each([
    ['submission', { submissionId: newId() }],
    ['task', { taskId: newId() }],
  ])('about a %s that is not there', async (_name, body) => {
    expectProblem(await decide(body), 404, 'not-found');
    expect(api.workflows.decisions).toEqual([]);
  });

  test('about a task without a submission', async () => {
    const { taskId } = await createStudentWithTask(api.orm);
    expectProblem(await decide({ taskId }), 404, 'not-found');
  });

  test('on one’s own work is refused before the workflow hears of it', async () => {
    const { submissionId, taskId } = await ownSubmissionOf(reviewerId);
    expectProblem(await decide({ submissionId }), 403, 'self-review');
    expectProblem(await decide({ taskId }), 403, 'self-review');
    expect(api.workflows.decisions).toEqual([]);
    expect(await api.orm.em.fork().count(SubmissionRequest, { submission: submissionId })).toBe(0);
  });

  test('on what is decided is a conflict, and nothing changes', async () => {
    const { submissionId, student } = await createSubmissionInReview(api);
    expect((await decide({ submissionId })).status).toBe(201);
    expectProblem(await decide({ submissionId, outcome: 'REJECTED' }), 409, 'already-decided');
    expect(await api.orm.em.fork().count(Review, { submission: submissionId })).toBe(1);
    expect((await as(api, await signIn(api, student)).get('/api/me')).body).toMatchObject({ xp: 50 });
  });

  test('whose workflow has ended without it is a conflict', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    api.workflows.onDecide = () => Promise.resolve({ status: 'closed' });
    // Not even started: there is nothing to decide yet.
    expectProblem(await decide({ submissionId }), 409, 'invalid-state');
    await concludeWithoutReview(api.orm.em.fork(), { submissionId, conclusion: 'cancelled' });
    expectProblem(await decide({ submissionId }), 409, 'already-decided');
  });

  test('twenty at once, by twenty requests, make one review', async () => {
    const { submissionId, student } = await createSubmissionInReview(api);
    const responses = await Promise.all(
      Array.from({ length: 20 }, (_, index) => decide({ submissionId, outcome: index % 2 === 0 ? 'APPROVED' : 'REJECTED' })),
    );
    const refused = responses.filter(({ status }) => status !== 201);
    expect(refused).toHaveLength(19);
    for (const response of refused) expectProblem(response, 409, 'already-decided');
    const [review, ...others] = await api.orm.em.fork().find(Review, { submission: submissionId });
    expect(others).toEqual([]);
    const xp = review?.outcome === 'APPROVED' ? 50 : 0;
    expect((await as(api, await signIn(api, student)).get('/api/me')).body).toMatchObject({ xp });
  });

  test('of a reviewer who was demoted between asking and committing is refused', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    const user = await createUser(api.orm, 'ACADEMY_REVIEWER');
    const client = as(api, await signIn(api, user));
    api.workflows.onDecide = async (decision) => {
      await api.orm.em.fork().nativeUpdate(User, { id: user.id }, { role: 'CODING_STUDENT' });
      return commitLikeTheWorkflow(decision);
    };
    const response = await client.post('/api/reviews', { submissionId, outcome: 'APPROVED', comment: '' });
    expectProblem(response, 403, 'forbidden');
    expect(await api.orm.em.fork().count(Review, { submission: submissionId })).toBe(0);
  });
});

describe('a workflow that does not decide', () => {
  test.each([
    ['already-decided', 409],
    ['invalid-state', 409],
    ['self-review', 403],
    ['forbidden', 403],
    ['validation', 422],
  ] as const)('%s: %d', async (kind, status) => {
    const { submissionId } = await createSubmissionInReview(api);
    api.workflows.onDecide = () => Promise.reject(new DomainError(kind, 'The workflow says no.'));
    const response = await decide({ submissionId });
    expect(expectProblem(response, status, kind).detail).toBe('The workflow says no.');
    expect(response.headers['retry-after']).toBeUndefined();
  });

  test.each(['outcome-unknown', 'unavailable'] as const)(
    '%s: 503 with a time to come again, and the key works then',
    async (kind) => {
      const { submissionId } = await createSubmissionInReview(api);
      api.workflows.failure = new DomainError(kind, 'No answer.');
      const response = await decide({ submissionId }, key);
      expectProblem(response, 503, kind);
      expect(Number(response.headers['retry-after'])).toBeGreaterThan(0);
      api.workflows.failure = null;
      const again = await decide({ submissionId }, key);
      expect(again.status).toBe(201);
      expect(await api.orm.em.fork().count(SubmissionRequest, { submission: submissionId })).toBe(1);
    },
  );

  test('committed although the answer got lost: the key brings the review', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    api.workflows.onDecide = async (decision) => {
      await commitLikeTheWorkflow(decision);
      throw new DomainError('outcome-unknown', 'No answer.');
    };
    expectProblem(await decide({ submissionId }, key), 503, 'outcome-unknown');
    const again = await decide({ submissionId }, key);
    expect(again.status).toBe(201);
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect(again.body).toMatchObject({ submissionId, outcome: 'APPROVED' });
  });

  test('an error that nobody foresaw tells nothing but the request id', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    api.workflows.onDecide = () => Promise.reject(new TypeError('secret detail of the code'));
    const response = await decide({ submissionId });
    expectProblem(response, 500, 'internal');
    expect(response.text).not.toMatch(/secret detail|TypeError|\.ts/);
  });

  test.each([
    ['that quotes a user who wrote "connection"', 'connection timeout'],
    ['for a message that PostgreSQL cannot read', '\0'],
  ])('an SQL error %s is our fault and no outage', async (_name, value) => {
    const { submissionId } = await createSubmissionInReview(api);
    api.workflows.onDecide = async () => {
      await api.orm.em.fork().execute(sql`select ${value}::int`);
      return { status: 'closed' };
    };
    const response = await decide({ submissionId });
    expectProblem(response, 500, 'internal');
    expect(response.text).not.toMatch(/select|integer|connection timeout|format/);
  });
});

describe('a decision with an Idempotency-Key', () => {
  test('repeated brings the same review and asks the workflow no more', async () => {
    const { submissionId, student } = await createSubmissionInReview(api);
    const first = await decide({ submissionId }, key);
    const second = await decide({ submissionId }, key);
    expect(answerOf(second)).toEqual(answerOf(first));
    expect(first.headers['idempotency-replayed']).toBeUndefined();
    expect(second.headers['idempotency-replayed']).toBe('true');
    expect(api.workflows.decisions).toHaveLength(1);
    expect((await as(api, await signIn(api, student)).get('/api/me')).body).toMatchObject({ xp: 50 });
  });

  test.each([
    ['outcome', { outcome: 'REJECTED' }],
    ['comment', { comment: 'On second thought.' }],
  ])('with another %s is refused', async (_name, change) => {
    const { submissionId } = await createSubmissionInReview(api);
    expect((await decide({ submissionId }, key)).status).toBe(201);
    expectProblem(await decide({ submissionId, ...change }, key), 422, 'key-reused');
    expect(await api.orm.em.fork().find(Review, { submission: submissionId })).toMatchObject([{ outcome: 'APPROVED' }]);
  });

  test('is one’s own: another reviewer’s equal key is another request', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    expect((await decide({ submissionId }, key)).status).toBe(201);
    const other = as(api, await signIn(api, await createUser(api.orm, 'ACADEMY_REVIEWER')));
    const response = await other
      .post('/api/reviews', { submissionId, outcome: 'APPROVED', comment: 'Well done.' })
      .set('Idempotency-Key', key);
    expectProblem(response, 409, 'already-decided');
  });

  test('ten times at once make one review, and whoever gets it gets the same', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    const responses = await Promise.all(Array.from({ length: 10 }, () => decide({ submissionId }, key)));
    expect(responses.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 201));
    expect(new Set(responses.map(({ body }) => (body as { id: string }).id)).size).toBe(1);
    expect(await api.orm.em.fork().count(Review, { submission: submissionId })).toBe(1);
  });

  test.each(['', 'x'.repeat(201), 'a b'])('%j is malformed', async (malformed) => {
    expectProblem(await decide({ submissionId: newId() }, malformed), 400, 'malformed-idempotency-key');
  });
});
