import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { probeSandboxes } from '../../src/sandbox/choose.ts';
import { dockerEngine } from '../../src/sandbox/docker.ts';
import { findRunnerImage } from '../../src/sandbox/image.ts';
import { runner } from '../support/runner.ts';
import { waitFor } from '../support/wait.ts';
import { Academy, freePort } from './academy.ts';

/** What workers do when they are asked to stop, and what they tell of themselves; one sandbox will do for that. */
const timeoutMs = 180_000;
const sandbox = (await probeSandboxes()).find(({ usable }) => usable);
const describeWhereUsable = sandbox === undefined && process.env['CI'] === undefined ? describe.skip : describe;

describeWhereUsable('workers', () => {
  let academy: Academy;

  beforeAll(async () => {
    academy = await Academy.start(sandbox?.kind ?? 'bubblewrap');
  }, timeoutMs);

  afterAll(() => academy.stop(), timeoutMs);

  it(
    'a judging that takes longer than its stopping worker waits is handed to the next one',
    async () => {
      const student = await academy.enrolStudent();
      student.solve();
      student.write(
        'src/board.js',
        `await new Promise((resolve) => setTimeout(resolve, 14_000));\n${student.read('src/board.js')}`,
      );
      student.push();
      const submissionId = await student.submit();
      await academy.waitForStage(student.token, submissionId, 'CHECKING');
      expect(await academy.terminate('judging')).toBe(0);
      const address = `127.0.0.1:${await freePort()}`;
      academy.startProcess('judging', { WORKER_METRICS_ADDRESS: address });
      const checked = await academy.waitForStage(student.token, submissionId, 'AWAITING_REVIEW');
      expect(checked.checkRun?.verdict).toBe('accepted');
      const runs = await academy.query('select id from submissions.check_runs where submission_id = ?', [submissionId]);
      expect(runs).toHaveLength(1);

      const metrics = await waitFor('the metrics', async () => {
        const text = await (await fetch(`http://${address}/metrics`)).text();
        return text.includes('activity_type="judgeSubmission"') ? text : null;
      });
      expect(metrics).toMatch(/^temporal_activity_execution_latency_seconds_bucket{/m);
      expect(metrics).toMatch(/^temporal_num_pollers{/m);
      expect(metrics).toMatch(/^temporal_worker_task_slots_available{/m);
      // Ids would make a series for each submission.
      expect(metrics).not.toContain(submissionId);
    },
    timeoutMs,
  );

  it(
    'without work they end at once, in order',
    async () => {
      for (const name of ['submissions', 'notifications', 'judging'] as const) {
        expect(await academy.terminate(name)).toBe(0);
        expect(academy.log(name)).not.toContain('"level":50');
      }
    },
    timeoutMs,
  );

  // docs/decisions/0012: who judges on a host clears it, whatever else is away. bubblewrap's sandboxes end with their worker.
  (sandbox?.kind === 'docker' ? it : it.skip)(
    'what a dead judge left on its host is removed by the next one at its start, while Temporal is away',
    async () => {
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
