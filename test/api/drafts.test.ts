import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { newId } from '../../src/database/columns.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { startTask } from '../../src/services/enrolments.ts';
import { concludeWithoutReview } from '../../src/services/submissions.ts';
import { git } from '../../src/git/git.ts';
import { selectExerciseId } from '../support/factories.ts';
import { waitFor } from '../support/wait.ts';
import { answerOf, type Client, commit, expectProblem, newClient, newStudent, startApi, type TestApi } from './support.ts';

let api: TestApi;
/** Looks at the database beside the pool of the api. */
let observer: pg.Client;

beforeAll(async () => {
  api = await startApi();
  observer = new pg.Client(api.databaseUrl);
  await observer.connect();
});

afterAll(async () => {
  await observer.end();
  await api.close();
});

beforeEach(() => {
  api.workflows.started.length = 0;
});

interface Shown {
  readonly id: string;
  readonly status: string;
  readonly draft: unknown;
}
interface Accepted {
  readonly submissionId: string;
  readonly attemptNo: number;
  readonly commit: string;
}

const open = (client: Client, taskId: string) => client.post('/api/submissions', { taskId });

/** A student with an open draft of the starter task, whose solution is the one file src/board.js. */
async function newDraft() {
  const student = await newStudent(api);
  const { id: submissionId } = (await open(student.client, student.taskId)).body as Shown;
  const path = `/api/submissions/${submissionId}`;
  return {
    ...student,
    submissionId,
    path,
    change: (body: object) => student.client.patch(path, body),
    submit: (key?: string) => {
      const sent = student.client.post(`${path}/submit`);
      return key === undefined ? sent : sent.set('Idempotency-Key', key);
    },
  };
}

const filesOf = async (repositoryId: string, commitId: string) =>
  (await git(api.repositories.pathOf(repositoryId), ['ls-tree', '-r', '--name-only', '-z', commitId]))
    .toString('utf8')
    .split('\0');
const contentOf = async (repositoryId: string, commitId: string, path: string) =>
  (await git(api.repositories.pathOf(repositoryId), ['show', `${commitId}:${path}`])).toString('utf8');
const emptyContent = { source_code: null, documentation: null };

describe('opening a draft', () => {
  test('makes an editable submission and begins the task; nothing is judged yet', async () => {
    const { client, taskId, id } = await newStudent(api);
    const response = await open(client, taskId);
    expect(answerOf(response)).toEqual({
      status: 201,
      body: {
        id: expect.any(String),
        taskId,
        studentId: id,
        attemptNo: 1,
        counted: null,
        status: 'IN_PROGRESS',
        stage: null,
        conclusion: null,
        source: null,
        commit: null,
        draft: { content: emptyContent, files: [] },
        submittedAt: null,
        answerDueAt: null,
        queue: null,
        claim: null,
        closedAt: null,
        checkRun: null,
        review: null,
      },
    });
    expect((await client.get(`/api/tasks/${taskId}`)).body).toMatchObject({ status: 'IN_PROGRESS', latestSubmissionId: null });
    expect(api.workflows.started).toEqual([]);
  });

  test('again, also many times at once, returns the open one', async () => {
    const { client, taskId } = await newStudent(api);
    const responses = await Promise.all(Array.from({ length: 12 }, () => open(client, taskId)));
    expect(responses.map(({ status }) => status)).toEqual(Array.from({ length: 12 }, () => 201));
    expect(new Set(responses.map(({ body }) => (body as Shown).id)).size).toBe(1);
    expect(await api.orm.em.fork().count(Submission, { task: taskId })).toBe(1);
  });

  test('keeps what is written in the open one', async () => {
    const { client, taskId, change } = await newDraft();
    await change({ content: { source_code: 'kept' } });
    expect((await open(client, taskId)).body).toMatchObject({ draft: { content: { source_code: 'kept' } } });
  });

  test('while an attempt is open, or of an approved task, is a conflict', async () => {
    const { client, taskId, change, submit } = await newDraft();
    await change({ content: { source_code: 'x' } });
    expect((await submit()).status).toBe(202);
    expectProblem(await open(client, taskId), 409, 'invalid-state');
  });

  test('of a task that is not visible tells nothing, of one that is but belongs to another that it does', async () => {
    const { taskId } = await newStudent(api);
    for (const role of ['CODING_STUDENT', 'ACADEMY_REVIEWER', 'INSTRUCTOR'] as const) {
      const { client } = await newClient(api, role);
      const [foreign, unknown] = [await open(client, taskId), await open(client, newId())];
      expect(expectProblem(foreign, 404, 'not-found').detail).toBe(expectProblem(unknown, 404, 'not-found').detail);
    }
    expectProblem(await open((await newClient(api, 'SUPER_ADMIN')).client, taskId), 403, 'forbidden');
  });
});

describe('changing a draft', () => {
  test('keeps what is left out', async () => {
    const { change, client, path } = await newDraft();
    const files = [{ path: 'src/clock.js', content: 'export {};\n' }];
    expect((await change({ content: { source_code: 'one' } })).body).toMatchObject({ draft: { files: [] } });
    expect((await change({ files })).body).toMatchObject({ draft: { content: { source_code: 'one' }, files } });
    await change({ content: { documentation: '# Why' } });
    const all = { content: { source_code: 'one', documentation: '# Why' }, files };
    expect((await change({})).body).toMatchObject({ draft: all });
    expect((await client.get(path)).body).toMatchObject({ status: 'IN_PROGRESS', draft: all });
    expect((await change({ files: [] })).body).toMatchObject({ draft: { ...all, files: [] } });
  });

  test('keeps text as it is', async () => {
    const { change } = await newDraft();
    const text = '\r\n\t👩‍👩‍👧 e\u0301 \u202E"\\ \'; drop table submissions; -- <script>\u2028';
    const files = [{ path: 'notes/a b\n"ü"\\.txt', content: text }];
    const response = await change({ content: { source_code: text, documentation: text }, files });
    expect(response.body).toMatchObject({ draft: { content: { source_code: text, documentation: text }, files } });
  });

  test('takes a megabyte, where other endpoints take 100 kB', async () => {
    const { change, client, taskId } = await newDraft();
    const files = ['a', 'b'].map((path) => ({ path, content: 'x'.repeat(499_000) }));
    const response = await change({ files });
    expect(response.status).toBe(200);
    expect(
      (response.body as { draft: { files: { content: string }[] } }).draft.files.map(({ content }) => content.length),
    ).toEqual([499_000, 499_000]);
    const padded = { taskId, padding: 'x'.repeat(100_000) };
    expectProblem(await client.post('/api/submissions', padded), 413, 'payload-too-large');
    expectProblem(await client.patch(`/api/tasks/${taskId}`, { repoUrl: 'x'.repeat(100_000) }), 413, 'payload-too-large');
  });

  test('takes no more than 2 MB', async () => {
    const { change, client, path } = await newDraft();
    const files = ['a', 'b', 'c', 'd', 'e'].map((name) => ({ path: name, content: 'x'.repeat(400_000) }));
    expectProblem(await change({ files }), 413, 'payload-too-large');
    expect((await client.get(path)).body).toMatchObject({ draft: { files: [] } });
  });

  test.each([
    ['a text that is too long', { content: { source_code: 'x'.repeat(500_001) } }],
    ['documentation that is too long', { content: { documentation: 'x'.repeat(200_001) } }],
    ['a file that is too long', { files: [{ path: 'a', content: 'x'.repeat(500_001) }] }],
    ['201 files', { files: Array.from({ length: 201 }, (_, index) => ({ path: `f${index}`, content: '' })) }],
    ['a path that is too long', { files: [{ path: 'x'.repeat(401), content: '' }] }],
    ['a file without content', { files: [{ path: 'a' }] }],
    ['null for a text', { content: { source_code: null } }],
    ['null for the files', { files: null }],
    ['a list for the content', { content: [] }],
  ])('refuses %s', async (_name, body) => {
    const { change } = await (shared ??= newDraft());
    expectProblem(await change(body), 422, 'validation');
  });

  test.each([
    '',
    '/etc/passwd',
    '../outside',
    'src/../../outside',
    '..',
    '.',
    './a',
    'a/./b',
    'a//b',
    'a/',
    '.git/hooks/post-checkout',
    '.GIT/config',
    'a/.git/config',
    '.git',
    'git~1/config',
    'GIT~1',
    'git~1 /config',
    'git~2/config',
    'a\\.git\\config',
    'a\\..\\.git/config',
    '.gitmodules',
    '.gitattributes',
    `${'a'.repeat(256)}/b`,
    'README.md/a',
    'README.md',
    'twice',
  ])('refuses the path %j, and keeps the draft as it was', async (path) => {
    const { change, path: address, client } = await (shared ??= newDraft());
    const twice = path === 'twice' ? [{ path, content: 'b' }] : [];
    const body = { content: { documentation: '# Why' }, files: [{ path, content: 'a' }, ...twice] };
    expectProblem(await change(body), 422, 'validation');
    expect((await client.get(address)).body).toMatchObject({ draft: { content: emptyContent, files: [] } });
  });

  test.each([
    '-rf',
    '--upload-pack=x',
    'a b',
    'a"b',
    'a\nM 100644 inline b',
    'a\tb',
    'a\rb',
    ' ',
    'ü/ß',
    '.g\u200Cit/config',
    'con',
    'a:b',
  ])('takes the path %j for what it is', async (path) => {
    const { change, submit, taskId } = await newDraft();
    expect((await change({ files: [{ path, content: 'a' }] })).status).toBe(200);
    const response = await submit();
    expect(response.status).toBe(202);
    const { commit: submitted } = response.body as Accepted;
    expect(await contentOf(taskId, submitted, path)).toBe('a');
    expect(await filesOf(taskId, submitted)).not.toContain('b');
  });

  test('takes source_code only where the solution is one file', async () => {
    const { client, id } = await newStudent(api);
    const exerciseId = await selectExerciseId(api.orm, 'kitchen-plan');
    const { taskId } = await startTask(api.orm.em.fork(), { userId: id, exerciseId });
    const { id: submissionId } = (await open(client, taskId)).body as Shown;
    const change = (body: object) => client.patch(`/api/submissions/${submissionId}`, body);
    expectProblem(await change({ content: { source_code: 'x' } }), 422, 'validation');
    expect((await change({ files: [{ path: 'src/planner.py', content: 'x' }] })).status).toBe(200);
  });

  test('of another is not found; an admin, who sees it, is refused', async () => {
    const { path, submissionId } = await newDraft();
    const body = { content: { documentation: 'mine' } };
    for (const role of ['CODING_STUDENT', 'ACADEMY_REVIEWER', 'INSTRUCTOR'] as const) {
      const { client } = await newClient(api, role);
      expectProblem(await client.patch(path, body), 404, 'not-found');
      expectProblem(await client.get(path), 404, 'not-found');
      expectProblem(await client.post(`${path}/submit`), 404, 'not-found');
    }
    const { client } = await newClient(api, 'SUPER_ADMIN');
    expectProblem(await client.patch(path, body), 403, 'forbidden');
    expectProblem(await client.post(`${path}/submit`), 403, 'forbidden');
    expect(await api.orm.em.fork().findOneOrFail(Submission, submissionId)).toMatchObject({ status: 'IN_PROGRESS' });
  });
});

let shared: ReturnType<typeof newDraft> | undefined;

describe('submitting a draft', () => {
  test('commits starter and draft to the repository, starts one workflow and locks the draft', async () => {
    const { change, submit, client, path, taskId, submissionId } = await newDraft();
    await change({
      content: { source_code: 'export const board = 1;\n', documentation: '# My board\n' },
      files: [{ path: 'src/deep/clock.js', content: 'export const clock = 2;\n' }],
    });
    const response = await submit();
    const accepted = response.body as Accepted;
    expect(answerOf(response)).toEqual({
      status: 202,
      body: {
        submissionId,
        attemptNo: 1,
        commit: expect.stringMatching(/^[0-9a-f]{40}$/),
        statusUrl: `${api.origin}${path}`,
      },
    });
    expect(api.workflows.started).toMatchObject([{ id: submissionId, taskId, attemptNo: 1 }]);
    expect(await contentOf(taskId, accepted.commit, 'src/board.js')).toBe('export const board = 1;\n');
    expect(await contentOf(taskId, accepted.commit, 'README.md')).toBe('# My board\n');
    expect(await contentOf(taskId, accepted.commit, 'src/deep/clock.js')).toBe('export const clock = 2;\n');
    expect(await filesOf(taskId, accepted.commit)).toEqual(expect.arrayContaining(['package.json', 'test/board.test.js']));
    const pinned = await git(api.repositories.pathOf(taskId), ['rev-parse', `refs/submissions/${submissionId}`]);
    expect(pinned.toString('utf8').trim()).toBe(accepted.commit);

    expectProblem(await change({ content: { source_code: 'too late' } }), 409, 'invalid-state');
    expectProblem(await submit(), 409, 'invalid-state');
    expect((await client.get(path)).body).toMatchObject({
      status: 'SUBMITTED',
      stage: 'QUEUED',
      source: { kind: 'files', url: null },
      commit: accepted.commit,
      draft: { content: { source_code: 'export const board = 1;\n' } },
    });
    expect((await client.get(`/api/tasks/${taskId}`)).body).toMatchObject({
      status: 'SUBMITTED',
      latestSubmissionId: submissionId,
    });
  });

  test('leaves the branches of the repository alone', async () => {
    const { change, submit, taskId } = await newDraft();
    const pushed = await commit(api, taskId, 'pushed');
    await change({ content: { source_code: 'written' } });
    const { commit: submitted } = (await submit()).body as Accepted;
    expect(submitted).not.toBe(pushed);
    const main = await git(api.repositories.pathOf(taskId), ['rev-parse', 'refs/heads/main']);
    expect(main.toString('utf8').trim()).toBe(pushed);
    expect(await filesOf(taskId, submitted)).not.toContain('work.txt');
  });

  test('repeated with its key gives the same submission', async () => {
    const { change, submit, taskId } = await newDraft();
    await change({ content: { source_code: 'x' } });
    const [first, second] = [await submit('k'), await submit('k')];
    expect(answerOf(second)).toEqual(answerOf(first));
    expect(first.headers['idempotency-replayed']).toBeUndefined();
    expect(second.headers['idempotency-replayed']).toBe('true');
    expect(await api.orm.em.fork().count(Submission, { task: taskId })).toBe(1);
    expect(api.workflows.started).toHaveLength(1);
  });

  test('as many times at once as there are connections submits once: it needs no second one inside its transaction', async () => {
    const { change, submit, taskId } = await newDraft();
    await change({ content: { source_code: 'x' } });
    const client = new pg.Client(api.databaseUrl);
    await client.connect();
    try {
      await client.query('begin');
      await client.query('select 1 from learning.tasks where id = $1 for update', [taskId]);
      const asked = Array.from({ length: 10 }, async () => submit());
      const waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
      await waitFor('ten transactions that wait for the task', async () => {
        // Not by the pool, which they hold, nor by `client`: within its transaction the view stands still.
        const { rowCount } = await observer.query(waiting);
        return rowCount === 10 ? true : null;
      });
      await client.query('rollback');
      const responses = await Promise.all(asked);
      expect(responses.filter(({ status }) => status === 202)).toHaveLength(1);
      for (const response of responses) if (response.status !== 202) expectProblem(response, 409, 'invalid-state');
    } finally {
      await client.end();
    }
    expect(await api.orm.em.fork().count(Submission, { task: taskId })).toBe(1);
    expect(api.workflows.started).toHaveLength(1);
  });

  test('that was given up is a conflict, and the next one is the next attempt', async () => {
    const { change, submit, client, taskId, path } = await newDraft();
    await change({ content: { source_code: 'x' } });
    expect((await client.post(`${path}/cancel`)).status).toBe(202);
    expect((await client.get(path)).body).toMatchObject({ conclusion: 'cancelled', counted: false });
    expectProblem(await change({ content: { source_code: 'y' } }), 409, 'invalid-state');
    expectProblem(await submit(), 409, 'invalid-state');
    expect((await open(client, taskId)).body).toMatchObject({ attemptNo: 2, draft: { content: emptyContent } });
  });

  test('after failed checks begins with an empty draft again', async () => {
    const { change, submit, client, taskId, submissionId } = await newDraft();
    await change({ content: { source_code: 'x' } });
    await submit();
    await concludeWithoutReview(api.orm.em.fork(), { submissionId, conclusion: 'checks-failed' });
    const next = (await open(client, taskId)).body as Shown;
    expect(next).toMatchObject({ attemptNo: 2, status: 'IN_PROGRESS', draft: { content: emptyContent } });
    expect(next.id).not.toBe(submissionId);
  });

  test('is shown to reviewers, who could not see it before', async () => {
    const { change, submit, path } = await newDraft();
    const reviewer = await newClient(api, 'ACADEMY_REVIEWER');
    await change({ content: { source_code: 'x' } });
    expectProblem(await reviewer.client.get(path), 404, 'not-found');
    await submit();
    expect((await reviewer.client.get(path)).body).toMatchObject({ draft: { content: { source_code: 'x' } } });
    expectProblem(await reviewer.client.patch(path, {}), 403, 'forbidden');
  });
});

describe('submitting the task while a draft is open', () => {
  test('submits and locks what is written in it', async () => {
    const { change, client, taskId, submissionId } = await newDraft();
    await commit(api, taskId, 'pushed');
    await change({ content: { source_code: 'written' } });
    const response = await client.post(`/api/tasks/${taskId}/submit`, {});
    expect(response.body).toMatchObject({ submissionId, attemptNo: 1 });
    expect(await contentOf(taskId, (response.body as Accepted).commit, 'src/board.js')).toBe('written');
    expectProblem(await change({ content: { source_code: 'too late' } }), 409, 'invalid-state');
  });

  test('submits what was pushed where nothing is written in it, as the same attempt', async () => {
    const { change, client, taskId, submissionId, path } = await newDraft();
    const pushed = await commit(api, taskId, 'pushed');
    expect((await client.post(`/api/tasks/${taskId}/submit`, {})).body).toMatchObject({ submissionId, commit: pushed });
    expect((await client.get(path)).body).toMatchObject({ status: 'SUBMITTED', source: { kind: 'hosted' } });
    expectProblem(await change({ content: { source_code: 'too late' } }), 409, 'invalid-state');
  });

  test('with nothing written and nothing pushed is refused, and the draft stays open', async () => {
    const { change, client, taskId, submit } = await newDraft();
    expectProblem(await client.post(`/api/tasks/${taskId}/submit`, {}), 409, 'nothing-pushed');
    expectProblem(await submit(), 409, 'nothing-pushed');
    expect((await change({ content: { source_code: 'x' } })).status).toBe(200);
  });
});
