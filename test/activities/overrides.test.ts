import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createOverrideActivities } from '../../src/activities/overrides.ts';
import { newId } from '../../src/database/columns.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { DomainError } from '../../src/domain/errors.ts';
import { requestTaskOverride } from '../../src/services/overrides.ts';
import { markSubmissionStarted } from '../../src/services/submissions.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createStudentWithTask, createSubmission, createUser, publishDemoCourse } from '../support/factories.ts';
import { FakeSubmissionWorkflows } from '../support/fakes.ts';
import { createActivityEnvironment } from '../support/temporal.ts';

let database: TestDatabase;
let workflows: FakeSubmissionWorkflows;
let stop: (overrideId: string) => Promise<void>;
let commit: (overrideId: string) => Promise<void>;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
});

afterAll(() => database.close());

beforeEach(() => {
  workflows = new FakeSubmissionWorkflows();
  const { stopSubmission, commitOverride } = createOverrideActivities({ orm: database.orm, workflows });
  stop = (overrideId) => createActivityEnvironment().run(stopSubmission, { overrideId });
  commit = (overrideId) => createActivityEnvironment().run(commitOverride, { overrideId });
});

const em = () => database.orm.em.fork();

/** An override of a task with an open submission whose workflow is started. */
async function createOverride(): Promise<{ overrideId: string; taskId: string }> {
  const { student, taskId } = await createStudentWithTask(database.orm);
  await markSubmissionStarted(em(), await createSubmission(database.orm, { taskId, studentId: student.id }));
  const { version } = await em().findOneOrFail(Task, taskId);
  const admin = await createUser(database.orm, 'SUPER_ADMIN');
  return em()
    .transactional((tx) => requestTaskOverride(tx, admin, { taskId, version, status: 'APPROVED', reason: 'so it is' }))
    .then(({ overrideId }) => ({ overrideId, taskId }));
}

describe('stopSubmission', () => {
  it('comes again after a decision that is being committed, and where Temporal did not answer', async () => {
    const { overrideId } = await createOverride();
    workflows.failure = new DomainError('already-decided', 'A decision is being committed.');
    await expect(stop(overrideId)).rejects.toMatchObject({ type: 'unavailable', nonRetryable: false });
    workflows.failure = new DomainError('outcome-unknown', 'No answer in time.');
    await expect(stop(overrideId)).rejects.toMatchObject({ type: 'outcome-unknown', nonRetryable: false });
    workflows.failure = null;
    await stop(overrideId);
    workflows.isClosed = true;
    await stop(overrideId);
  });

  it('has nobody to tell once the override is applied', async () => {
    const { overrideId } = await createOverride();
    await commit(overrideId);
    workflows.failure = new DomainError('unavailable', 'asked all the same');
    await expect(stop(overrideId)).resolves.toBeUndefined();
  });
});

describe('commitOverride', () => {
  it('applies it, twice as well as once', async () => {
    const { overrideId, taskId } = await createOverride();
    await commit(overrideId);
    const { version, status } = await em().findOneOrFail(Task, taskId);
    expect(status).toBe('APPROVED');
    await commit(overrideId);
    expect((await em().findOneOrFail(Task, taskId)).version).toBe(version);
  });

  it('is not tried again for one that does not exist', async () => {
    await expect(commit(newId())).rejects.toMatchObject({ type: 'not-found', nonRetryable: true });
    await expect(commit('no id at all')).rejects.toMatchObject({ nonRetryable: true });
  });
});
