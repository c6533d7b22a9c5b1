import { activityInfo, cancellationSignal } from '@temporalio/activity';
import type { Orm } from '../database/orm.ts';
import type { Revision } from '../domain/exercises.ts';
import type { TrialResult } from '../domain/trial-runs.ts';
import { readTrialTests, trialJob } from '../sandbox/project-checks.ts';
import { reportText } from '../sandbox/report-text.ts';
import type { RunResult, Sandbox } from '../sandbox/sandbox.ts';
import { selectRevisionForChecks } from '../services/exercises.ts';
import { beginTrialRun, finishTrialRun } from '../services/trial-runs.ts';
import { withFailures } from './failures.ts';
import { whileBeating } from './sandbox-trouble.ts';

export type TrialJudgeActivities = ReturnType<typeof createTrialJudgeActivities>;
export type TrialRunActivities = ReturnType<typeof createTrialRunActivities>;

/** The activity's own timeout; after it the sandbox works for nobody. */
const runTimeoutMs = 60_000;

/** For the judging worker. */
export function createTrialJudgeActivities({ orm, sandbox }: { orm: Orm; sandbox: Sandbox }) {
  async function makeTrialRun({ runId }: { runId: string }): Promise<void> {
    const toMake = await beginTrialRun(orm.em.fork(), runId);
    if (toMake === null) return;
    const { files, program } = toMake.request;
    const revision = await selectRevisionForChecks(orm.em.fork(), toMake.revisionId);
    const tried = files.map(({ path, content }) => ({ path, content: Buffer.from(content) }));
    const deadline = new Date(Date.now() + runTimeoutMs);
    const label = { submissionId: runId, attempt: activityInfo().attempt, deadline };
    const signal = AbortSignal.any([cancellationSignal(), AbortSignal.timeout(runTimeoutMs)]);
    const results = await sandbox.run({ label, ...trialJob(revision, tried, program) }, { signal });
    await finishTrialRun(orm.em.fork(), { runId, results: results.map((run) => resultOf(revision, run)) });
  }

  return withFailures({
    /** Runs what is tried, and stores what came of it. A repeat of one that is finished, or was taken back, does nothing. */
    makeTrialRun: (input: { runId: string }) => whileBeating(() => makeTrialRun(input)),
  });
}

function resultOf(revision: Revision, run: RunResult): TrialResult {
  const { name, status, exitCode, wallTimeMs, memoryPeakBytes, stdout, stderr } = run;
  const text = (output: Buffer) => reportText(output.toString(), output.length);
  const tests =
    readTrialTests(revision, run)?.map((test) => ({ name: test.name, outcome: test.outcome, message: test.message })) ?? null;
  return { name, status, exitCode, wallTimeMs, memoryPeakBytes, stdout: text(stdout), stderr: text(stderr), tests };
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
