import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { DefaultLogger, Runtime, Worker, type WorkflowBundle } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { bundleWorkflows } from '../support/temporal.ts';
import { branchOf, historiesFolder } from './support.ts';

/**
 * Histories of real runs, one a branch, named <release>-<branch>.json; recorded by
 * `RECORD_HISTORIES=<release> npm test -- --selectProjects workflows`. Today's workflows must replay all of them: submissions that wait
 * for a reviewer outlive deployments.
 */
const files = await readdir(historiesFolder);

const readHistory = (file: string) => readFile(join(historiesFolder, file), 'utf8');

let workflowBundle: WorkflowBundle;

beforeAll(async () => {
  Runtime.install({ shutdownSignals: [], logger: new DefaultLogger('ERROR') });
  workflowBundle = await bundleWorkflows();
}, 60_000);

describe('stored histories', () => {
  it('cover every branch of a submission', () => {
    expect([...new Set(files.map(branchOf))].toSorted()).toEqual([
      'approved',
      'approved-by-signal',
      'cancelled-by-temporal',
      'cancelled-in-checks',
      'cancelled-in-review',
      'checks-failed',
      'claim-lapsed-then-approved',
      'claimed-locally',
      'claimed-then-approved',
      'claimed-when-postgresql-was-back',
      'commit-parked-then-approved',
      'overdue-then-approved',
      'overridden-in-checks',
      'overridden-in-review',
      'overridden-while-parked',
      'override-signal-then-overridden',
      'parked-then-closed',
      'parked-then-redriven',
      'redriven-by-update',
      'refused-then-rejected',
      'rejected',
      'released-then-approved',
      'remote-source',
      'source-unavailable',
      'taken-over-then-approved',
    ]);
  });

  it.each(files)('%s replays', async (file) => {
    const history: unknown = JSON.parse(await readHistory(file));
    await expect(Worker.runReplayHistory({ workflowBundle }, history, file)).resolves.toBeUndefined();
  });

  it('that do not fit the code are noticed', async () => {
    const original = await readHistory(files.find((file) => file.endsWith('-approved.json')) ?? '');
    const changed = original.replaceAll('"openReview"', '"closeReview"');
    expect(changed).not.toBe(original);
    const replay = Worker.runReplayHistory({ workflowBundle }, JSON.parse(changed), 'changed');
    await expect(replay).rejects.toBeInstanceOf(DeterminismViolationError);
  });
});

describe('the workflow bundle', () => {
  it('holds the workflows and nothing that came along by accident', () => {
    // Temporal's own code alone is 1.6 MB; an entity or zod, imported by value, would add megabytes.
    expect(workflowBundle.code.length).toBeLessThan(1_850_000);
    expect(workflowBundle.code).not.toContain('mikro-orm');
  });
});
