import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { SubmissionRequest } from '../../src/database/entities/reviews.ts';
import type { Role } from '../../src/domain/users.ts';
import { listParked, requestParkedResolution } from '../../src/services/parked.ts';
import { enterStage } from '../../src/services/submissions.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createUser, publishDemoCourse } from '../support/factories.ts';
import { type Attempt, createAttempt, stateOf, unknownId } from './support.ts';

let database: TestDatabase;
let admin: { id: string; role: Role };

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
  admin = await createUser(database.orm, 'SUPER_ADMIN');
});

afterAll(() => database.close());

const em = () => database.orm.em.fork();

const park = ({ submissionId }: Attempt, parkedReason: string, parkedClass?: 'transient' | 'permanent') =>
  enterStage(em(), { submissionId, stage: 'PARKED', parkedReason, ...(parkedClass !== undefined && { parkedClass }) });

describe('listParked', () => {
  it('shows what waits for an admin, the oldest first, with its reason and whether trying again may help', async () => {
    const attempts = [
      await createAttempt(database.orm),
      await createAttempt(database.orm),
      await createAttempt(database.orm),
    ] as const;
    await createAttempt(database.orm);
    await park(attempts[1], 'the image is gone', 'permanent');
    await park(attempts[0], 'no answer from the sandbox', 'transient');
    await park(attempts[2], 'before classes were written');
    const parked = await listParked(em(), 10);
    expect(parked).toMatchObject([
      {
        submissionId: attempts[0].submissionId,
        taskId: attempts[0].taskId,
        studentId: attempts[0].student.id,
        exerciseTitle: 'Night bus board',
        attemptNo: 1,
        parkedClass: 'transient',
        reason: 'no answer from the sandbox',
        workflowId: `submission-${attempts[0].submissionId}`,
      },
      { submissionId: attempts[1].submissionId, parkedClass: 'permanent', reason: 'the image is gone' },
      { submissionId: attempts[2].submissionId, parkedClass: 'permanent' },
    ]);
    expect(await listParked(em(), 1)).toEqual(parked.slice(0, 1));
    await enterStage(em(), { submissionId: attempts[0].submissionId, stage: 'QUEUED' });
    expect(await listParked(em(), 10)).toEqual(parked.slice(1));
  });
});

describe('requestParkedResolution', () => {
  const ask = (submissionId: string, kind: 'redrive' | 'close' = 'redrive', key: string | null = null) =>
    em().transactional((tx) => requestParkedResolution(tx, admin, { kind, submissionId, key }));

  it.each(['redrive', 'close'] as const)(
    'stores who asked for a %s, in the audit too, and leaves the rest to the workflow',
    async (kind) => {
      const attempt = await createAttempt(database.orm);
      const { submissionId } = attempt;
      await park(attempt, 'no disk');
      const { submission, activity } = await stateOf(database.orm, attempt);
      const { requestId, workflowId } = await ask(submissionId, kind);
      expect(workflowId).toBe(`submission-${submissionId}`);
      expect(await em().findOneOrFail(SubmissionRequest, requestId)).toMatchObject({ kind, actor: { id: admin.id } });
      const after = await stateOf(database.orm, attempt);
      expect(after).toMatchObject({ submission, activity });
      expect(after['audit']).toEqual([
        expect.objectContaining({ action: `submission.${kind}-requested`, actor_id: admin.id, via: 'api' }),
      ]);
    },
  );

  it('gives the same key the same request', async () => {
    const attempt = await createAttempt(database.orm);
    await park(attempt, 'no disk');
    const key = newId();
    const first = await ask(attempt.submissionId, 'redrive', key);
    expect(await ask(attempt.submissionId, 'redrive', key)).toEqual({ ...first, isRepeat: true });
    expect(await em().count(SubmissionRequest, { submission: attempt.submissionId })).toBe(1);
  });

  it('is refused where nothing is parked', async () => {
    const { submissionId } = await createAttempt(database.orm);
    await expect(ask(submissionId)).rejects.toMatchObject({ kind: 'invalid-state' });
    await expect(ask(unknownId)).rejects.toMatchObject({ kind: 'not-found' });
    expect(await em().count(SubmissionRequest, { submission: submissionId })).toBe(0);
  });
});
