import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AuditEntry } from '../../src/database/entities/operations.ts';
import { Override } from '../../src/database/entities/reviews.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { commitClaim } from '../../src/services/claims.ts';
import { commitOverride, markOverrideStarted, requestTaskOverride } from '../../src/services/overrides.ts';
import {
  listOpenSubmissions,
  listPendingOverrides,
  recordIdleWorkflowEnded,
  restartOverride,
  restartSubmission,
  selectIdleWorkflows,
} from '../../src/services/reconcile.ts';
import {
  concludeWithoutReview,
  enterStage,
  markSubmissionStarted,
  relayUnstartedSubmissions,
} from '../../src/services/submissions.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createUser, publishDemoCourse } from '../support/factories.ts';
import { activityOf, type Attempt, createAttempt, createAttemptInReview, race, stateOf } from './support.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
});

afterAll(() => database.close());

const em = () => database.orm.em.fork();
const soon = () => new Date(Date.now() + 1_000);
const workflowIdOf = ({ submissionId }: Attempt, runNo = 1) => `submission-${submissionId}${runNo === 1 ? '' : `-${runNo}`}`;
const restart = (attempt: Attempt, runNo = 1) =>
  restartSubmission(em(), { id: attempt.submissionId, workflowId: workflowIdOf(attempt, runNo) });

async function createStarted(): Promise<Attempt> {
  const attempt = await createAttemptInReview(database.orm);
  await markSubmissionStarted(em(), attempt.submissionId);
  return attempt;
}

describe('listOpenSubmissions', () => {
  it('gives those that are open and were started before, page by page', async () => {
    const attempts = [await createStarted(), await createStarted(), await createStarted()];
    const closed = await createStarted();
    await concludeWithoutReview(em(), { submissionId: closed.submissionId, conclusion: 'cancelled' });
    await createAttempt(database.orm);
    const list = (afterId: string | null, startedBefore = soon()) =>
      listOpenSubmissions(em(), { startedBefore, afterId, limit: 2 });
    const first = await list(null);
    const second = await list(first.at(-1)?.id ?? null);
    expect([...first, ...second]).toEqual(
      attempts.map((attempt) => ({ id: attempt.submissionId, workflowId: workflowIdOf(attempt) })),
    );
    expect(await list(second.at(-1)?.id ?? null)).toEqual([]);
    expect(await list(null, new Date(Date.now() - 60_000))).toEqual([]);
  });
});

describe('restartSubmission', () => {
  it('makes the row an entry of the outbox under a new workflow id, from the queue on, with a trace in the audit', async () => {
    const attempt = await createStarted();
    const reviewer = await createUser(database.orm, 'ACADEMY_REVIEWER');
    await commitClaim(em(), { submissionId: attempt.submissionId, actorId: reviewer.id });
    const { answerDueAt } = await em().findOneOrFail(Submission, attempt.submissionId);
    expect(await restart(attempt)).toBe(true);
    expect(await em().findOneOrFail(Submission, attempt.submissionId)).toMatchObject({
      stage: 'QUEUED',
      workflowId: workflowIdOf(attempt, 2),
      workflowRunNo: 2,
      startedAt: null,
      claimedBy: null,
      answerDueAt,
    });
    expect((await em().findOneOrFail(Task, attempt.taskId)).status).toBe('SUBMITTED');
    expect((await activityOf(database.orm, attempt.submissionId)).at(-1)).toBe('submission.restarted');
    const { audit } = await stateOf(database.orm, attempt);
    const data = { lostWorkflowId: workflowIdOf(attempt), workflowId: workflowIdOf(attempt, 2) };
    expect(audit).toEqual([expect.objectContaining({ action: 'submission.restarted', actor_id: null, via: 'system', data })]);
    const started: string[] = [];
    await relayUnstartedSubmissions(em(), 100, async ({ workflowId }) => void started.push(workflowId));
    expect(started).toContain(workflowIdOf(attempt, 2));
  });

  it('forgets why it was parked', async () => {
    const attempt = await createStarted();
    await enterStage(em(), {
      submissionId: attempt.submissionId,
      stage: 'PARKED',
      parkedReason: 'no disk',
      parkedClass: 'transient',
    });
    expect(await restart(attempt)).toBe(true);
    expect(await em().findOneOrFail(Submission, attempt.submissionId)).toMatchObject({
      stage: 'QUEUED',
      parkedReason: null,
      parkedClass: null,
    });
  });

  it('happens once of many reconcilers at once, and not where the submission has ended or another workflow', async () => {
    const attempt = await createStarted();
    const { returned, refused } = await race(10, () => restart(attempt));
    expect(refused).toEqual([]);
    expect(returned.filter(Boolean)).toHaveLength(1);
    const restarted = await stateOf(database.orm, attempt);
    expect(await restart(attempt)).toBe(false);
    expect(await stateOf(database.orm, attempt)).toEqual(restarted);
    await concludeWithoutReview(em(), { submissionId: attempt.submissionId, conclusion: 'cancelled' });
    expect(await restart(attempt, 2)).toBe(false);
  });
});

describe('selectIdleWorkflows', () => {
  it('gives those whose submission has ended for a while, has another workflow, or is not there', async () => {
    const [open, ended, restarted] = [await createStarted(), await createStarted(), await createStarted()];
    await concludeWithoutReview(em(), { submissionId: ended.submissionId, conclusion: 'cancelled' });
    await restart(restarted);
    const ids = [open, ended, restarted].map((attempt) => workflowIdOf(attempt));
    const all = [...ids, workflowIdOf(restarted, 2), 'submission-of-another-life'];
    const idle = (endedBefore: Date) => selectIdleWorkflows(em(), all, endedBefore);
    expect(await idle(soon())).toEqual([ids[1], ids[2], 'submission-of-another-life']);
    // The workflow of what has just ended is still about to end by itself.
    expect(await idle(new Date(Date.now() - 60_000))).toEqual([ids[2], 'submission-of-another-life']);
    expect(await selectIdleWorkflows(em(), [], soon())).toEqual([]);
  });

  it('is written down under the submission, where the id names one', async () => {
    const attempt = await createStarted();
    const before = await em().count(AuditEntry);
    await recordIdleWorkflowEnded(em(), workflowIdOf(attempt, 2));
    await recordIdleWorkflowEnded(em(), 'submission-of-another-life');
    expect(await em().count(AuditEntry)).toBe(before + 1);
    const data = { workflowId: workflowIdOf(attempt, 2) };
    expect((await stateOf(database.orm, attempt))['audit']).toEqual([
      expect.objectContaining({ action: 'workflow.ended', via: 'system', data }),
    ]);
  });
});

describe('overrides that are not applied', () => {
  it('are listed once they are started, and become entries of the outbox again, until they are applied', async () => {
    const { taskId } = await createAttempt(database.orm);
    const admin = await createUser(database.orm, 'SUPER_ADMIN');
    const { version } = await em().findOneOrFail(Task, taskId);
    const { overrideId } = await em().transactional((tx) =>
      requestTaskOverride(tx, admin, { taskId, version, status: 'APPROVED', reason: 'so it is' }),
    );
    expect(await listPendingOverrides(em(), soon())).toEqual([]);
    await markOverrideStarted(em(), overrideId);
    expect(await listPendingOverrides(em(), new Date(Date.now() - 60_000))).toEqual([]);
    expect(await listPendingOverrides(em(), soon())).toEqual([overrideId]);
    await restartOverride(em(), overrideId);
    expect((await em().findOneOrFail(Override, overrideId)).startedAt).toBeNull();
    await markOverrideStarted(em(), overrideId);
    await commitOverride(em(), overrideId);
    expect(await listPendingOverrides(em(), soon())).toEqual([]);
    await restartOverride(em(), overrideId);
    expect((await em().findOneOrFail(Override, overrideId)).startedAt).not.toBeNull();
  });
});
