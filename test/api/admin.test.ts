import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { AuditEntry } from '../../src/database/entities/operations.ts';
import { Override, Review, SubmissionRequest } from '../../src/database/entities/reviews.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { User } from '../../src/database/entities/users.ts';
import { DomainError } from '../../src/domain/errors.ts';
import { recordAudit } from '../../src/services/activity.ts';
import { enrol } from '../../src/services/enrolments.ts';
import { commitOverride, relayUnstartedOverrides } from '../../src/services/overrides.ts';
import { concludeWithoutReview, enterStage } from '../../src/services/submissions.ts';
import { createSubmission } from '../support/factories.ts';
import {
  answerOf,
  type Client,
  createParkedSubmission,
  createReview,
  createSubmissionInReview,
  expectProblem,
  newClient,
  newStudent,
  startApi,
  type TestApi,
} from './support.ts';

let api: TestApi;
let admin: { id: string; client: Client };
let reviewerId: string;

beforeAll(async () => {
  api = await startApi();
  admin = await newClient(api, 'SUPER_ADMIN');
  reviewerId = (await newClient(api, 'ACADEMY_REVIEWER')).id;
});

afterAll(() => api.close());

beforeEach(() => {
  api.workflows.failure = null;
  api.workflows.isClosed = false;
  api.overrides.failure = null;
  api.overrides.started.length = 0;
});

const reason = 'The tests of that week were wrong.';
const etagOf = async (path: string) => (await admin.client.get(path)).headers['etag'] ?? '';
const taskEtag = (taskId: string) => etagOf(`/api/tasks/${taskId}`);
const overrideTask = (taskId: string, ifMatch: string, body: object, who = admin) =>
  who.client.patch(`/api/admin/tasks/${taskId}`, { reason, ...body }).set('If-Match', ifMatch);
const overrideReview = (reviewId: string, ifMatch: string, body: object, who = admin) =>
  who.client.patch(`/api/admin/reviews/${reviewId}`, { reason, ...body }).set('If-Match', ifMatch);
const xpOf = async (client: Client) => ((await client.get('/api/me')).body as { xp: number }).xp;
const overridesOf = (taskId: string) => api.orm.em.fork().find(Override, { task: taskId });

/** A student's submission with the review that decided it. */
async function newDecided(outcome: 'APPROVED' | 'REJECTED' = 'APPROVED') {
  const student = await newStudent(api);
  const { submissionId } = await createSubmissionInReview(api, { student, taskId: student.taskId });
  return { ...student, submissionId, reviewId: await createReview(api, { submissionId, reviewerId, outcome }) };
}

describe('overriding a task', () => {
  test('is applied: status, XP, notice, audit with the reason, and a new ETag', async () => {
    const { client, taskId, id: studentId } = await newStudent(api);
    const etag = await taskEtag(taskId);
    const response = await overrideTask(taskId, etag, { status: 'APPROVED' });
    expect(answerOf(response)).toEqual({ status: 200, body: { overrideId: expect.any(String), status: 'applied' } });
    const { overrideId } = response.body as { overrideId: string };
    expect(api.overrides.started).toEqual([overrideId]);
    expect((await client.get(`/api/tasks/${taskId}`)).body).toMatchObject({ status: 'APPROVED' });
    expect(await xpOf(client)).toBe(50);
    expect((await client.get('/api/notifications')).body).toMatchObject({ items: [{ kind: 'overridden' }] });
    expect(await taskEtag(taskId)).not.toBe(etag);
    expect((await admin.client.get(`/api/admin/audit?targetId=${taskId}`)).body).toEqual({
      items: [
        {
          id: expect.any(String),
          action: 'task.overridden',
          actorId: admin.id,
          targetKind: 'task',
          targetId: taskId,
          via: 'api',
          data: expect.objectContaining({
            overrideId,
            reason,
            from: { status: 'TODO', assigneeId: studentId },
            to: { status: 'APPROVED', assigneeId: studentId },
            xpAdded: 50,
          }),
          createdAt: expect.any(String),
        },
      ],
    });
  });

  test('takes XP back by a ledger entry, and gives it again', async () => {
    const { client, taskId } = await newStudent(api);
    const totals: number[] = [];
    for (const status of ['APPROVED', 'REJECTED', 'APPROVED', 'APPROVED'] as const) {
      expect((await overrideTask(taskId, await taskEtag(taskId), { status })).status).toBe(200);
      totals.push(await xpOf(client));
    }
    expect(totals).toEqual([50, 0, 50, 50]);
  });

  test('ends an open submission', async () => {
    const { taskId, submissionId } = await createSubmissionInReview(api);
    await overrideTask(taskId, await taskEtag(taskId), { status: 'IN_PROGRESS' });
    expect(await api.orm.em.fork().findOneOrFail(Submission, submissionId)).toMatchObject({ conclusion: 'closed-by-admin' });
  });

  test('needs If-Match, with the ETag of the task as it is', async () => {
    const { taskId } = await newStudent(api);
    const stale = await taskEtag(taskId);
    const body = { status: 'REJECTED', reason };
    expectProblem(await admin.client.patch(`/api/admin/tasks/${taskId}`, body), 428, 'precondition-required');
    await overrideTask(taskId, stale, { status: 'IN_PROGRESS' });
    expectProblem(await overrideTask(taskId, stale, { status: 'REJECTED' }), 412, 'changed-meanwhile');
    expect(await overridesOf(taskId)).toHaveLength(1);
  });

  test.each([
    '*',
    '1',
    'W/"1"',
    '"1", "2"',
    '""',
    '"01"',
    '"1.0"',
    '"0x1"',
    '"1e0"',
    '"+1"',
    '"-1"',
    '"0"',
    '"99999999999"',
    '"x"',
  ])('with If-Match: %s is a mismatch', async (ifMatch) => {
    const { taskId } = await (shared ??= newStudent(api));
    expect(await taskEtag(taskId)).toBe('"1"');
    expectProblem(await overrideTask(taskId, ifMatch, { status: 'REJECTED' }), 412, 'changed-meanwhile');
  });

  test.each([
    ['no reason', { status: 'TODO', reason: undefined }],
    ['an empty reason', { status: 'TODO', reason: '' }],
    ['a reason that is too long', { status: 'TODO', reason: 'x'.repeat(2_001) }],
    ['neither status nor assignee', {}],
    ['a status that belongs to an open submission: SUBMITTED', { status: 'SUBMITTED' }],
    ['a status that belongs to an open submission: UNDER_REVIEW', { status: 'UNDER_REVIEW' }],
    ['a status that is none', { status: 'approved' }],
    ['an assignee that is no id', { assigneeId: 'me' }],
    ['an assignee that nobody is', { assigneeId: newId() }],
  ])('with %s is refused', async (_name, body) => {
    const { taskId } = await (shared ??= newStudent(api));
    expectProblem(await overrideTask(taskId, '"1"', body), 422, 'validation');
    expect(await overridesOf(taskId)).toEqual([]);
  });

  test('gives it to somebody else, who begins anew; the one before sees it no more', async () => {
    const { client, taskId, id } = await newStudent(api);
    const { id: submissionId } = (await client.post('/api/submissions', { taskId })).body as { id: string };
    const next = await newStudent(api);
    const response = await overrideTask(taskId, await taskEtag(taskId), { assigneeId: next.id });
    expect(response.body).toMatchObject({ status: 'applied' });
    expectProblem(await client.get(`/api/tasks/${taskId}`), 404, 'not-found');
    expect((await client.get(`/api/submissions/${submissionId}`)).body).toMatchObject({ studentId: id });
    expectProblem(await client.patch(`/api/submissions/${submissionId}`, {}), 409, 'invalid-state');
    expectProblem(await client.post('/api/submissions', { taskId }), 404, 'not-found');
    const shown = (await next.client.get(`/api/tasks/${taskId}`)).body as { cloneUrl: string };
    expect(shown).toMatchObject({ status: 'TODO', assigneeId: next.id, latestSubmissionId: null });
    // A repository of their own: that of the one before holds another's work.
    expect(shown.cloneUrl).toMatch(/\/git\/[0-9a-f-]{36}\.git$/);
    expect(shown.cloneUrl).not.toContain(taskId);
    expectProblem(await next.client.get(`/api/submissions/${submissionId}`), 404, 'not-found');
  });

  test('to the one who has it already, without a status, is refused: it would be begun anew', async () => {
    const { taskId, id } = await newStudent(api);
    await overrideTask(taskId, '"1"', { status: 'APPROVED' });
    expectProblem(await overrideTask(taskId, await taskEtag(taskId), { assigneeId: id }), 422, 'validation');
    expect((await admin.client.get(`/api/tasks/${taskId}`)).body).toMatchObject({ status: 'APPROVED' });
  });

  test('to an account that is disabled is refused', async () => {
    const { taskId } = await (shared ??= newStudent(api));
    const gone = await newClient(api);
    await api.orm.em.fork().nativeUpdate(User, { id: gone.id }, { disabledAt: new Date() });
    expectProblem(await overrideTask(taskId, '"1"', { assigneeId: gone.id }), 422, 'validation');
  });

  test('of one’s own, or in one’s own favour, is refused', async () => {
    await enrol(api.orm.em.fork(), { userId: admin.id, courseSlug: 'small-tools' });
    const own = await api.orm.em.fork().findOneOrFail(Task, { assignee: admin.id });
    expectProblem(await overrideTask(own.id, await taskEtag(own.id), { status: 'APPROVED' }), 403, 'self-review');
    const { taskId } = await (shared ??= newStudent(api));
    for (const assigneeId of [admin.id, admin.id.toUpperCase()]) {
      expectProblem(await overrideTask(taskId, '"1"', { assigneeId, status: 'APPROVED' }), 403, 'self-review');
    }
    expect(await xpOf(admin.client)).toBe(0);
  });

  test('while Temporal is away is accepted, holds the task, and is applied when the relay has started it', async () => {
    const { client, taskId } = await newStudent(api);
    const etag = await taskEtag(taskId);
    api.overrides.failure = new DomainError('unavailable', 'The override could not be started now.');
    const response = await overrideTask(taskId, etag, { status: 'APPROVED' });
    const { overrideId } = response.body as { overrideId: string };
    expect(answerOf(response)).toEqual({ status: 202, body: { overrideId, status: 'accepted' } });
    expect(await overridesOf(taskId)).toMatchObject([{ startedAt: null, appliedAt: null }]);
    expect(await xpOf(client)).toBe(0);
    expectProblem(await overrideTask(taskId, etag, { status: 'REJECTED' }), 409, 'invalid-state');

    api.overrides.failure = null;
    expect(await relayUnstartedOverrides(api.orm.em.fork(), 10, (id) => api.overrides.start(id))).toBe(1);
    expect(api.overrides.started).toEqual([overrideId]);
    // What the workflow does then.
    await commitOverride(api.orm.em.fork(), overrideId);
    expect(await overridesOf(taskId)).toMatchObject([{ startedAt: expect.any(Date), appliedAt: expect.any(Date) }]);
    expect(await xpOf(client)).toBe(50);
  });

  test('whose workflow does not end in time is accepted, and the repeat of its key tells that it is applied', async () => {
    const { taskId } = await newStudent(api);
    const etag = await taskEtag(taskId);
    const { apply } = api.overrides;
    api.overrides.apply = () => Promise.resolve();
    const send = () => overrideTask(taskId, etag, { status: 'APPROVED' }).set('Idempotency-Key', 'slow');
    try {
      expect(answerOf(await send())).toMatchObject({ status: 202, body: { status: 'accepted' } });
    } finally {
      api.overrides.apply = apply;
    }
    const again = await send();
    expect(answerOf(again)).toMatchObject({ status: 200, body: { status: 'applied' } });
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect(await overridesOf(taskId)).toHaveLength(1);
  });

  test('with the same key has one effect, also after the ETag has changed', async () => {
    const { client, taskId } = await newStudent(api);
    const etag = await taskEtag(taskId);
    const send = (body: object) => overrideTask(taskId, etag, body).set('Idempotency-Key', 'k');
    const first = await send({ status: 'APPROVED' });
    const second = await send({ status: 'APPROVED' });
    expect(answerOf(second)).toEqual(answerOf(first));
    expect(second.headers['idempotency-replayed']).toBe('true');
    expectProblem(await send({ status: 'REJECTED' }), 422, 'key-reused');
    expect(await overridesOf(taskId)).toHaveLength(1);
    expect(await xpOf(client)).toBe(50);
  });

  test('ten times at once, by ten requests, is done once', async () => {
    const { client, taskId } = await newStudent(api);
    const etag = await taskEtag(taskId);
    const responses = await Promise.all(Array.from({ length: 10 }, () => overrideTask(taskId, etag, { status: 'APPROVED' })));
    expect(responses.filter(({ status }) => status === 200)).toHaveLength(1);
    // The others come while it is under way, or find the task changed.
    for (const { status } of responses) expect([200, 409, 412]).toContain(status);
    expect(await overridesOf(taskId)).toHaveLength(1);
    expect(await xpOf(client)).toBe(50);
  });
});

let shared: ReturnType<typeof newStudent> | undefined;

describe('overriding a review', () => {
  test('puts another in its place, which the student sees, and settles XP', async () => {
    const { client, taskId, submissionId, reviewId } = await newDecided();
    expect(await xpOf(client)).toBe(50);
    const etag = await etagOf(`/api/reviews/${reviewId}`);
    expect(etag).toBe(`"${reviewId}"`);
    const response = await overrideReview(reviewId, etag, { outcome: 'REJECTED' });
    expect(answerOf(response)).toMatchObject({ status: 200, body: { status: 'applied' } });
    expect(await xpOf(client)).toBe(0);
    expect((await client.get(`/api/tasks/${taskId}`)).body).toMatchObject({ status: 'REJECTED' });
    const { review } = (await client.get(`/api/submissions/${submissionId}`)).body as { review: { id: string } };
    expect(review).toMatchObject({ outcome: 'REJECTED', comment: reason });
    expect((await client.get(`/api/reviews/${review.id}`)).body).toMatchObject({ reviewerId: admin.id, supersededById: null });
    const before = await client.get(`/api/reviews/${reviewId}`);
    expect(before.body).toMatchObject({ outcome: 'APPROVED', reviewerId, supersededById: review.id });
    expect(before.headers['etag']).not.toBe(etag);
    expect(await api.orm.em.fork().count(Review, { submission: submissionId, supersededBy: null })).toBe(1);
  });

  test('needs If-Match, with the ETag of a review that holds', async () => {
    const { reviewId } = await newDecided();
    const body = { outcome: 'REJECTED', reason };
    expectProblem(await admin.client.patch(`/api/admin/reviews/${reviewId}`, body), 428, 'precondition-required');
    for (const etag of ['*', `W/"${reviewId}"`, `"${newId()}"`, reviewId]) {
      expectProblem(await overrideReview(reviewId, etag, { outcome: 'REJECTED' }), 412, 'changed-meanwhile');
    }
    expect((await overrideReview(reviewId, `"${reviewId}"`, { outcome: 'REJECTED' })).status).toBe(200);
    // The superseded one cannot be overridden, whatever is named.
    for (const etag of [`"${reviewId}"`, await etagOf(`/api/reviews/${reviewId}`)]) {
      expectProblem(await overrideReview(reviewId, etag, { outcome: 'APPROVED' }), 412, 'changed-meanwhile');
    }
  });

  test('of an attempt after which another was decided is a conflict', async () => {
    const { taskId, id, role, reviewId } = await newDecided('REJECTED');
    const later = await createSubmissionInReview(api, { student: { id, role }, taskId });
    await createReview(api, { submissionId: later.submissionId, reviewerId });
    expectProblem(await overrideReview(reviewId, `"${reviewId}"`, { outcome: 'APPROVED' }), 409, 'invalid-state');
  });

  test('of one’s own work is refused, also after the task was given to somebody else', async () => {
    const learner = await newClient(api, 'SUPER_ADMIN');
    await enrol(api.orm.em.fork(), { userId: learner.id, courseSlug: 'small-tools' });
    const { id: taskId } = await api.orm.em.fork().findOneOrFail(Task, { assignee: learner.id });
    const { submissionId } = await createSubmissionInReview(api, { student: learner, taskId });
    const reviewId = await createReview(api, { submissionId, reviewerId, outcome: 'REJECTED' });
    const send = () => overrideReview(reviewId, `"${reviewId}"`, { outcome: 'APPROVED' }, learner);
    expectProblem(await send(), 403, 'self-review');
    const next = await newStudent(api);
    await overrideTask(taskId, await taskEtag(taskId), { assigneeId: next.id });
    expectProblem(await send(), 403, 'self-review');
  });

  test('of a former assignee’s work does not touch the task of the present one', async () => {
    const { taskId, reviewId } = await newDecided('REJECTED');
    const next = await newStudent(api);
    await overrideTask(taskId, await taskEtag(taskId), { assigneeId: next.id });
    expectProblem(await overrideReview(reviewId, `"${reviewId}"`, { outcome: 'APPROVED' }), 409, 'invalid-state');
    expect((await next.client.get(`/api/tasks/${taskId}`)).body).toMatchObject({ status: 'TODO' });
    expect(await xpOf(next.client)).toBe(0);
  });

  test.each([
    ['no reason', { outcome: 'REJECTED', reason: undefined }],
    ['no outcome', {}],
    ['an outcome that is none', { outcome: 'MAYBE' }],
  ])('with %s is refused', async (_name, body) => {
    const { reviewId } = await newDecided();
    expectProblem(await overrideReview(reviewId, `"${reviewId}"`, body), 422, 'validation');
  });
});

describe('parked submissions', () => {
  const list = async () =>
    (await admin.client.get('/api/admin/parked?limit=100')).body as { items: { submissionId: string; reason: string }[] };
  const resolve = (submissionId: string, action: 'redrive' | 'close') =>
    admin.client.post(`/api/admin/submissions/${submissionId}/${action}`);

  test('are listed with the reason, the oldest first, and to their student without it', async () => {
    const first = await createParkedSubmission(api);
    const second = await createParkedSubmission(api);
    const { items } = await list();
    const ids = items.map(({ submissionId }) => submissionId);
    expect(ids.indexOf(first.submissionId)).toBeGreaterThanOrEqual(0);
    expect(ids.indexOf(second.submissionId)).toBeGreaterThan(ids.indexOf(first.submissionId));
    expect(items.find(({ submissionId }) => submissionId === first.submissionId)).toEqual({
      submissionId: first.submissionId,
      taskId: first.taskId,
      studentId: first.student.id,
      exerciseTitle: 'Night bus board',
      attemptNo: 1,
      parkedClass: 'transient',
      reason: 'the registry of /var/lib/atelier is away',
      submittedAt: expect.any(String),
      workflow: { id: `submission-${first.submissionId}`, url: null },
    });
    const reviewer = await newClient(api, 'ACADEMY_REVIEWER');
    const seen = await reviewer.client.get(`/api/submissions/${first.submissionId}`);
    expect(seen.body).toMatchObject({ stage: 'PARKED' });
    expect(seen.text).not.toContain('/var/lib');
    expect((await admin.client.get('/api/admin/parked?limit=1')).body).toMatchObject({ items: [{}] });
  });

  test.each([
    ['redrive', 'redriving'],
    ['close', 'closing'],
  ] as const)('%s is told to the workflow, with an audit entry', async (action, status) => {
    const { submissionId } = await createParkedSubmission(api);
    expect(answerOf(await resolve(submissionId, action))).toEqual({ status: 202, body: { status } });
    expect(await api.orm.em.fork().find(SubmissionRequest, { submission: submissionId })).toMatchObject([
      { kind: action, actor: { id: admin.id } },
    ]);
    expect((await admin.client.get(`/api/admin/audit?targetId=${submissionId}`)).body).toMatchObject({
      items: [{ action: `submission.${action}-requested`, actorId: admin.id, via: 'api' }],
    });
  });

  test.each(['redrive', 'close'] as const)('%s with the same key is answered alike when it is parked no more', async (action) => {
    const { submissionId } = await createParkedSubmission(api);
    const send = () => resolve(submissionId, action).set('Idempotency-Key', newId());
    const key = newId();
    const first = await resolve(submissionId, action).set('Idempotency-Key', key);
    if (action === 'redrive') await enterStage(api.orm.em.fork(), { submissionId, stage: 'QUEUED' });
    else {
      await concludeWithoutReview(api.orm.em.fork(), { submissionId, conclusion: 'closed-by-admin' });
      api.workflows.isClosed = true;
    }
    const again = await resolve(submissionId, action).set('Idempotency-Key', key);
    expect(answerOf(again)).toEqual(answerOf(first));
    expect(again.headers['idempotency-replayed']).toBe('true');
    // Another request comes too late.
    expectProblem(await send(), 409, 'invalid-state');
    expect(await api.orm.em.fork().count(AuditEntry, { targetId: submissionId, actorId: admin.id })).toBe(1);
  });

  test.each(['redrive', 'close'] as const)('%s of what is not parked is a conflict', async (action) => {
    const { id, taskId } = await newStudent(api);
    const submissionId = await createSubmission(api.orm, { taskId, studentId: id });
    expectProblem(await resolve(submissionId, action), 409, 'invalid-state');
    expect(await api.orm.em.fork().count(AuditEntry, { targetId: submissionId })).toBe(0);
  });

  test('whose workflow is gone wait for the reconciler', async () => {
    const { submissionId } = await createParkedSubmission(api);
    api.workflows.isClosed = true;
    expectProblem(await resolve(submissionId, 'redrive'), 409, 'invalid-state');
  });

  test('while Temporal is away are a 503, and the same key works then, with one audit entry', async () => {
    const { submissionId } = await createParkedSubmission(api);
    const send = () => resolve(submissionId, 'redrive').set('Idempotency-Key', submissionId);
    api.workflows.failure = new DomainError('unavailable', 'away');
    expectProblem(await send(), 503, 'unavailable');
    api.workflows.failure = null;
    expect((await send()).status).toBe(202);
    expect(await api.orm.em.fork().count(AuditEntry, { targetId: submissionId })).toBe(1);
  });
});

describe('the audit', () => {
  test('is read page by page, newest first, each entry once', async () => {
    const targetId = newId();
    for (let index = 0; index < 7; index += 1) {
      const em = api.orm.em.fork();
      recordAudit(em, { action: `test.${index}`, actorId: null, target: { kind: 'user', id: targetId }, via: 'system' });
      await em.flush();
    }
    const seen: string[] = [];
    let before = '';
    for (;;) {
      const query = `targetId=${targetId.toUpperCase()}&limit=3${before}`;
      const { items } = (await admin.client.get(`/api/admin/audit?${query}`)).body as { items: { id: string; action: string }[] };
      if (items.length === 0) break;
      expect(items.length).toBeLessThanOrEqual(3);
      seen.push(...items.map(({ action }) => action));
      before = `&before=${items.at(-1)?.id}`;
    }
    expect(seen).toEqual(['test.6', 'test.5', 'test.4', 'test.3', 'test.2', 'test.1', 'test.0']);
  });

  test('of a target that nobody did anything to is empty', async () => {
    expect((await admin.client.get(`/api/admin/audit?targetId=${newId()}`)).body).toEqual({ items: [] });
  });
});
