import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createJudgingActivities } from '../../src/activities/judging.ts';
import { CheckRun } from '../../src/database/entities/check-runs.ts';
import { ReferenceMeasure } from '../../src/database/entities/exercises.ts';
import { toCommitFiles } from '../../src/git/fetch-commit.ts';
import { readCommit } from '../../src/git/read-commit.ts';
import { openRepositories, type Repositories } from '../../src/git/repositories.ts';
import { openSandbox } from '../../src/sandbox/choose.ts';
import { readCourseContent } from '../../src/services/content.ts';
import { selectStarterFiles } from '../../src/services/exercises.ts';
import { publishCourse } from '../../src/services/publish.ts';
import { createBlobStore } from '../../src/storage/blobs.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createStudentWithTask, createSubmission } from '../support/factories.ts';
import { packTexts } from '../support/layers.ts';
import { npmLock, npmManifest } from '../support/registry.ts';
import { runner } from '../support/runner.ts';
import { describeEachSandbox } from '../support/sandboxes.ts';
import { createActivityEnvironment } from '../support/temporal.ts';

const demo = join(import.meta.dirname, '../../content/demo');

let database: TestDatabase;
let folder: string;
let repositories: Repositories;
let server: Server;

/** The demo, whose first exercise has a package, and whose tests and solution use it. What the registry would give is made here. */
beforeAll(async () => {
  database = await createTestDatabase();
  folder = await mkdtemp(join(tmpdir(), 'atelier-dependencies-'));
  const course = join(folder, 'course');
  await cp(demo, course, { recursive: true });
  const exercise = join(course, 'exercises/night-bus-board');
  await mkdir(join(exercise, 'dependencies'));
  await writeFile(join(exercise, 'dependencies/package.json'), npmManifest);
  await writeFile(join(exercise, 'dependencies/package-lock.json'), npmLock);
  for (const path of ['solution/src/board.js', 'tests/hidden/test/board-rules.test.js']) {
    const text = await readFile(join(exercise, path), 'utf8');
    await writeFile(
      join(exercise, path),
      `import isarray from 'isarray';\nif (!isarray([])) throw new Error('another package');\n${text}`,
    );
  }
  const buildLayer = async () =>
    blobs().put(await packTexts({ 'node_modules/isarray/index.js': 'module.exports = Array.isArray;' }));
  await publishCourse(database.orm.em.fork(), await readCourseContent(course), { isDefault: true, buildLayer });

  repositories = openRepositories(join(folder, 'repositories'));
  server = createServer((request, response) => {
    const [, repositoryId = '', commit = ''] = /^\/git\/([0-9a-f-]+)\.git\/commits\/([0-9a-f]+)$/.exec(request.url ?? '') ?? [];
    void readCommit(repositories.pathOf(repositoryId), commit, new AbortController().signal).then((files) =>
      response.end(JSON.stringify(toCommitFiles(files))),
    );
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterAll(async () => {
  server.close();
  server.closeAllConnections();
  await database.close();
  await rm(folder, { recursive: true });
});

const blobs = () => createBlobStore(join(folder, 'blobs'));

await describeEachSandbox('a published exercise with dependencies', (kind) => {
  const opened = openSandbox(kind, { onMessage: () => undefined, runner });

  it('takes what imports them, and measures its own solution', async () => {
    const { sandbox, probes } = await opened;
    if (sandbox === null) throw new Error(JSON.stringify(probes));
    const { student, taskId } = await createStudentWithTask(database.orm);
    const solution = await readFile(join(folder, 'course/exercises/night-bus-board/solution/src/board.js'), 'utf8');
    await repositories.ensure(taskId, async () => {
      const files = await selectStarterFiles(database.orm.em.fork(), taskId);
      return files.map((file) => (file.path === 'src/board.js' ? { ...file, content: solution } : file));
    });
    const resolved = await repositories.resolve(taskId, 'main');
    if (resolved.status === 'missing') throw new Error('no commit');
    const submissionId = await createSubmission(database.orm, { taskId, studentId: student.id, commit: resolved.commit });
    const { judgeSubmission } = createJudgingActivities({
      orm: database.orm,
      sandbox,
      blobs: blobs(),
      concurrency: 1,
      gitOrigin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      secret: 'a secret for these tests, 32 bytes long or more',
      announceChecksStarted: () => Promise.resolve(),
    });
    const judged = await createActivityEnvironment().run(judgeSubmission, { submissionId, runNo: 1 });
    expect(judged).toMatchObject({ status: 'judged', verdict: 'accepted' });
    const [run] = await database.orm.em.fork().find(CheckRun, { submission: submissionId });
    expect(run?.score).not.toBeNull();
    const measures = await database.orm.em.fork().find(ReferenceMeasure, {});
    expect(measures.map(({ sandboxIdentity }) => sandboxIdentity)).toContain(sandbox.identity);
  }, 120_000);
});
