import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { probeSandboxes } from '../../src/sandbox/choose.ts';
import { dockerEngine } from '../../src/sandbox/docker.ts';
import { findRunnerImage } from '../../src/sandbox/image.ts';
import { runner } from '../support/runner.ts';
import { waitFor } from '../support/wait.ts';
import { Academy } from './academy.ts';

/** docs/decisions/0012: who judges on a host clears it, whatever else is away. */
const timeoutMs = 180_000;
const docker = (await probeSandboxes()).find(({ kind, usable }) => kind === 'docker' && usable);
const describeWithDocker = docker === undefined && process.env['CI'] === undefined ? describe.skip : describe;

describeWithDocker('a judging worker', () => {
  let academy: Academy;

  beforeAll(async () => {
    academy = await Academy.start('docker');
  }, timeoutMs);

  afterAll(() => academy.stop(), timeoutMs);

  it(
    'removes at its start what a dead one left on its host, while Temporal is away',
    async () => {
      await academy.kill('judging');
      await academy.kill('temporal');
      const engine = dockerEngine();
      const left = await engine.createContainer({
        Image: (await findRunnerImage(engine, runner)) ?? '',
        Cmd: ['true'],
        Labels: { 'atelier.deadline': new Date(Date.now() - 1_000).toISOString() },
      });
      academy.startProcess('judging');
      const isGone = () =>
        left.inspect().then(
          () => null,
          (error: { statusCode?: number }) => error.statusCode,
        );
      expect(await waitFor('the container to be removed', isGone, 60_000)).toBe(404);
    },
    timeoutMs,
  );
});
