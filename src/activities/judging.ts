import { activityInfo, cancellationSignal, log } from '@temporalio/activity';
import type { Orm } from '../database/orm.ts';
import type { Verdict } from '../domain/check-runs.ts';
import type { Conclusion } from '../domain/submissions.ts';
import { fetchCommit } from '../git/fetch-commit.ts';
import { signJobToken } from '../git/job-token.ts';
import { SourceProblem } from '../git/read-commit.ts';
import { judge } from '../sandbox/judge.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import { insertCheckRun, selectOptionalCheckRun } from '../services/check-runs.ts';
import { selectRevisionForChecks } from '../services/exercises.ts';
import { enterStage, recordRunStarts, selectSubmissionForWorkflow } from '../services/submissions.ts';
import type { BlobStore } from '../storage/blobs.ts';
import { layerOf } from './dependency-layer.ts';
import { withFailures } from './failures.ts';
import { whileBeating } from './sandbox-trouble.ts';
import { createScoring, hasPoints } from './scoring.ts';

export type JudgingActivities = ReturnType<typeof createJudgingActivities>;

export interface JudgingDependencies {
  readonly orm: Orm;
  readonly sandbox: Sandbox;
  readonly blobs: BlobStore;
  /** How many submissions this worker judges at once. */
  readonly concurrency: number;
  /** Where the api is reached from here. */
  readonly gitOrigin: string;
  readonly secret: string;
  /** Tells the workflow of a judging that takes a while that its submission has left the queue; best effort. */
  readonly announceChecksStarted: (workflowId: string) => Promise<void>;
}

/** A shorter judging is over before an admin looks; telling the workflow of it would be half of its events. */
const announceAfterMs = 2_000;

/** The whole of a judging; runs have limits of their own, this bounds fetching and starting too. */
const judgingTimeoutMs = 15 * 60_000;

export function createJudgingActivities(dependencies: JudgingDependencies) {
  const { orm, sandbox, blobs } = dependencies;
  const { scoreSubmission } = createScoring({ orm });
  let underWay = 0;

  /** Judges one submission and stores its verdict. A repeat of a run that is stored returns what is stored. */
  async function judgeSubmission(
    input: { submissionId: string; runNo: number },
    show: (run: string) => void,
  ): Promise<
    | { status: 'judged'; verdict: Verdict; checkRunId: string }
    | { status: 'source-unavailable' }
    | { status: 'concluded'; conclusion: Conclusion }
  > {
    const startedAt = new Date();
    const em = orm.em.fork();
    const submission = await selectSubmissionForWorkflow(em, input.submissionId);
    if (submission.conclusion !== null) return { status: 'concluded', conclusion: submission.conclusion };
    const key = { submissionId: submission.id, revisionId: submission.revisionId, runNo: input.runNo };
    const stored = await selectOptionalCheckRun(em, key);
    if (stored !== null) return { status: 'judged', ...stored };

    const signal = AbortSignal.any([cancellationSignal(), AbortSignal.timeout(judgingTimeoutMs)]);
    const { repositoryId, commit } = submission.source;
    if (commit === null) return { status: 'source-unavailable' };
    const token = signJobToken(dependencies.secret, repositoryId);
    const begun = await Promise.all([
      selectRevisionForChecks(orm.em.fork(), submission.revisionId),
      fetchCommit({ origin: dependencies.gitOrigin, repositoryId, token, commit, signal }),
      enterStage(orm.em.fork(), { submissionId: submission.id, stage: 'CHECKING' }),
    ]).catch((error: unknown) => {
      if (error instanceof SourceProblem) return null;
      throw error;
    });
    if (begun === null) return { status: 'source-unavailable' };
    const [revision, submitted] = begun;

    const deadline = new Date(startedAt.getTime() + judgingTimeoutMs);
    const label = { submissionId: submission.id, attempt: activityInfo().attempt, deadline };
    // Read in the turn that starts the job: the sandbox may be replaced by a better one while this one works.
    const { identity, kind } = sandbox;
    const announcing = announceRuns(submission.id);
    const onRunStart = (name: string): void => {
      show(name);
      announcing.add(name);
    };
    const isScored = hasPoints(revision.checks.rubric);
    // Places where nobody is judged: the cases of a program may be run there.
    const parallel = 1 + Math.max(0, dependencies.concurrency - underWay);
    const bench = { sandbox, label, signal, onRunStart, layer: layerOf(revision, blobs), isScored, parallel };
    const judged = await judge(revision, submitted, bench);
    const { revisionId } = submission;
    const score = await scoreSubmission({ revisionId, revision, submitted, judged, bench, sandboxIdentity: identity });
    const runs = await Promise.all(
      judged.runs.map(async ({ stdout, stderr, report: _report, artifact: _artifact, ...run }) => {
        const [stdoutKey, stderrKey] = await Promise.all([blobs.put(stdout), blobs.put(stderr)]);
        return { ...run, stdoutKey, stderrKey };
      }),
    );
    const summary = await insertCheckRun(orm.em.fork(), {
      ...key,
      ...judged.checks,
      score,
      runs,
      begunRuns: await announcing.end(),
      sandboxKind: kind,
      sandboxIdentity: identity,
      startedAt,
    });
    return 'conclusion' in summary ? { status: 'concluded', ...summary } : { status: 'judged', ...summary };
  }

  /** For who follows live; a run does not wait for it. What begins while a write is under way goes into the next, all at once. */
  function announceRuns(submissionId: string): { add(run: string): void; end(): Promise<readonly string[]> } {
    let waiting: string[] = [];
    let writing: Promise<void> | null = null;
    async function write(): Promise<void> {
      while (waiting.length > 0) {
        const runs = waiting;
        waiting = [];
        await recordRunStarts(orm.em.fork(), { submissionId, runs }).catch((error: unknown) => {
          log.info('could not announce runs', { error });
        });
      }
      writing = null;
    }
    return {
      add(run) {
        waiting.push(run);
        writing ??= write();
      },
      /** No more are written, and what was under way is; returns those that were not. */
      async end() {
        const rest = waiting;
        waiting = [];
        await writing;
        return rest;
      },
    };
  }

  async function announce(workflowId: string | undefined): Promise<void> {
    try {
      if (workflowId !== undefined) await dependencies.announceChecksStarted(workflowId);
    } catch (error) {
      log.info('could not announce the start of the checks', { error });
    }
  }

  return withFailures({
    async judgeSubmission(input: { submissionId: string; runNo: number }) {
      const { workflowExecution } = activityInfo();
      const announcing = setTimeout(() => void announce(workflowExecution?.workflowId), announceAfterMs);
      underWay += 1;
      try {
        return await whileBeating((show) => judgeSubmission(input, show));
      } finally {
        underWay -= 1;
        clearTimeout(announcing);
      }
    },
  });
}
