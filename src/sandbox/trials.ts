import type { ProgramRevision, ProjectRevision, Revision } from '../domain/exercises.ts';
import { limitsOfTrial, type TrialRequest, type TrialResult } from '../domain/trial-runs.ts';
import { languages } from './languages.ts';
import { build, findLanguage, programFiles, programLimits, requireLanguage } from './program-build.ts';
import { type CasesBench, listCases, runCases } from './program-cases.ts';
import { reportCase } from './program-checks.ts';
import { onTopOfStarter, readTrialTests, trialJob } from './project-checks.ts';
import { reportText } from './report-text.ts';
import { type RunResult, SandboxError, type SandboxFile } from './sandbox.ts';

/**
 * Tries code without submitting it: on the visible tests or samples of its exercise, or with `program` on an input of the student's own.
 * Hidden tests are no part of it.
 *
 * @param tried lies on top of the starter.
 * @throws SandboxError for our own trouble.
 */
export async function tryCode(
  revision: Revision,
  tried: readonly SandboxFile[],
  program: TrialRequest['program'],
  bench: CasesBench,
): Promise<readonly TrialResult[]> {
  const { checks } = revision;
  return checks.kind === 'project'
    ? tryProject({ ...revision, checks }, tried, program, bench)
    : tryProgram({ ...revision, checks }, onTopOfStarter(revision, tried), program?.stdin ?? null, bench);
}

async function tryProject(
  revision: ProjectRevision,
  tried: readonly SandboxFile[],
  program: TrialRequest['program'],
  { sandbox, label, layer, signal, onOutput }: CasesBench,
): Promise<readonly TrialResult[]> {
  const entry = program?.entry ?? null;
  if (program !== null && entry === null) throw new SandboxError('a project has no program to try', { transient: false });
  const job = trialJob(revision, tried, program === null || entry === null ? null : { entry, stdin: program.stdin });
  const runs = await sandbox.run({ label, layer, ...job }, { signal, ...(onOutput && { onOutput }) });
  return runs.map((run) => {
    const tests = readTrialTests(revision, run)?.map(({ name, outcome, message }) => ({ name, outcome, message })) ?? null;
    return { ...resultOf(run), tests };
  });
}

async function tryProgram(
  revision: ProgramRevision,
  submitted: readonly SandboxFile[],
  stdin: string | null,
  bench: CasesBench,
): Promise<readonly TrialResult[]> {
  const files = programFiles(submitted);
  const found = findLanguage(revision, files);
  if ('problem' in found) return [notBuilt(found.problem)];
  const { language } = found;
  requireLanguage(bench, language);
  const { memoryBytes } = revision.checks.limits;
  const sources = { language, entry: languages[language].entryFile, files, memoryBytes };
  const { program, compilerOutput } = await build(sources, bench);
  if (program === null) return [notBuilt(compilerOutput ?? '')];
  const limits = limitsOfTrial(programLimits(revision, language));
  if (stdin !== null) {
    const { sandbox, label, layer, signal, onOutput } = bench;
    const runs = [{ ...program.start, name: 'program', limits, stdin: Buffer.from(stdin) }];
    const job = { label, layer, files: program.files, runs, mayExecute: program.mayExecute };
    return (await sandbox.run(job, { signal, ...(onOutput && { onOutput }) })).map(resultOf);
  }
  // Samples hide nothing: they go by their names.
  const cases = listCases(revision)
    .filter(({ group }) => group.isVisible)
    .map((testCase) => ({ ...testCase, runName: `${testCase.group.name}/${testCase.name}` }));
  const { outcomes } = await runCases(revision, { program, limits, cases, firstRuns: [] }, bench);
  return cases.flatMap((testCase) => {
    const outcome = outcomes.get(testCase.runName);
    if (outcome === undefined) return [];
    const { verdict, message, diff } = reportCase(revision.checks.comparison, testCase, outcome);
    return [{ ...resultOf(outcome.result), verdict, message, diff }];
  });
}

function resultOf({ name, status, exitCode, wallTimeMs, memoryPeakBytes, stdout, stderr }: RunResult): TrialResult {
  const text = (output: Buffer) => reportText(output.toString(), output.length);
  const seen = { name, status, exitCode, wallTimeMs, memoryPeakBytes, stdout: text(stdout), stderr: text(stderr) };
  return { ...seen, tests: null, verdict: null, message: '', diff: null };
}

/** There is nothing to run, for which the compiler, or what is missing, has the word. */
function notBuilt(stderr: string): TrialResult {
  const nothing = { wallTimeMs: 0, memoryPeakBytes: 0, stdout: '', tests: null, message: '', diff: null };
  return { name: 'compile', status: 'exited', exitCode: 1, ...nothing, stderr, verdict: 'compile-error' };
}
