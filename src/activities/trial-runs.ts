import { activityInfo, cancellationSignal, log } from '@temporalio/activity';
import type { Orm } from '../database/orm.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import { tryCode } from '../sandbox/trials.ts';
import { selectRevisionForChecks } from '../services/exercises.ts';
import { appendTrialOutput, beginTrialRun, finishTrialRun } from '../services/trial-runs.ts';
import type { BlobStore } from '../storage/blobs.ts';
import { layerOf } from './dependency-layer.ts';
import { withFailures } from './failures.ts';
import { whileBeating } from './sandbox-trouble.ts';
import { collectOutput } from './trial-output.ts';

export type TrialJudgeActivities = ReturnType<typeof createTrialJudgeActivities>;
export type TrialRunActivities = ReturnType<typeof createTrialRunActivities>;

/** The activity's own timeout; after it the sandbox works for nobody. */
const runTimeoutMs = 60_000;

/** For the judging worker. */
export function createTrialJudgeActivities({
  orm,
  sandbox,
  blobs,
}: {
  orm: Orm;
  sandbox: Sandbox;
  blobs: Pick<BlobStore, 'get'>;
}) {
  async function makeTrialRun({ runId }: { runId: string }): Promise<void> {
    const toMake = await beginTrialRun(orm.em.fork(), runId);
    if (toMake === null) return;
    const { files, program } = toMake.request;
    const revision = await selectRevisionForChecks(orm.em.fork(), toMake.revisionId);
    const tried = files.map(({ path, content }) => ({ path, content: Buffer.from(content) }));
    const deadline = new Date(Date.now() + runTimeoutMs);
    const label = { submissionId: runId, attempt: activityInfo().attempt, deadline };
    const signal = AbortSignal.any([cancellationSignal(), AbortSignal.timeout(runTimeoutMs)]);
    const output = collectOutput(
      (pieces) => appendTrialOutput(orm.em.fork(), { runId, output: pieces }),
      (error) => log.info('could not show output of a trial', { error }),
    );
    try {
      const bench = { sandbox, label, signal, onOutput: output.take, layer: layerOf(revision, blobs) };
      const results = await tryCode(revision, tried, program, bench);
      await output.close();
      await finishTrialRun(orm.em.fork(), { runId, results });
    } finally {
      await output.close();
    }
  }

  return withFailures({
    /** Runs what is tried, and stores what came of it. A repeat of one that is finished, or was taken back, does nothing. */
    makeTrialRun: (input: { runId: string }) => whileBeating(() => makeTrialRun(input)),
  });
}

const problems = {
  'no-judge': 'No judge is free now. Try again in a moment.',
  trouble: 'It could not be run, which is our fault and not that of the code. Try again.',
} as const;

/** For the submissions worker, which is there when no judge is. */
export function createTrialRunActivities({ orm }: { orm: Orm }) {
  return withFailures({
    /** Ends a run that could not be made. Safe to repeat: the first end stays. */
    failTrialRun: ({ runId, reason }: { runId: string; reason: keyof typeof problems }): Promise<void> =>
      finishTrialRun(orm.em.fork(), { runId, problem: problems[reason] }),
  });
}
