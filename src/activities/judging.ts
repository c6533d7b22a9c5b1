import { activityInfo, cancellationSignal, heartbeat, log } from '@temporalio/activity';
import type { Orm } from '../database/orm.ts';
import { checkRunVerdict, type TestRun, type Verdict } from '../domain/check-runs.ts';
import { signJobToken } from '../git/job-token.ts';
import { type CommitFile, isMissingCommit, readCommit, SourceProblem } from '../git/read-commit.ts';
import { parseJunitReport } from '../sandbox/junit-report.ts';
import { languages } from '../sandbox/languages.ts';
import { parseLintReport } from '../sandbox/lint-report.ts';
import { type RunRequest, type RunResult, type Sandbox, SandboxError } from '../sandbox/sandbox.ts';
import { insertCheckRun, selectOptionalCheckRun } from '../services/check-runs.ts';
import { type RevisionForChecks, selectRevisionForChecks } from '../services/exercises.ts';
import { enterStage, selectSubmissionForWorkflow } from '../services/submissions.ts';
import type { BlobStore } from '../storage/blobs.ts';
import { withFailures } from './failures.ts';

export type JudgingActivities = ReturnType<typeof createJudgingActivities>;

export interface JudgingDependencies {
  readonly orm: Orm;
  readonly sandbox: Sandbox;
  readonly blobs: BlobStore;
  /** Where /git is reached from here. */
  readonly gitOrigin: string;
  readonly secret: string;
  readonly scratchFolder: string;
  /** Tells the workflow that its submission has left the queue; best effort. */
  readonly announceChecksStarted: (workflowId: string) => Promise<void>;
}

/** How often the judge shows that it lives; cancellation reaches it with the answer. */
const heartbeatIntervalMs = 2_000;

/** The whole of a judging; runs have limits of their own, this bounds fetching and starting too. */
const judgingTimeoutMs = 15 * 60_000;

type SuiteName = 'visible' | 'hidden';

export function createJudgingActivities(dependencies: JudgingDependencies) {
  const { orm, sandbox, blobs } = dependencies;

  /** Judges one submission and stores its verdict. A repeat of a run that is stored returns what is stored. */
  async function judgeSubmission(input: {
    submissionId: string;
    runNo: number;
  }): Promise<{ status: 'judged'; verdict: Verdict; checkRunId: string } | { status: 'source-unavailable' }> {
    const startedAt = new Date();
    const em = orm.em.fork();
    const submission = await selectSubmissionForWorkflow(em, input.submissionId);
    const key = { submissionId: submission.id, revisionId: submission.revisionId, runNo: input.runNo };
    const stored = await selectOptionalCheckRun(em, key);
    if (stored !== null) return { status: 'judged', ...stored };
    const revision = await selectRevisionForChecks(em, submission.revisionId);
    await enterStage(orm.em.fork(), { submissionId: submission.id, stage: 'CHECKING' });
    await announce(activityInfo().workflowExecution?.workflowId);

    const signal = AbortSignal.any([cancellationSignal(), AbortSignal.timeout(judgingTimeoutMs)]);
    const { repositoryId, commit } = submission.source;
    let submitted: CommitFile[];
    try {
      submitted = await readCommit({
        url: `${dependencies.gitOrigin}/git/${repositoryId}.git`,
        token: signJobToken(dependencies.secret, repositoryId),
        commit,
        scratchFolder: dependencies.scratchFolder,
        signal,
      });
    } catch (error) {
      if (error instanceof SourceProblem || isMissingCommit(error)) return { status: 'source-unavailable' };
      throw error;
    }

    const deadline = new Date(startedAt.getTime() + judgingTimeoutMs);
    const job = {
      label: { submissionId: submission.id, attempt: activityInfo().attempt, deadline },
      files: checkedFiles(revision, submitted),
      runs: checkRuns(revision),
    };
    // Read in the turn that starts the job: the sandbox may be replaced by a better one while this one works.
    const { identity, kind } = sandbox;
    const results = await sandbox.run(job, { signal, onRunStart: (name) => heartbeat({ run: name }) });
    const judged = judge(revision, results);
    const runs = await Promise.all(
      results.map(async ({ stdout, stderr, report: _report, ...run }) => ({
        ...run,
        stdoutKey: await blobs.put(stdout),
        stderrKey: await blobs.put(stderr),
      })),
    );
    const summary = await insertCheckRun(orm.em.fork(), {
      ...key,
      taskId: submission.taskId,
      ...judged,
      runs,
      sandboxKind: kind,
      sandboxIdentity: identity,
      startedAt,
    });
    return { status: 'judged', ...summary };
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
      const beat = setInterval(() => heartbeat(), heartbeatIntervalMs);
      try {
        return await judgeSubmission(input);
      } finally {
        clearInterval(beat);
      }
    },
  });
}

/** Folders that are the exercise's alone: whatever a submission has there is left out. */
const ownFolders = /^(?:test|tests|\.atelier|\.git)(?:\/|$)/;

/** The submission's files, with the exercise's own tests and configuration in place of whatever came at their paths. */
function checkedFiles(revision: RevisionForChecks, submitted: readonly CommitFile[]): CommitFile[] {
  const own = revision.files
    .filter((file) => file.role === 'visible-test' || file.role === 'hidden-test' || file.role === 'configuration')
    .map((file) => ({ path: file.path, content: Buffer.from(file.content) }));
  const ownPaths = new Set(own.map((file) => file.path));
  return [...submitted.filter((file) => !ownFolders.test(file.path) && !ownPaths.has(file.path)), ...own];
}

/** Lint, then the visible and the hidden tests, each a run of its own: a report holds one suite. */
function checkRuns(revision: RevisionForChecks): RunRequest[] {
  const { checks } = revision;
  const language = languages[revision.language];
  const test = (name: SuiteName) => ({
    name: `${name}-tests`,
    argv: language.test(checks.tests[name].files),
    limits: checks.limits,
  });
  return [{ name: 'lint', argv: language.lint(checks.lintConfig), limits: checks.limits }, test('visible'), test('hidden')];
}

/** Reads the reports of the three runs and gives the verdict. */
function judge(revision: RevisionForChecks, results: readonly RunResult[]) {
  const byName = new Map(results.map((result) => [result.name, result]));
  const resultOf = (name: string) => {
    const result = byName.get(name);
    if (result === undefined) throw new SandboxError(`the sandbox returned no ${name} run`, { transient: true });
    return result;
  };
  const lint = resultOf('lint');
  // Lint runs our own tools over the student's text: where they give no report, that is our trouble, unless a limit was hit.
  if (lint.status === 'exited' && lint.report === null) {
    throw new SandboxError('the linter gave no report', { transient: false });
  }
  const lintFindings = lint.report === null ? [] : parseLintReport(lint.report);
  const suites = (['visible', 'hidden'] as const).map((suite) => {
    const result = resultOf(`${suite}-tests`);
    const testRun: TestRun = {
      status: result.status,
      exitCode: result.exitCode,
      expectedTests: revision.checks.tests[suite].count,
      tests: readTests(result.report),
    };
    return { suite, testRun };
  });
  return {
    verdict: checkRunVerdict(
      suites.map(({ testRun }) => testRun),
      lintFindings,
    ),
    lintFindings,
    tests: suites.flatMap(({ suite, testRun }) => (testRun.tests ?? []).map((test) => ({ ...test, suite }))),
  };
}

/** A report that cannot be read counts as none: the student's process may have spoilt it. */
function readTests(report: string | null): TestRun['tests'] {
  if (report === null) return null;
  try {
    return parseJunitReport(report);
  } catch {
    return null;
  }
}
