import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { Course } from '../../src/database/entities/courses.ts';
import { SubmissionRequest } from '../../src/database/entities/reviews.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { User } from '../../src/database/entities/users.ts';
import type { Role } from '../../src/domain/users.ts';
import { checkLease, commitClaim, commitRelease, renewClaim, requestClaim } from '../../src/services/claims.ts';
import { commitDecision, listReviewQueue } from '../../src/services/reviews.ts';
import { concludeWithoutReview, enterStage, openReview } from '../../src/services/submissions.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createUser, publishDemoCourse } from '../support/factories.ts';
import { activityOf, type Attempt, createAttempt, createAttemptInReview, race, stateOf, unknownId } from './support.ts';

let database: TestDatabase;
let ann: { id: string; role: Role };
let admin: { id: string; role: Role };
let leaseMs: number;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
  ann = await createUser(database.orm, 'ACADEMY_REVIEWER');
  admin = await createUser(database.orm, 'SUPER_ADMIN');
  leaseMs = (await em().findOneOrFail(Course, { isDefault: true })).claimLeaseMs;
});

afterAll(() => database.close());

const em = () => database.orm.em.fork();
const selectSubmission = (id: string) => em().findOneOrFail(Submission, id);
const taskStatus = async (id: string) => (await em().findOneOrFail(Task, id)).status;
const claimAs = ({ submissionId }: Attempt, actorId = ann.id) => commitClaim(em(), { submissionId, actorId });
const endLease = ({ submissionId }: Attempt) =>
  em().nativeUpdate(Submission, submissionId, { leaseUntil: new Date(Date.now() - 1) });

/** Does it, and expects that it wrote nothing at all. */
async function expectNothingWritten<T>(attempt: Attempt, change: () => Promise<T>): Promise<T> {
  const before = await stateOf(database.orm, attempt);
  const result = await change();
  expect(await stateOf(database.orm, attempt)).toEqual(before);
  return result;
}

describe('commitClaim', () => {
  it('takes the submission under review, for the length of the course’s lease', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const before = Date.now();
    const result = await claimAs(attempt);
    const { leaseUntil, ...submission } = await selectSubmission(attempt.submissionId);
    expect(submission).toMatchObject({ stage: 'UNDER_REVIEW', claimedBy: { id: ann.id } });
    expect(result).toEqual({ status: 'claimed', leaseUntil: leaseUntil?.getTime() });
    expect(leaseUntil?.getTime()).toBeGreaterThanOrEqual(before + leaseMs);
    expect(leaseUntil?.getTime()).toBeLessThanOrEqual(Date.now() + leaseMs);
    expect(await taskStatus(attempt.taskId)).toBe('UNDER_REVIEW');
    expect((await activityOf(database.orm, attempt.submissionId)).at(-1)).toBe('review.claimed');
    const queue = await listReviewQueue(em(), admin, 100);
    expect(queue.find(({ submissionId }) => submissionId === attempt.submissionId)?.claim).toMatchObject({
      reviewerId: ann.id,
      leaseUntil,
    });
  });

  it('again renews the lease and tells nobody a second time', async () => {
    const attempt = await createAttemptInReview(database.orm);
    await claimAs(attempt);
    await endLease(attempt);
    const { activity, task } = await stateOf(database.orm, attempt);
    expect(await claimAs(attempt)).toMatchObject({ status: 'claimed' });
    expect(await stateOf(database.orm, attempt)).toMatchObject({ activity, task });
    expect((await selectSubmission(attempt.submissionId)).leaseUntil?.getTime()).toBeGreaterThan(Date.now());
  });

  it('by another is a take-over: of the audit, with whom it was taken from', async () => {
    const attempt = await createAttemptInReview(database.orm);
    await claimAs(attempt);
    expect(await claimAs(attempt, admin.id)).toMatchObject({ status: 'claimed' });
    expect(await selectSubmission(attempt.submissionId)).toMatchObject({ stage: 'UNDER_REVIEW', claimedBy: { id: admin.id } });
    expect(await taskStatus(attempt.taskId)).toBe('UNDER_REVIEW');
    const { audit, activity } = await stateOf(database.orm, attempt);
    expect(audit).toEqual([
      expect.objectContaining({ action: 'claim.taken-over', actor_id: admin.id, via: 'api', data: { from: ann.id } }),
    ]);
    expect(activity?.at(-1)).toMatchObject({ kind: 'review.claimed', data: { takenOverFrom: ann.id } });
  });

  it.each<[string, (id: string) => Promise<unknown>]>([
    ['has lost the role', (id) => em().nativeUpdate(User, id, { role: 'CODING_STUDENT' })],
    ['was blocked', (id) => em().nativeUpdate(User, id, { disabledAt: new Date() })],
    ['was erased', (id) => em().nativeUpdate(User, id, { erasedAt: new Date() })],
  ])('refuses a reviewer who meanwhile %s', async (_case, change) => {
    const attempt = await createAttemptInReview(database.orm);
    const former = await createUser(database.orm, 'ACADEMY_REVIEWER');
    await change(former.id);
    const result = await expectNothingWritten(attempt, () => claimAs(attempt, former.id));
    expect(result).toMatchObject({ status: 'refused', kind: 'forbidden' });
  });

  it('is refused before the review is open and while it is parked', async () => {
    const attempt = await createAttempt(database.orm);
    const { submissionId } = attempt;
    for (const stage of ['CHECKING', 'PARKED'] as const) {
      await enterStage(em(), { submissionId, stage });
      const result = await expectNothingWritten(attempt, () => claimAs(attempt));
      expect(result).toMatchObject({ status: 'refused', kind: 'invalid-state' });
    }
  });

  it('finds a closed submission ended, as release and lease do', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const { submissionId } = attempt;
    await concludeWithoutReview(em(), { submissionId, conclusion: 'closed-by-admin' });
    const ended = { conclusion: 'closed-by-admin' };
    expect(await expectNothingWritten(attempt, () => claimAs(attempt))).toEqual(ended);
    expect(await expectNothingWritten(attempt, () => commitRelease(em(), { submissionId, actorId: ann.id }))).toEqual(ended);
    expect(await expectNothingWritten(attempt, () => checkLease(em(), { submissionId }))).toEqual(ended);
    expect(await expectNothingWritten(attempt, () => renewClaim(em(), ann, submissionId))).toBeNull();
  });

  it('keeps decisions for the holder, also where the workflow does not know of the claim', async () => {
    const attempt = await createAttemptInReview(database.orm);
    await claimAs(attempt);
    const decision = { submissionId: attempt.submissionId, requestId: newId(), outcome: 'APPROVED', via: 'api' } as const;
    const result = await expectNothingWritten(attempt, () => commitDecision(em(), { ...decision, actorId: admin.id }));
    expect(result).toMatchObject({ status: 'refused', kind: 'claimed' });
    expect(await commitDecision(em(), { ...decision, actorId: ann.id })).toMatchObject({ status: 'committed' });
    expect(await selectSubmission(attempt.submissionId)).toMatchObject({ claimedBy: null, leaseUntil: null, stage: 'CLOSED' });
  });
});

describe('the end of a claim', () => {
  it('by release sets the submission free, once', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const release = () => commitRelease(em(), { submissionId: attempt.submissionId, actorId: ann.id });
    await claimAs(attempt);
    expect(await release()).toBeNull();
    expect(await selectSubmission(attempt.submissionId)).toMatchObject({
      stage: 'AWAITING_REVIEW',
      claimedBy: null,
      leaseUntil: null,
    });
    expect(await taskStatus(attempt.taskId)).toBe('SUBMITTED');
    expect((await activityOf(database.orm, attempt.submissionId)).slice(-2)).toEqual(['review.claimed', 'review.released']);
    await expectNothingWritten(attempt, release);
  });

  it('by its lease comes when that is over, and not while it is renewed', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const { submissionId } = attempt;
    await claimAs(attempt);
    const look = () => checkLease(em(), { submissionId });
    const { leaseUntil } = await selectSubmission(submissionId);
    expect(await expectNothingWritten(attempt, look)).toEqual({ status: 'held', leaseUntil: leaseUntil?.getTime() });

    await endLease(attempt);
    const renewed = await renewClaim(em(), ann, submissionId);
    expect(renewed?.getTime()).toBeGreaterThan(Date.now());
    expect(await look()).toEqual({ status: 'held', leaseUntil: renewed?.getTime() });

    await endLease(attempt);
    expect(await look()).toEqual({ status: 'lapsed' });
    expect(await selectSubmission(submissionId)).toMatchObject({ stage: 'AWAITING_REVIEW', claimedBy: null });
    expect(await taskStatus(attempt.taskId)).toBe('SUBMITTED');
    const { activity } = await stateOf(database.orm, attempt);
    expect(activity?.at(-1)).toMatchObject({ kind: 'review.released', data: { lapsed: true } });
    expect(await expectNothingWritten(attempt, look)).toEqual({ status: 'lapsed' });
  });

  it('comes with parking, and with the review opened anew', async () => {
    const [parked, reopened] = [await createAttemptInReview(database.orm), await createAttemptInReview(database.orm)];
    await claimAs(parked);
    await enterStage(em(), { submissionId: parked.submissionId, stage: 'PARKED', parkedReason: 'no disk' });
    expect(await selectSubmission(parked.submissionId)).toMatchObject({ stage: 'PARKED', claimedBy: null });
    expect(await taskStatus(parked.taskId)).toBe('SUBMITTED');
    await claimAs(reopened);
    await openReview(em(), reopened.submissionId);
    expect(await selectSubmission(reopened.submissionId)).toMatchObject({ stage: 'AWAITING_REVIEW', claimedBy: null });
    expect(await taskStatus(reopened.taskId)).toBe('SUBMITTED');
  });
});

describe('renewClaim', () => {
  it('is for the holder: to all others there is no claim to renew', async () => {
    const attempt = await createAttemptInReview(database.orm);
    expect(await expectNothingWritten(attempt, () => renewClaim(em(), ann, attempt.submissionId))).toBeNull();
    await claimAs(attempt);
    expect(await expectNothingWritten(attempt, () => renewClaim(em(), admin, attempt.submissionId))).toBeNull();
  });
});

describe('requestClaim', () => {
  const ask = ({ submissionId }: Attempt, changes: Partial<Parameters<typeof requestClaim>[2]> = {}, actor = ann) =>
    requestClaim(em(), actor, { kind: 'claim', submissionId, key: null, ...changes });

  it('gives the same key the same request, and another kind another', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const key = newId();
    const { returned, refused } = await race(5, () => ask(attempt, { key }));
    expect(refused).toEqual([]);
    expect(new Set(returned.map(({ requestId }) => requestId)).size).toBe(1);
    const { requestId } = await ask(attempt, { kind: 'release', key });
    expect(requestId).not.toBe(returned[0]?.requestId);
    expect(await em().find(SubmissionRequest, { submission: attempt.submissionId }, { orderBy: { id: 'asc' } })).toHaveLength(2);
    await expect(ask(attempt, { key, takeOver: true })).rejects.toMatchObject({ kind: 'key-reused' });
  });

  it('is for submitted work of others', async () => {
    const attempt = await createAttemptInReview(database.orm);
    const [student, other] = [{ ...attempt.student, role: 'ACADEMY_REVIEWER' as const }, await createUser(database.orm)];
    await expect(ask(attempt, {}, student)).rejects.toMatchObject({ kind: 'self-review' });
    await expect(ask(attempt, {}, other)).rejects.toMatchObject({ kind: 'not-found' });
    await expect(ask(attempt, { submissionId: unknownId })).rejects.toMatchObject({ kind: 'not-found' });
  });
});
