import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Activity, AuditEntry } from '../../src/database/entities/operations.ts';
import { Review, SubmissionRequest } from '../../src/database/entities/reviews.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { User } from '../../src/database/entities/users.ts';
import { newId } from '../../src/database/columns.ts';
import { DomainError } from '../../src/domain/errors.ts';
import {
  claim,
  newReviewGate,
  type Refusal,
  refusalOf,
  refusalOfClaim,
  refusalOfRelease,
  reopen,
  type ReviewGate,
} from '../../src/domain/reviews.ts';
import { checkLease, commitClaim, commitRelease } from '../../src/services/claims.ts';
import { openDraft } from '../../src/services/drafts.ts';
import { enrol } from '../../src/services/enrolments.ts';
import { commitDecision } from '../../src/services/reviews.ts';
import { createSubmission } from '../support/factories.ts';
import {
  answerOf,
  type Client,
  createSubmissionInReview,
  expectProblem,
  newClient,
  newStudent,
  startApi,
  type TestApi,
  withoutAddress,
} from './support.ts';

let api: TestApi;
let ann: { id: string; client: Client };
let bob: { id: string; client: Client };
let admin: { id: string; client: Client };
/** How often the workflow was asked for a claim. */
let asked = 0;

beforeAll(async () => {
  api = await startApi();
  ann = await newClient(api, 'ACADEMY_REVIEWER');
  bob = await newClient(api, 'ACADEMY_REVIEWER');
  admin = await newClient(api, 'SUPER_ADMIN');
});

afterAll(() => api.close());

beforeEach(() => {
  asked = 0;
  api.workflows.failure = null;
  serveReviews();
});

/** Does what the workflow of a submission does: one request after the other, its own rules, and the commits of its activities. */
function serveReviews(): void {
  const gates = new Map<string, ReviewGate>();
  let turn: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = turn.then(work);
    turn = done.catch(() => undefined);
    return done;
  };
  const refuse = (refusal: Refusal | null) => {
    if (refusal !== null) throw new DomainError(refusal.kind, refusal.message);
  };
  async function gateOf(requestId: string): Promise<{ submissionId: string; gate: ReviewGate }> {
    const request = await api.orm.em.fork().findOneOrFail(SubmissionRequest, requestId, { populate: ['submission'] });
    const { id: submissionId, stage, student } = request.submission.$;
    const phase = stage === 'AWAITING_REVIEW' || stage === 'UNDER_REVIEW' ? 'open' : 'checking';
    return { submissionId, gate: gates.get(submissionId) ?? reopen(newReviewGate(student.id), phase as 'open') };
  }
  api.workflows.onClaim = (request) =>
    inTurn(async () => {
      asked += 1;
      const { submissionId, gate } = await gateOf(request.requestId);
      refuse(refusalOfClaim(gate, request));
      const result = await commitClaim(api.orm.em.fork(), { submissionId, actorId: request.actorId });
      if ('conclusion' in result) return { status: 'closed' };
      if (result.status === 'refused') throw new DomainError(result.kind, result.message);
      gates.set(submissionId, claim(gate, request.actorId));
      return { status: 'claimed', leaseUntil: new Date(result.leaseUntil) };
    });
  api.workflows.onRelease = (request) =>
    inTurn(async () => {
      const { submissionId, gate } = await gateOf(request.requestId);
      refuse(refusalOfRelease(gate, request));
      await commitRelease(api.orm.em.fork(), { submissionId, actorId: request.actorId });
      gates.set(submissionId, claim(gate, null));
      return { status: 'told' };
    });
  api.workflows.onDecide = (request) =>
    inTurn(async () => {
      const { submissionId, gate } = await gateOf(request.requestId);
      refuse(refusalOf(gate, request));
      const result = await commitDecision(api.orm.em.fork(), { ...request, submissionId });
      if (result.status === 'refused') throw new DomainError(result.kind, result.message);
      return { status: 'decided', reviewId: result.reviewId };
    });
}

const claimBy = (who: { client: Client }, submissionId: string, body: object = {}) =>
  who.client.post(`/api/submissions/${submissionId}/claim`, body);
const releaseBy = (who: { client: Client }, submissionId: string) => who.client.post(`/api/submissions/${submissionId}/release`);
const decideBy = (who: { client: Client }, submissionId: string) =>
  who.client.post('/api/reviews', { submissionId, outcome: 'APPROVED', comment: '' });
const rowOf = (submissionId: string) => api.orm.em.fork().findOneOrFail(Submission, submissionId);
const leaseOf = (body: unknown) => Date.parse((body as { leaseUntil: string }).leaseUntil);

describe('a claim', () => {
  test('is shown with its lease, and takes the task under review', async () => {
    const { submissionId, taskId, student } = await createSubmissionInReview(api);
    const response = await claimBy(ann, submissionId);
    expect(answerOf(response)).toEqual({ status: 200, body: { leaseUntil: expect.any(String) } });
    expect(leaseOf(response.body)).toBeGreaterThan(Date.now());
    const claimed = { reviewerId: ann.id, reviewerName: expect.any(String), leaseUntil: expect.any(String) };
    const shown = await bob.client.get(`/api/submissions/${submissionId}`);
    expect(shown.body).toMatchObject({ stage: 'UNDER_REVIEW', claim: claimed });
    expect(shown.text).not.toContain('@example.test');
    expect((await bob.client.get(`/api/tasks/${taskId}`)).body).toMatchObject({ status: 'UNDER_REVIEW' });
    const queue = (await bob.client.get('/api/reviews/queue?limit=100')).body as { items: { submissionId: string }[] };
    expect(queue.items.find((item) => item.submissionId === submissionId)).toMatchObject({ claim: claimed });
    const activity = await api.orm.em.fork().find(Activity, { submissionId, kind: 'review.claimed' });
    expect(activity).toMatchObject([{ actorId: ann.id }]);
    expect((await rowOf(submissionId)).student.id).toBe(student.id);
  });

  test('is renewed by its holder: the lease moves, and the workflow is not asked again', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    await claimBy(ann, submissionId);
    const soon = new Date(Date.now() + 5_000);
    await api.orm.em.fork().nativeUpdate(Submission, { id: submissionId }, { leaseUntil: soon });
    const renewed = await claimBy(ann, submissionId);
    expect(leaseOf(renewed.body)).toBeGreaterThan(soon.getTime() + 60_000);
    expect((await rowOf(submissionId)).leaseUntil?.getTime()).toBe(leaseOf(renewed.body));
    expect(asked).toBe(1);
    expect(await api.orm.em.fork().count(Activity, { submissionId, kind: 'review.claimed' })).toBe(1);
  });

  test('keeps others from claiming, giving back and deciding', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    await claimBy(ann, submissionId);
    const before = await rowOf(submissionId);
    expectProblem(await claimBy(bob, submissionId), 409, 'claimed');
    expectProblem(await claimBy(admin, submissionId), 409, 'claimed');
    expectProblem(await releaseBy(bob, submissionId), 409, 'claimed');
    expectProblem(await decideBy(bob, submissionId), 409, 'claimed');
    expect(await rowOf(submissionId)).toMatchObject({ claimedBy: { id: ann.id }, leaseUntil: before.leaseUntil });
    expect(await api.orm.em.fork().count(Review, { submission: submissionId })).toBe(0);
  });

  test('ends with the decision of its holder', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    await claimBy(ann, submissionId);
    expect((await decideBy(ann, submissionId)).status).toBe(201);
    expect((await ann.client.get(`/api/submissions/${submissionId}`)).body).toMatchObject({ stage: 'CLOSED', claim: null });
    // Of what is closed nobody holds a claim, nor gets one.
    api.workflows.onClaim = () => Promise.resolve({ status: 'closed' });
    expectProblem(await claimBy(ann, submissionId), 409, 'already-decided');
    expectProblem(await claimBy(bob, submissionId), 409, 'already-decided');
  });

  test('is not needed to decide', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    expect((await decideBy(bob, submissionId)).status).toBe(201);
  });

  test('of twenty reviewers at once one gets', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    const reviewers = await Promise.all(Array.from({ length: 20 }, () => newClient(api, 'ACADEMY_REVIEWER')));
    const responses = await Promise.all(reviewers.map((reviewer) => claimBy(reviewer, submissionId)));
    const winners = reviewers.filter((_reviewer, index) => responses[index]?.status === 200);
    expect(winners).toHaveLength(1);
    for (const response of responses) if (response.status !== 200) expectProblem(response, 409, 'claimed');
    expect(await rowOf(submissionId)).toMatchObject({ claimedBy: { id: winners[0]?.id }, stage: 'UNDER_REVIEW' });
    expect(await api.orm.em.fork().count(Activity, { submissionId, kind: 'review.claimed' })).toBe(1);
  });

  test('of one reviewer, asked for twenty times at once, is one claim', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    const responses = await Promise.all(Array.from({ length: 20 }, () => claimBy(ann, submissionId)));
    expect(responses.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200));
    expect(await api.orm.em.fork().count(Activity, { submissionId, kind: 'review.claimed' })).toBe(1);
  });

  test('of a reviewer who was demoted meanwhile is refused', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    const reviewer = await newClient(api, 'ACADEMY_REVIEWER');
    const { onClaim } = api.workflows;
    api.workflows.onClaim = async (request) => {
      await api.orm.em.fork().nativeUpdate(User, { id: reviewer.id }, { role: 'CODING_STUDENT' });
      return onClaim(request);
    };
    expectProblem(await claimBy(reviewer, submissionId), 403, 'forbidden');
    expect(await rowOf(submissionId)).toMatchObject({ claimedBy: null, stage: 'AWAITING_REVIEW' });
  });

  test('while Temporal is away is a 503, and the same key works then', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    const key = newId();
    api.workflows.failure = new DomainError('unavailable', 'away');
    expectProblem(await claimBy(ann, submissionId).set('Idempotency-Key', key), 503, 'unavailable');
    api.workflows.failure = null;
    expect((await claimBy(ann, submissionId).set('Idempotency-Key', key)).status).toBe(200);
    expect(await api.orm.em.fork().count(SubmissionRequest, { submission: submissionId })).toBe(1);
  });

  test('before the checks have passed is a conflict', async () => {
    const { id, taskId } = await newStudent(api);
    const submissionId = await createSubmission(api.orm, { taskId, studentId: id });
    expectProblem(await claimBy(ann, submissionId), 409, 'invalid-state');
    // And where its workflow is not even started.
    api.workflows.onClaim = () => Promise.resolve({ status: 'closed' });
    expectProblem(await claimBy(ann, submissionId), 409, 'invalid-state');
  });
});

describe('giving a claim back', () => {
  test('lets the next reviewer claim', async () => {
    const { submissionId, taskId } = await createSubmissionInReview(api);
    await claimBy(ann, submissionId);
    expect(answerOf(await releaseBy(ann, submissionId))).toEqual({ status: 200, body: { status: 'released' } });
    expect(await rowOf(submissionId)).toMatchObject({ claimedBy: null, leaseUntil: null, stage: 'AWAITING_REVIEW' });
    expect((await ann.client.get(`/api/tasks/${taskId}`)).body).toMatchObject({ status: 'SUBMITTED' });
    expect((await claimBy(bob, submissionId)).status).toBe(200);
  });

  test('that nobody holds changes nothing', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    expect((await releaseBy(ann, submissionId)).status).toBe(200);
    expect(await api.orm.em.fork().count(Activity, { submissionId, kind: 'review.released' })).toBe(0);
  });

  test('is for admins too', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    await claimBy(ann, submissionId);
    expect((await releaseBy(admin, submissionId)).status).toBe(200);
    expect(await rowOf(submissionId)).toMatchObject({ claimedBy: null });
  });

  test('happens by itself when its holder is gone for the length of the lease', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    await claimBy(ann, submissionId);
    await api.orm.em.fork().nativeUpdate(Submission, { id: submissionId }, { leaseUntil: new Date(Date.now() - 1) });
    expect(await checkLease(api.orm.em.fork(), { submissionId })).toEqual({ status: 'lapsed' });
    serveReviews();
    expect((await claimBy(bob, submissionId)).status).toBe(200);
  });
});

describe('taking a claim over', () => {
  test('is for admins, and is in the audit', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    await claimBy(ann, submissionId);
    expectProblem(await claimBy(bob, submissionId, { takeOver: true }), 403, 'forbidden');
    expect(await rowOf(submissionId)).toMatchObject({ claimedBy: { id: ann.id } });
    expect((await claimBy(admin, submissionId, { takeOver: true })).status).toBe(200);
    expect(await rowOf(submissionId)).toMatchObject({ claimedBy: { id: admin.id }, stage: 'UNDER_REVIEW' });
    const audit = await api.orm.em.fork().find(AuditEntry, { targetId: submissionId });
    expect(audit).toMatchObject([{ action: 'claim.taken-over', actorId: admin.id, via: 'api', data: { from: ann.id } }]);
    // The one it was taken from is nobody special any more.
    expectProblem(await claimBy(ann, submissionId), 409, 'claimed');
    expectProblem(await decideBy(ann, submissionId), 409, 'claimed');
  });

  test('tells who may not whether there is such a submission no more than claiming does', async () => {
    const { id, role, taskId } = await newStudent(api);
    const { submissionId: draftId } = await api.orm.em.fork().transactional((tx) => openDraft(tx, { id, role }, taskId));
    const answers = [await claimBy(bob, draftId, { takeOver: true }), await claimBy(bob, newId(), { takeOver: true })];
    const [draft, unknown] = answers.map((response) => withoutAddress(expectProblem(response, 403, 'forbidden')));
    expect(draft).toEqual(unknown);
  });
});

describe('who may not claim', () => {
  test('students, of whatever submission', async () => {
    const { submissionId } = await createSubmissionInReview(api);
    const { client } = await newStudent(api);
    for (const id of [submissionId, newId()]) {
      expectProblem(await claimBy({ client }, id), 403, 'forbidden');
      expectProblem(await releaseBy({ client }, id), 403, 'forbidden');
    }
    expect(asked).toBe(0);
  });

  test('the one whose work it is', async () => {
    await enrol(api.orm.em.fork(), { userId: ann.id, courseSlug: 'small-tools' });
    const { id: taskId } = await api.orm.em.fork().findOneOrFail(Task, { assignee: ann.id });
    const student = { id: ann.id, role: 'ACADEMY_REVIEWER' } as const;
    const { submissionId } = await createSubmissionInReview(api, { student, taskId });
    expectProblem(await claimBy(ann, submissionId), 403, 'self-review');
    expectProblem(await releaseBy(ann, submissionId), 403, 'self-review');
    expect(asked).toBe(0);
  });

  test('anybody, a draft', async () => {
    const { id, role, taskId } = await newStudent(api);
    const { submissionId } = await api.orm.em.fork().transactional((tx) => openDraft(tx, { id, role }, taskId));
    for (const who of [ann, admin]) {
      expectProblem(await claimBy(who, submissionId), 404, 'not-found');
      expectProblem(await releaseBy(who, submissionId), 404, 'not-found');
    }
  });
});
