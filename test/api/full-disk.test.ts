import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createStudentWithTask } from '../support/factories.ts';
import { as, commit, expectProblem, signIn, startApi, type TestApi } from './support.ts';

/** A disk of its own takes root on Linux; elsewhere these are shown as skipped. */
const onSmallDisk = process.platform === 'linux' && process.getuid?.() === 0 ? describe : describe.skip;

onSmallDisk('with the disk of the repositories full (root on Linux: a disk of 4 MiB)', () => {
  let api: TestApi;
  let filler: string;

  beforeAll(async () => {
    api = await startApi();
    const { folder } = api.repositories;
    mkdirSync(folder);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', folder]);
    filler = join(folder, 'filler');
  });

  afterAll(async () => {
    execFileSync('umount', [api.repositories.folder]);
    await api.close();
  });

  /** To the last byte. */
  function fill(): void {
    for (let size = 65_536; size >= 1; size /= 2) {
      try {
        for (;;) appendFileSync(filler, Buffer.alloc(size));
      } catch {
        // Half of that may still fit.
      }
    }
  }

  test('submitting is a 503 that says what to do, and the same request is accepted when there is room', async () => {
    const { student, taskId } = await createStudentWithTask(api.orm);
    const token = await signIn(api, student);
    await commit(api, taskId, 'done');
    const submit = () => as(api, token).post(`/api/tasks/${taskId}/submit`, {}).set('Idempotency-Key', 'full');
    fill();
    const refused = await submit();
    expect(expectProblem(refused, 503, 'unavailable').detail).toMatch(/try again/);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    rmSync(filler);
    expect((await submit()).status).toBe(202);
  });

  test('so is the first look at a task, whose repository is made then', async () => {
    const { student, taskId } = await createStudentWithTask(api.orm);
    const token = await signIn(api, student);
    fill();
    expectProblem(await as(api, token).post(`/api/tasks/${taskId}/submit`, {}), 503, 'unavailable');
    rmSync(filler);
    expectProblem(await as(api, token).post(`/api/tasks/${taskId}/submit`, {}), 409, 'nothing-pushed');
  });
});
