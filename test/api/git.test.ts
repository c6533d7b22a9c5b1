import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import request from 'supertest';
import { newId } from '../../src/database/columns.ts';
import { AccessToken } from '../../src/database/entities/sessions.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { User } from '../../src/database/entities/users.ts';
import type { Role } from '../../src/domain/users.ts';
import { CommitFiles, commitPath } from '../../src/git/fetch-commit.ts';
import { signJobToken } from '../../src/git/job-token.ts';
import { createAccessToken } from '../../src/services/sessions.ts';
import { createStudentWithTask, createUser } from '../support/factories.ts';
import { waitFor } from '../support/wait.ts';
import { as, commit, exchange, expectProblem, secret, signIn, startApi, type TestApi, withoutAddress } from './support.ts';

let api: TestApi;
let folder: string;

beforeAll(async () => {
  api = await startApi();
  folder = await mkdtemp(join(tmpdir(), 'atelier-clone-'));
});

afterAll(async () => {
  await api.close();
  await rm(folder, { recursive: true, force: true });
});

/** Runs git as a student does, but for prompts and settings of this machine. Never throws: a refusal is an answer too. */
async function git(...args: string[]): Promise<{ readonly exitCode: number; readonly output: string }> {
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: folder,
    GIT_TERMINAL_PROMPT: '0',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_NAME: 'Ann',
    GIT_AUTHOR_EMAIL: 'ann@example.test',
    GIT_COMMITTER_NAME: 'Ann',
    GIT_COMMITTER_EMAIL: 'ann@example.test',
  };
  try {
    const { stdout, stderr } = await promisify(execFile)('git', args, { env, timeout: 20_000 });
    return { exitCode: 0, output: stdout + stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { exitCode: code, output: stdout + stderr };
  }
}

const newFolder = () => mkdtemp(join(folder, 'clone-'));
const day = 86_400_000;

async function tokenOf(user: { id: string }, ttlMs = day): Promise<string> {
  return (await createAccessToken(api.orm.em.fork(), { userId: user.id, name: 'laptop', ttlMs, seed: null })).token;
}

const urlOf = (taskId: string, token?: string) =>
  `${token === undefined ? api.origin : api.origin.replace('://', `://student:${token}@`)}/git/${taskId}.git`;
const clone = async (taskId: string, token?: string) => {
  const target = await newFolder();
  return { target, ...(await git('clone', '--quiet', urlOf(taskId, token), target)) };
};

/** Clones, commits a file and leaves the push to the test. */
async function cloneWithWork(taskId: string, token: string, content: string | Buffer = 'done'): Promise<string> {
  const { target, exitCode } = await clone(taskId, token);
  expect(exitCode).toBe(0);
  await writeFile(join(target, 'work.txt'), content);
  await git('-C', target, 'add', '.');
  await git('-C', target, 'commit', '--quiet', '--message', 'work');
  return target;
}

const push = (target: string, ...args: string[]) => git('-C', target, 'push', '--quiet', 'origin', ...args);
const statusOf = async (taskId: string) => (await api.orm.em.fork().findOneOrFail(Task, taskId)).status;
const infoRefs = (taskId: string, service = 'git-upload-pack') =>
  request(api.server).get(`/git/${taskId}.git/info/refs?service=${service}`);
const basic = (token: string) => `Basic ${Buffer.from(`student:${token}`).toString('base64')}`;

describe('the assignee', () => {
  test('clones the starter, without the hidden tests', async () => {
    const { student, taskId } = await createStudentWithTask(api.orm);
    const { target, exitCode } = await clone(taskId, await tokenOf(student));
    expect(exitCode).toBe(0);
    const files = (await readdir(target, { recursive: true })).filter((name) => !name.startsWith('.git'));
    expect(files).toEqual(expect.arrayContaining(['README.md', join('test', 'board.test.js')]));
    expect(files).not.toContain(join('test', 'board-rules.test.js'));
    expect(await statusOf(taskId)).toBe('TODO');
  });

  test('pushes; the first push begins the task', async () => {
    const { student, taskId } = await createStudentWithTask(api.orm);
    const target = await cloneWithWork(taskId, await tokenOf(student));
    expect(await push(target, 'main')).toEqual({ exitCode: 0, output: '' });
    await waitFor('the task to begin', async () => ((await statusOf(taskId)) === 'IN_PROGRESS' ? true : null));
    const head = (await git('-C', target, 'rev-parse', 'HEAD')).output.trim();
    const submitted = await as(api, await signIn(api, student)).post(`/api/tasks/${taskId}/submit`, {});
    expect(submitted.body).toMatchObject({ commit: head });
    await git('-C', target, 'commit', '--quiet', '--allow-empty', '--message', 'more');
    expect((await push(target, 'main')).exitCode).toBe(0);
    expect(await statusOf(taskId)).toBe('SUBMITTED');
  });

  test('pushes what git sends in chunks', async () => {
    const { student, taskId } = await createStudentWithTask(api.orm);
    const target = await cloneWithWork(taskId, await tokenOf(student), randomBytes(3_000_000));
    expect((await push(target, 'main')).exitCode).toBe(0);
    const { output } = await git('-C', target, 'ls-remote', 'origin', 'main');
    expect(output).toContain((await git('-C', target, 'rev-parse', 'HEAD')).output.trim());
  });

  test('sees and changes none of our own refs', async () => {
    const { student, taskId } = await createStudentWithTask(api.orm);
    await commit(api, taskId, 'done');
    const owner = as(api, await signIn(api, student));
    const { submissionId } = (await owner.post(`/api/tasks/${taskId}/submit`, {})).body as { submissionId: string };
    const target = await cloneWithWork(taskId, await tokenOf(student));
    const { output } = await git('-C', target, 'ls-remote', 'origin');
    expect(output).toContain('refs/heads/main');
    expect(output).not.toMatch(/refs\/(?:atelier|submissions)/);
    for (const ref of [`refs/submissions/${submissionId}`, 'refs/atelier/starter']) {
      expect((await push(target, '--force', `HEAD:${ref}`)).exitCode).not.toBe(0);
      expect((await push(target, `:${ref}`)).exitCode).not.toBe(0);
    }
  });
});

describe('a student who is not the assignee', () => {
  test('finds a repository of another as little as one that is not there', async () => {
    const { taskId } = await createStudentWithTask(api.orm);
    const authorization = basic(await tokenOf(await createUser(api.orm)));
    const foreign = expectProblem(await infoRefs(taskId).set('Authorization', authorization), 404, 'not-found');
    const unknown = expectProblem(await infoRefs(newId()).set('Authorization', authorization), 404, 'not-found');
    expect(withoutAddress(foreign)).toEqual(withoutAddress(unknown));
  });

  test('cannot clone or push, and a refused push begins nothing', async () => {
    const { student, taskId } = await createStudentWithTask(api.orm);
    const other = await tokenOf(await createUser(api.orm));
    const refused = await clone(taskId, other);
    expect(refused.exitCode).not.toBe(0);
    expect(refused.output).toContain('not found');
    const target = await cloneWithWork(taskId, await tokenOf(student));
    expect((await git('-C', target, 'push', urlOf(taskId, other), 'main')).output).toContain('not found');
    expect(await statusOf(taskId)).toBe('TODO');
  });

  test.each<Role>(['ACADEMY_REVIEWER', 'INSTRUCTOR'])('nor can %s', async (role) => {
    const { taskId } = await createStudentWithTask(api.orm);
    const authorization = basic(await tokenOf(await createUser(api.orm, role)));
    for (const service of ['git-upload-pack', 'git-receive-pack']) {
      expectProblem(await infoRefs(taskId, service).set('Authorization', authorization), 404, 'not-found');
    }
  });

  test('an admin fetches, and pushes nothing', async () => {
    const { taskId } = await createStudentWithTask(api.orm);
    const token = await tokenOf(await createUser(api.orm, 'SUPER_ADMIN'));
    const target = await cloneWithWork(taskId, token);
    expect((await push(target, 'main')).output).toContain('403');
    expectProblem(await infoRefs(taskId, 'git-receive-pack').set('Authorization', basic(token)), 403, 'forbidden');
    const direct = request(api.server).post(`/git/${taskId}.git/git-receive-pack`).set('Authorization', basic(token));
    expectProblem(await direct.send('0000'), 403, 'forbidden');
    expect(await statusOf(taskId)).toBe('TODO');
  });
});

describe('without a token that is alive', () => {
  const challenge = 'Basic realm="Atelier", charset="UTF-8"';

  test('git is asked for a password and does not get in', async () => {
    const { taskId } = await createStudentWithTask(api.orm);
    for (const token of [undefined, 'wrong', 'atl_wrong']) {
      const { exitCode, output } = await clone(taskId, token);
      expect(exitCode).not.toBe(0);
      expect(output).toMatch(/Authentication failed|could not read Username/);
    }
  });

  test.each<readonly [string, (student: { id: string }, taskId: string) => Promise<string> | string]>([
    ['a bearer token of the api', (student) => signIn(api, student)],
    ['an expired token', (student) => tokenOf(student, -1)],
    [
      'the token’s digest',
      async (student) => {
        await tokenOf(student);
        return (await api.orm.em.fork().findOneOrFail(AccessToken, { user: student.id })).tokenHash;
      },
    ],
    [
      'a revoked token',
      async (student) => {
        const token = await tokenOf(student);
        await api.orm.em.fork().nativeUpdate(AccessToken, { user: student.id }, { revokedAt: new Date() });
        return token;
      },
    ],
    [
      'a token of an account that is disabled',
      async (student) => {
        const token = await tokenOf(student);
        await api.orm.em.fork().nativeUpdate(User, { id: student.id }, { disabledAt: new Date() });
        return token;
      },
    ],
    ["another repository's job token", () => signJobToken(secret, newId())],
    ['a job token of another secret', (_student, taskId) => signJobToken(`${secret}!`, taskId)],
    ['nothing', () => ''],
  ])('%s is refused', async (_name, make) => {
    const { student, taskId } = await createStudentWithTask(api.orm);
    const response = await infoRefs(taskId).set('Authorization', basic(await make(student, taskId)));
    expectProblem(response, 401, 'unauthenticated');
    expect(response.headers['www-authenticate']).toBe(challenge);
  });

  test.each(['Bearer x', 'Basic', 'Basic !', `Basic ${Buffer.from('no colon').toString('base64')}`])(
    '%s',
    async (authorization) => {
      const response = await infoRefs(newId()).set('Authorization', authorization);
      expectProblem(response, 401, 'unauthenticated');
      expect(response.headers['www-authenticate']).toBe(challenge);
    },
  );
});

describe('the judge’s job token', () => {
  const commitOf = (taskId: string, id: string, token: string) =>
    request(api.server).get(commitPath(taskId, id)).set('Authorization', basic(token));

  test('gets the files of a commit of its own repository, also after a push over it', async () => {
    const { taskId, student } = await createStudentWithTask(api.orm);
    const submitted = await commit(api, taskId, 'submitted');
    const owner = as(api, await signIn(api, student));
    expect((await owner.post(`/api/tasks/${taskId}/submit`, {})).status).toBe(202);
    const target = await cloneWithWork(taskId, await tokenOf(student));
    await git('-C', target, 'reset', '--quiet', '--hard', 'HEAD~1');
    expect((await push(target, '--force', 'main')).exitCode).toBe(0);
    const answer = await commitOf(taskId, submitted, signJobToken(secret, taskId));
    const work = CommitFiles.parse(answer.body).files.find(({ path }) => path === 'work.txt');
    expect([answer.status, Buffer.from(work?.content ?? '', 'base64').toString()]).toEqual([200, 'submitted']);
  });

  test('is told what is wrong with a commit', async () => {
    const { taskId } = await createStudentWithTask(api.orm);
    await commit(api, taskId, 'some work');
    expectProblem(await commitOf(taskId, 'd'.repeat(40), signJobToken(secret, taskId)), 422, 'source-unusable');
  });

  test('opens no other repository, nothing of git and nothing of the api', async () => {
    const { taskId } = await createStudentWithTask(api.orm);
    const { taskId: other } = await createStudentWithTask(api.orm);
    const submitted = await commit(api, taskId, 'some work');
    const token = signJobToken(secret, taskId);
    expect((await commitOf(taskId, submitted, token)).status).toBe(200);
    expectProblem(await commitOf(other, submitted, token), 401, 'unauthenticated');
    for (const service of ['git-upload-pack', 'git-receive-pack']) {
      expectProblem(await infoRefs(taskId, service).set('Authorization', basic(token)), 401, 'unauthenticated');
    }
    expectProblem(await as(api, token).get('/api/me'), 401, 'unauthenticated');
  });

  test('is what a commit takes: a student’s token, no token and no commit id are not enough', async () => {
    const { taskId, student } = await createStudentWithTask(api.orm);
    const submitted = await commit(api, taskId, 'some work');
    expectProblem(await commitOf(taskId, submitted, await tokenOf(student)), 401, 'unauthenticated');
    expectProblem(await request(api.server).get(commitPath(taskId, submitted)), 401, 'unauthenticated');
    expectProblem(await commitOf(taskId, 'main', signJobToken(secret, taskId)), 404, 'not-found');
  });
});

describe('what the smart protocol does not have', () => {
  let taskId: string;
  let authorization: string;

  beforeAll(async () => {
    const owned = await createStudentWithTask(api.orm);
    taskId = owned.taskId;
    authorization = basic(await tokenOf(owned.student));
    expect((await infoRefs(taskId).set('Authorization', authorization)).status).toBe(200);
  });

  test.each([
    ['GET', '/ID.git'],
    ['GET', '/ID.git/'],
    ['GET', '/ID.git/HEAD'],
    ['GET', '/ID.git/config'],
    ['GET', '/ID.git/info/refs'],
    ['GET', '/ID.git/info/refs?service='],
    ['GET', '/ID.git/info/refs?service=git-upload-archive'],
    ['GET', '/ID.git/info/refs?service=git-upload-pack&service=git-receive-pack'],
    ['GET', '/ID.git/info/refs?service=git-upload-pack%00'],
    ['GET', '/ID.git/info/refs?x=1&service=git-upload-pack'],
    ['GET', '/ID.git/objects/info/packs'],
    ['GET', '/ID.git/objects/00/11111111111111111111111111111111111111'],
    ['GET', '/ID.git/git-upload-pack'],
    ['GET', '/ID.git/git-receive-pack'],
    ['POST', '/ID.git/info/refs?service=git-upload-pack'],
    ['POST', '/ID.git/git-upload-archive'],
    ['PUT', '/ID.git/git-receive-pack'],
    ['DELETE', '/ID.git'],
    ['PROPFIND', '/ID.git/'],
    ['GET', '/ID/info/refs?service=git-upload-pack'],
    ['GET', '/../git/ID.git/info/refs?service=git-upload-pack'],
    ['GET', '/ID.git/../ID.git/info/refs?service=git-upload-pack'],
    ['GET', '/./ID.git/info/refs?service=git-upload-pack'],
    ['GET', '//ID.git/info/refs?service=git-upload-pack'],
    ['GET', '/x/ID.git/info/refs?service=git-upload-pack'],
    ['GET', '/%2e%2e/ID.git/info/refs?service=git-upload-pack'],
    ['GET', '/ID.git%2finfo%2frefs?service=git-upload-pack'],
    ['GET', '/ID.git/info/refs%00?service=git-upload-pack'],
    ['GET', '/ID.git/info/refs/?service=git-upload-pack'],
    ['GET', '/ID.git/info/refs;x?service=git-upload-pack'],
    ['GET', '/ID.GIT/info/refs?service=git-upload-pack'],
    ['GET', '/..%2f..%2fetc%2fpasswd'],
    ['GET', '/.git/config'],
    ['GET', '/'],
  ])('%s %s', async (method, path) => {
    const answer = await exchange(
      api.origin,
      `${method} /git${path.replaceAll('ID', taskId)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: ${authorization}\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 404 /);
    expect(answer).toContain('urn:atelier:problem:not-found');
    expect(answer).not.toMatch(/root:|\[core\]|ref: refs/);
  });

  test('an id in capitals is no repository', async () => {
    expectProblem(await infoRefs(taskId.toUpperCase()).set('Authorization', authorization), 404, 'not-found');
  });
});
