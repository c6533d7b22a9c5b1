import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Task } from '../../src/database/entities/tasks.ts';
import type { TaskStatus } from '../../src/domain/tasks.ts';
import { createSubmission } from '../support/factories.ts';
import { type Client, commit, expectProblem, newClient, newStudent, startApi, type TestApi } from './support.ts';

let api: TestApi;
let student: { id: string; client: Client; taskId: string };

beforeAll(async () => {
  api = await startApi();
  student = await newStudent(api);
});

afterAll(() => api.close());

const name = ({ client, taskId }: { client: Client; taskId: string }, repoUrl: unknown) =>
  client.patch(`/api/tasks/${taskId}`, { repoUrl });
const storedOf = async (taskId: string) => (await api.orm.em.fork().findOneOrFail(Task, taskId)).repoUrl;

/** The app of these tests allows github.com, and gitlab.com with groups. What the pattern refuses is in test/domain/repo-urls.test.ts. */
describe('another host’s repository', () => {
  test.each([
    ['https://github.com/owner/name', 'https://github.com/owner/name.git'],
    ['https://github.com/owner/name.git', 'https://github.com/owner/name.git'],
    ['https://gitlab.com/group/sub/name', 'https://gitlab.com/group/sub/name.git'],
  ])('%s is kept and shown in its canonical form', async (url, canonical) => {
    const response = await name(student, url);
    expect(response.status).toBe(200);
    expect(response.body).toMatchObject({ id: student.taskId, repoUrl: canonical });
    expect(await storedOf(student.taskId)).toBe(canonical);
    expect((await student.client.get(`/api/tasks/${student.taskId}`)).body).toMatchObject({ repoUrl: canonical });
  });

  test('null goes back to Atelier’s own', async () => {
    await name(student, 'https://github.com/owner/name');
    expect((await name(student, null)).body).toMatchObject({ repoUrl: null });
    expect(await storedOf(student.taskId)).toBeNull();
  });

  const kept = 'https://github.com/owner/kept.git';

  test.each([
    'http://github.com/owner/name',
    'ssh://git@github.com/owner/name',
    'git@github.com:owner/name.git',
    'git://github.com/owner/name',
    'file:///etc/passwd',
    'ext::sh -c "touch /tmp/x"',
    'javascript:alert(1)',
    '--upload-pack=touch /tmp/x',
    '-https://github.com/owner/name',
    'https://github.com/--upload-pack=x/name',
    'https://user@github.com/owner/name',
    'https://user:password@github.com/owner/name',
    'https://github.com@127.0.0.1/owner/name',
    'https://github.com:443/owner/name',
    'https://github.com:22/owner/name',
    'https://github.com/owner/name?x=1',
    'https://github.com/owner/name#x',
    'https://githu%62.com/owner/name',
    'https://gіthub.com/owner/name',
    'https://ｇithub.com/owner/name',
    'https://2130706433/owner/name',
    'https://0177.0.0.1/owner/name',
    'https://0x7f000001/owner/name',
    'https://127.0.0.1/owner/name',
    'https://[::1]/owner/name',
    'https://[::ffff:127.0.0.1]/owner/name',
    'https://169.254.169.254/latest/meta-data',
    'https://10.0.0.1/owner/name',
    'https://192.168.1.1/owner/name',
    'https://localhost/owner/name',
    'https://github.com./owner/name',
    'https:\\\\github.com\\owner\\name',
    'https://github.com\\@127.0.0.1/owner/name',
    'https://github.com/owner/na\tme',
    'https://github.com/owner/name\r\nHost: evil.example',
    'https://github.com/owner/name\n',
    'https://github.com/owner/na\u0000me',
    'https://github.com/owner/\ud800',
    'https://github.com/../owner/name',
    'https://github.com/owner/..',
    'https://github.com/owner/%2e%2e',
    'https://github.com/owner',
    'https://github.com/owner/name/more',
    'https://github.com/owner/name/',
    'https://github.com.evil.example/owner/name',
    'https://evil-github.com/owner/name',
    'https://bitbucket.org/owner/name',
    '',
    ' ',
    // A lenient parser would mend these.
    'HTTPS://github.com/owner/name',
    'https://GitHub.com/owner/name',
    'https://github.com//owner/name',
    'https://github.com/owner//name',
    'https:/github.com/owner/name',
    'https:github.com/owner/name',
    ' https://github.com/owner/name',
  ])('%j is refused, and the one before stays', async (url) => {
    await name(student, kept);
    const { detail } = expectProblem(await name(student, url), 422, 'repo-url-not-allowed');
    // What may be given is told, what was given is not repeated.
    expect(detail).toContain('https://github.com');
    expect(detail).not.toMatch(/evil|passwd|password|touch/);
    expect(await storedOf(student.taskId)).toBe(kept);
  });

  test.each([
    [1],
    [true],
    [['https://github.com/owner/name']],
    [{ url: 'x' }],
    [undefined],
    [`https://github.com/o/${'x'.repeat(480)}`],
  ])('%j is no address at all', async (url) => {
    expectProblem(await name(student, url), 422, 'validation');
  });

  test('the longest address that is taken is kept whole', async () => {
    const url = `https://github.com/o/${'x'.repeat(475)}`;
    expect(url).toHaveLength(496);
    expect((await name(student, url)).body).toMatchObject({ repoUrl: `${url}.git` });
  });

  test('changes the ETag of the task, and neither its status nor whose it is', async () => {
    const { client, taskId, id } = await newStudent(api);
    const before = await client.get(`/api/tasks/${taskId}`);
    await name({ client, taskId }, 'https://github.com/owner/name');
    const after = await client.get(`/api/tasks/${taskId}`);
    expect(after.headers['etag']).not.toBe(before.headers['etag']);
    expect(after.body).toMatchObject({ status: 'TODO', assigneeId: id, cloneUrl: `${api.origin}/git/${taskId}.git` });
  });

  test('is submitted in place of what was pushed: the commit is not known yet', async () => {
    const { client, taskId } = await newStudent(api);
    await commit(api, taskId, 'pushed');
    await name({ client, taskId }, 'https://github.com/owner/name');
    const response = await client.post(`/api/tasks/${taskId}/submit`, { ref: 'topic' });
    expect(response.body).toMatchObject({ commit: null });
    const { submissionId } = response.body as { submissionId: string };
    expect((await client.get(`/api/submissions/${submissionId}`)).body).toMatchObject({
      source: { kind: 'remote', url: 'https://github.com/owner/name.git' },
      commit: null,
    });
  });

  test.each<TaskStatus>(['SUBMITTED', 'UNDER_REVIEW', 'APPROVED'])('cannot be named while the task is %s', async (status) => {
    const { client, taskId } = await newStudent(api);
    await api.orm.em.fork().nativeUpdate(Task, { id: taskId }, { status });
    expectProblem(await name({ client, taskId }, kept), 409, 'invalid-state');
    expectProblem(await name({ client, taskId }, null), 409, 'invalid-state');
  });

  test.each<TaskStatus>(['TODO', 'IN_PROGRESS', 'REJECTED'])('can be named while the task is %s', async (status) => {
    const { client, taskId } = await newStudent(api);
    await api.orm.em.fork().nativeUpdate(Task, { id: taskId }, { status });
    expect((await name({ client, taskId }, kept)).body).toMatchObject({ status, repoUrl: kept });
  });

  test('is the assignee’s to name: others find no task, who sees it is refused', async () => {
    const { id, taskId } = await newStudent(api);
    await createSubmission(api.orm, { taskId, studentId: id });
    for (const [role, status, slug] of [
      ['CODING_STUDENT', 404, 'not-found'],
      ['INSTRUCTOR', 404, 'not-found'],
      ['ACADEMY_REVIEWER', 403, 'forbidden'],
      ['SUPER_ADMIN', 403, 'forbidden'],
    ] as const) {
      expectProblem(await name({ client: (await newClient(api, role)).client, taskId }, kept), status, slug);
    }
    expect(await storedOf(taskId)).toBeNull();
  });
});
