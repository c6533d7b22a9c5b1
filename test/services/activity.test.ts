import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { Activity } from '../../src/database/entities/operations.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { listAudit } from '../../src/services/activity.ts';
import { commitClaim, commitRelease } from '../../src/services/claims.ts';
import { concludeWithoutReview, recordRunStarts } from '../../src/services/submissions.ts';
import { beginTask } from '../../src/services/tasks.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createStudentWithTask, createUser, publishDemoCourse } from '../support/factories.ts';
import { waitFor } from '../support/wait.ts';
import { createAttempt, createAttemptInReview, race } from './support.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
});

afterAll(() => database.close());

const em = () => database.orm.em.fork();

describe('the events of a submission', () => {
  it('are numbered 1, 2, … without a gap, each once, also of 20 writers at once', async () => {
    const { submissionId } = await createAttemptInReview(database.orm);
    const reviewers = await Promise.all([0, 1].map(() => createUser(database.orm, 'ACADEMY_REVIEWER')));
    const { refused } = await race(20, async (index) => {
      const actorId = reviewers[index % 2]?.id ?? '';
      if (index % 4 < 2) return recordRunStarts(em(), { submissionId, runs: [`run ${index}`] });
      return index % 4 === 2 ? commitClaim(em(), { submissionId, actorId }) : commitRelease(em(), { submissionId, actorId });
    });
    expect(refused).toEqual([]);
    const events = await em().find(Activity, { submissionId }, { orderBy: { sequence: 'asc' } });
    expect(events.length).toBeGreaterThan(12);
    expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, index) => index + 1));
    expect((await em().findOneOrFail(Submission, submissionId)).lastSequence).toBe(events.length);
  });

  it('take no number where they are rolled back', async () => {
    const { submissionId } = await createAttempt(database.orm);
    await expect(
      em().transactional(async (tx) => {
        await recordRunStarts(tx, { submissionId, runs: ['lint'] });
        throw new Error('the machine stops');
      }),
    ).rejects.toThrow('stops');
    await recordRunStarts(em(), { submissionId, runs: ['lint'] });
    const events = await em().find(Activity, { submissionId }, { orderBy: { sequence: 'asc' } });
    expect(events.map(({ kind, sequence }) => [kind, sequence])).toEqual([
      ['task.submitted', 1],
      ['ci.run.started', 2],
    ]);
  });

  it('end with the submission: a late one of the judge is not written', async () => {
    const { submissionId } = await createAttempt(database.orm);
    await concludeWithoutReview(em(), { submissionId, conclusion: 'cancelled' });
    const count = await em().count(Activity, { submissionId });
    await recordRunStarts(em(), { submissionId, runs: ['lint'] });
    expect(await em().count(Activity, { submissionId })).toBe(count);
  });

  it('are told to who listens when they are committed; those of no submission are not', async () => {
    const { student, taskId } = await createStudentWithTask(database.orm);
    const { submissionId } = await createAttempt(database.orm);
    const listener = new pg.Client(database.url);
    await listener.connect();
    const heard: string[] = [];
    listener.on('notification', ({ channel, payload }) => heard.push(`${channel} ${payload}`));
    await listener.query('listen submission_events');
    await beginTask(em(), { taskId, actorId: student.id });
    await em().transactional(async (tx) => {
      await recordRunStarts(tx, { submissionId, runs: ['lint'] });
      // The listener's own round trip: what was sent before would have arrived.
      await listener.query('select 1');
      expect(heard).toEqual([]);
    });
    await waitFor('the notification', async () => heard[0] ?? null);
    await listener.query('select 1');
    expect(heard).toEqual([`submission_events ${submissionId}`]);
    await listener.end();
  });
});

describe('listAudit', () => {
  it('gives the newest first, page by page, and of one target alone', async () => {
    const attempts = [await createAttempt(database.orm), await createAttempt(database.orm)];
    for (const { submissionId } of attempts) {
      await concludeWithoutReview(em(), { submissionId, conclusion: 'closed-by-admin' });
    }
    const [older, newer] = attempts.map(({ submissionId }) => submissionId);
    const first = await listAudit(em(), { limit: 1 });
    expect(first).toMatchObject([{ action: 'submission.closed', targetId: newer, via: 'temporal', actorId: null }]);
    expect(await listAudit(em(), { limit: 1, before: first[0]?.id })).toMatchObject([{ targetId: older }]);
    expect(await listAudit(em(), { limit: 10, targetId: older })).toMatchObject([{ targetId: older }]);
  });
});
