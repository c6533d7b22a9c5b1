import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { Enrolment } from '../../src/database/entities/enrolments.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { DomainError } from '../../src/domain/errors.ts';
import type { TaskStatus } from '../../src/domain/tasks.ts';
import { git } from '../../src/git/git.ts';
import { concludeWithoutReview, relayUnstartedSubmissions } from '../../src/services/submissions.ts';
import { createStudentWithTask, createSubmission, createUser, selectExerciseId } from '../support/factories.ts';
import { answerOf, as, commit, expectProblem, signIn, startApi, type TestApi } from './support.ts';

let api: TestApi;

beforeAll(async () => {
  api = await startApi();
});

afterAll(() => api.close());

beforeEach(() => {
  api.workflows.failure = null;
  api.workflows.started.length = 0;
});

type Client = ReturnType<typeof as>;
interface Accepted {
  readonly submissionId: string;
  readonly attemptNo: number;
  readonly commit: string;
  readonly statusUrl: string;
}

async function newStudent(): Promise<{ client: Client; id: string; taskId: string }> {
  const { student, taskId } = await createStudentWithTask(api.orm);
  return { client: as(api, await signIn(api, student)), id: student.id, taskId };
}

const submissionsOf = (taskId: string) => api.orm.em.fork().find(Submission, { task: taskId }, { orderBy: { attemptNo: 'asc' } });

describe('courses', () => {
  test('lists the exercises of a course in their order, without tests or solutions', async () => {
    const { client } = await newStudent();
    const response = await client.get('/api/courses');
    expect(response.body).toMatchObject({
      items: [
        {
          slug: 'small-tools',
          exercises: [
            { slug: 'night-bus-board' },
            { slug: 'balcony-garden' },
            { slug: 'dry-causeway' },
            { slug: 'parcel-lockers' },
            { slug: 'kitchen-plan' },
          ],
        },
      ],
    });
    expect(response.text).not.toMatch(/hidden|solution/i);
  });

  test('enrols once however often and at once it is asked', async () => {
    const reviewer = await createUser(api.orm, 'ACADEMY_REVIEWER');
    const client = as(api, await signIn(api, reviewer));
    const responses = await Promise.all(Array.from({ length: 8 }, () => client.post('/api/courses/small-tools/enrolments')));
    expect(responses.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 201));
    const again = await client.post('/api/courses/small-tools/enrolments');
    expect(new Set([...responses, again].map(({ body }) => (body as { enrolmentId: string }).enrolmentId)).size).toBe(1);
    expect(await api.orm.em.fork().count(Enrolment, { user: reviewer.id })).toBe(1);
    expect(await api.orm.em.fork().count(Task, { assignee: reviewer.id })).toBe(1);
  });

  test('has no enrolments in a course that is not there', async () => {
    const { client } = await newStudent();
    for (const slug of ['nothing', 'x'.repeat(100), 'x'.repeat(101), 'SMALL-TOOLS']) {
      expectProblem(await client.post(`/api/courses/${slug}/enrolments`), 404, 'not-found');
    }
  });
});

describe('tasks', () => {
  test('shows the assignee the task with its statement and where to clone it', async () => {
    const { client, id, taskId } = await newStudent();
    const { body } = answerOf(await client.get(`/api/tasks/${taskId}`));
    expect(body).toMatchObject({
      id: taskId,
      status: 'TODO',
      assigneeId: id,
      xp: 50,
      cloneUrl: `${api.origin}/git/${taskId}.git`,
      latestSubmissionId: null,
      statement: expect.stringContaining('#'),
    });
  });

  test('shows a reviewer a task once something was submitted', async () => {
    const { id, taskId } = await newStudent();
    const reviewer = as(api, await signIn(api, await createUser(api.orm, 'ACADEMY_REVIEWER')));
    expectProblem(await reviewer.get(`/api/tasks/${taskId}`), 404, 'not-found');
    await createSubmission(api.orm, { taskId, studentId: id });
    expect(answerOf(await reviewer.get(`/api/tasks/${taskId}`)).body).toMatchObject({ id: taskId, status: 'SUBMITTED' });
  });

  test('lists one’s own tasks in the order of the course and nobody else’s', async () => {
    const { client, id } = await newStudent();
    await newStudent();
    for (const slug of ['kitchen-plan', 'balcony-garden']) {
      await client.post('/api/tasks', { exerciseId: await selectExerciseId(api.orm, slug) });
    }
    const { items } = (await client.get('/api/tasks')).body as { items: { assigneeId: string; exercise: { slug: string } }[] };
    expect(items.map(({ exercise }) => exercise.slug)).toEqual(['night-bus-board', 'balcony-garden', 'kitchen-plan']);
    expect(new Set(items.map(({ assigneeId }) => assigneeId))).toEqual(new Set([id]));
  });

  test('starts an exercise once however often and at once it is asked', async () => {
    const { client, id } = await newStudent();
    const exerciseId = await selectExerciseId(api.orm, 'parcel-lockers');
    const responses = await Promise.all(Array.from({ length: 5 }, () => client.post('/api/tasks', { exerciseId })));
    expect(responses.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201]);
    expect(new Set(responses.map(({ body }) => (body as { id: string }).id)).size).toBe(1);
    expect(await api.orm.em.fork().count(Task, { assignee: id, exercise: exerciseId })).toBe(1);
  });

  test('starts no exercise of a course without enrolment, as if there were none', async () => {
    const client = as(api, await signIn(api, await createUser(api.orm, 'INSTRUCTOR')));
    const foreign = await client.post('/api/tasks', { exerciseId: await selectExerciseId(api.orm, 'kitchen-plan') });
    const unknown = await client.post('/api/tasks', { exerciseId: newId() });
    expect(expectProblem(foreign, 404, 'not-found').detail).toBe(expectProblem(unknown, 404, 'not-found').detail);
  });
});

describe('submit', () => {
  test('answers 202 with the commit, locks the task and starts one workflow', async () => {
    const { client, id, taskId } = await newStudent();
    const pushed = await commit(api, taskId, 'done');
    const response = await client.post(`/api/tasks/${taskId}/submit`, {});
    const accepted = response.body as Accepted;
    expect({ status: response.status, body: accepted }).toEqual({
      status: 202,
      body: {
        submissionId: expect.any(String),
        attemptNo: 1,
        commit: pushed,
        statusUrl: `${api.origin}/api/submissions/${accepted.submissionId}`,
      },
    });
    expect(response.headers['idempotency-replayed']).toBeUndefined();
    expect(api.workflows.started).toMatchObject([
      { id: accepted.submissionId, workflowId: `submission-${accepted.submissionId}`, studentId: id, taskId, attemptNo: 1 },
    ]);
    expect(await submissionsOf(taskId)).toMatchObject([{ stage: 'QUEUED', status: 'SUBMITTED', startedAt: expect.any(Date) }]);
    expect((await client.get(`/api/tasks/${taskId}`)).body).toMatchObject({
      status: 'SUBMITTED',
      latestSubmissionId: accepted.submissionId,
    });
    expect((await client.get(new URL(accepted.statusUrl).pathname)).body).toMatchObject({
      id: accepted.submissionId,
      stage: 'QUEUED',
    });
  });

  test('takes no body for an empty one', async () => {
    const { client, taskId } = await newStudent();
    await commit(api, taskId, 'done');
    expect((await client.post(`/api/tasks/${taskId}/submit`)).status).toBe(202);
  });

  test('with Temporal away is accepted all the same, and the relay starts it later', async () => {
    const { client, taskId } = await newStudent();
    await commit(api, taskId, 'done');
    api.workflows.failure = new DomainError('unavailable', 'The workflow could not be started now.');
    const response = await client.post(`/api/tasks/${taskId}/submit`, {});
    expect(response.status).toBe(202);
    expect(api.workflows.started).toEqual([]);
    expect(await submissionsOf(taskId)).toMatchObject([{ startedAt: null, closedAt: null, stage: 'QUEUED' }]);
    api.workflows.failure = null;
    await relayUnstartedSubmissions(api.orm.em.fork(), 10, (submission) => api.workflows.start(submission));
    expect(api.workflows.started).toContainEqual(
      expect.objectContaining({ id: (response.body as Accepted).submissionId, taskId }),
    );
    expect(await submissionsOf(taskId)).toMatchObject([{ startedAt: expect.any(Date) }]);
  });

  test('with nothing but the starter is refused and changes nothing', async () => {
    const { client, taskId } = await newStudent();
    expectProblem(await client.post(`/api/tasks/${taskId}/submit`, {}), 409, 'nothing-pushed');
    expectProblem(await client.post(`/api/tasks/${taskId}/submit`, { ref: 'main' }), 409, 'nothing-pushed');
    expect(await submissionsOf(taskId)).toEqual([]);
    expect((await client.get(`/api/tasks/${taskId}`)).body).toMatchObject({ status: 'TODO' });
  });

  test.each([
    ['a branch', () => 'topic/one'],
    ['a tag', () => 'v1.0'],
    ['a full commit id', (pushed: string) => pushed],
  ])('takes %s instead of main', async (_name, refOf) => {
    const { client, taskId } = await newStudent();
    await commit(api, taskId, 'on main');
    const pushed = await commit(api, taskId, 'elsewhere', 'topic/one');
    await git(api.repositories.pathOf(taskId), ['tag', 'v1.0', pushed]);
    const response = await client.post(`/api/tasks/${taskId}/submit`, { ref: refOf(pushed) });
    expect(response.body).toMatchObject({ commit: pushed });
  });

  test('of a ref that is not there says so', async () => {
    const { client, taskId } = await newStudent();
    await commit(api, taskId, 'done');
    for (const ref of ['nothing', 'refs/heads/main', 'HEAD', '0'.repeat(40), 'f'.repeat(64), 'main.lock2']) {
      expectProblem(await client.post(`/api/tasks/${taskId}/submit`, { ref }), 422, 'ref-not-found');
    }
    expect(await submissionsOf(taskId)).toEqual([]);
  });

  test.each([
    '--upload-pack=touch /tmp/x',
    '-x',
    '.',
    '..',
    '../main',
    'a..b',
    'a//b',
    '/main',
    'main/',
    'main.lock',
    'main^{/x}',
    'main~1',
    'main@{1}',
    'HEAD:work.txt',
    'a b',
    'a\nb',
    'a\u0000b',
    'máin',
    '$(id)',
    '`id`',
    'a;b',
    '*',
    '',
    'x'.repeat(201),
  ])('of the ref %j is not even tried', async (ref) => {
    const { client, taskId } = await sharedStudent();
    const { errors } = expectProblem(await client.post(`/api/tasks/${taskId}/submit`, { ref }), 422, 'validation');
    expect(errors?.[0]?.path).toBe('body.ref');
  });

  test('the commit is the one of that moment: a later push does not change it', async () => {
    const { client, taskId } = await newStudent();
    const submitted = await commit(api, taskId, 'submitted');
    const { submissionId } = (await client.post(`/api/tasks/${taskId}/submit`, {})).body as Accepted;
    expect(await commit(api, taskId, 'too late')).not.toBe(submitted);
    expect((await client.get(`/api/submissions/${submissionId}`)).body).toMatchObject({ commit: submitted });
    // Kept by a ref of its own, whatever happens to the branch.
    const pinned = await git(api.repositories.pathOf(taskId), ['rev-parse', `refs/submissions/${submissionId}`]);
    expect(pinned.toString('utf8').trim()).toBe(submitted);
  });

  test.each<TaskStatus>(['SUBMITTED', 'UNDER_REVIEW', 'APPROVED'])('of a task that is %s is a conflict', async (status) => {
    const { client, taskId } = await newStudent();
    await commit(api, taskId, 'done');
    await api.orm.em.fork().nativeUpdate(Task, { id: taskId }, { status });
    expectProblem(await client.post(`/api/tasks/${taskId}/submit`, {}), 409, 'invalid-state');
    expect(await submissionsOf(taskId)).toEqual([]);
  });

  test('after failed checks is the next attempt', async () => {
    const { client, taskId } = await newStudent();
    await commit(api, taskId, 'first try');
    const first = (await client.post(`/api/tasks/${taskId}/submit`, {})).body as Accepted;
    expectProblem(await client.post(`/api/tasks/${taskId}/submit`, {}), 409, 'invalid-state');
    await concludeWithoutReview(api.orm.em.fork(), { submissionId: first.submissionId, conclusion: 'checks-failed' });
    await commit(api, taskId, 'second try');
    const second = (await client.post(`/api/tasks/${taskId}/submit`, {})).body as Accepted;
    expect(second).toMatchObject({ attemptNo: 2 });
    expect(second.commit).not.toBe(first.commit);
  });

  test('twenty at once make one submission', async () => {
    const { client, taskId } = await newStudent();
    await commit(api, taskId, 'done');
    const responses = await Promise.all(Array.from({ length: 20 }, () => client.post(`/api/tasks/${taskId}/submit`, {})));
    const refused = responses.filter(({ status }) => status !== 202);
    expect(refused).toHaveLength(19);
    for (const response of refused) expectProblem(response, 409, 'invalid-state');
    expect(await submissionsOf(taskId)).toHaveLength(1);
    expect(api.workflows.started).toHaveLength(1);
  });
});

let shared: Promise<{ client: Client; id: string; taskId: string }> | undefined;
/** For tests that change nothing. */
const sharedStudent = () => (shared ??= newStudent());

describe('submit with an Idempotency-Key', () => {
  const submit = (client: Client, taskId: string, key: string, body: object = {}) =>
    client.post(`/api/tasks/${taskId}/submit`, body).set('Idempotency-Key', key);

  test('repeated is answered alike and has one effect', async () => {
    const { client, taskId } = await newStudent();
    await commit(api, taskId, 'done');
    const first = await submit(client, taskId, 'key-1');
    const second = await submit(client, taskId, 'key-1');
    expect(answerOf(second)).toEqual(answerOf(first));
    expect(first.headers['idempotency-replayed']).toBeUndefined();
    expect(second.headers['idempotency-replayed']).toBe('true');
    expect(await submissionsOf(taskId)).toHaveLength(1);
    expect(api.workflows.started).toHaveLength(1);
  });

  test('repeated after the attempt is closed still tells of it', async () => {
    const { client, taskId } = await newStudent();
    await commit(api, taskId, 'done');
    const first = await submit(client, taskId, 'key-1');
    const { submissionId } = first.body as Accepted;
    await concludeWithoutReview(api.orm.em.fork(), { submissionId, conclusion: 'checks-failed' });
    expect((await submit(client, taskId, 'key-1')).body).toEqual(first.body);
    expect(await submissionsOf(taskId)).toHaveLength(1);
  });

  test('ten times at once is answered alike', async () => {
    const { client, taskId } = await newStudent();
    await commit(api, taskId, 'done');
    const responses = await Promise.all(Array.from({ length: 10 }, () => submit(client, taskId, 'key-1')));
    expect(responses.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 202));
    expect(new Set(responses.map(({ body }) => (body as Accepted).submissionId)).size).toBe(1);
    expect(responses.filter(({ headers }) => headers['idempotency-replayed'] === undefined)).toHaveLength(1);
    expect(api.workflows.started).toHaveLength(1);
  });

  test('with another body is refused', async () => {
    const { client, taskId } = await newStudent();
    await commit(api, taskId, 'done');
    expect((await submit(client, taskId, 'key-1')).status).toBe(202);
    expectProblem(await submit(client, taskId, 'key-1', { ref: 'main' }), 422, 'key-reused');
  });

  test('remembers no refusal: the same key works once the cause is gone', async () => {
    const { client, taskId } = await newStudent();
    expectProblem(await submit(client, taskId, 'key-1'), 409, 'nothing-pushed');
    await commit(api, taskId, 'done');
    const response = await submit(client, taskId, 'key-1');
    expect(response.status).toBe(202);
    expect(response.headers['idempotency-replayed']).toBeUndefined();
  });

  test('of somebody else, or for another task, is another key', async () => {
    const [ann, bob] = [await newStudent(), await newStudent()];
    await commit(api, ann.taskId, 'done');
    await commit(api, bob.taskId, 'done');
    const [first, second] = [await submit(ann.client, ann.taskId, 'shared'), await submit(bob.client, bob.taskId, 'shared')];
    expect([first.status, second.status]).toEqual([202, 202]);
    expect((first.body as Accepted).submissionId).not.toBe((second.body as Accepted).submissionId);
    expect(second.headers['idempotency-replayed']).toBeUndefined();
    const started = await ann.client.post('/api/tasks', { exerciseId: await selectExerciseId(api.orm, 'kitchen-plan') });
    const { id } = started.body as { id: string };
    await commit(api, id, 'done');
    expect((await submit(ann.client, id, 'shared')).headers['idempotency-replayed']).toBeUndefined();
  });

  test.each(['', 'x'.repeat(201), 'a b', 'a\tb', 'clé'])('%j is malformed', async (key) => {
    const { client, taskId } = await sharedStudent();
    expectProblem(await submit(client, taskId, key), 400, 'malformed-idempotency-key');
  });
});
