import { caseRunVerdict, type Verdict } from '../domain/check-runs.ts';
import { compareOutput } from '../domain/comparison.ts';
import { caseFile, type ProgramRevision, type RunLimits, type TestCaseGroup } from '../domain/exercises.ts';
import { runChecker } from './checker.ts';
import type { JudgingBench } from './judge.ts';
import type { Program } from './program-build.ts';
import { type RunOptions, type RunRequest, type RunResult, SandboxError } from './sandbox.ts';
import { sideBySide } from './side-by-side.ts';

/** One test case with all that it takes. */
export interface ProgramCase {
  /** Of its run: a number, as what a hidden case is called may give it away. */
  readonly runName: string;
  readonly group: TestCaseGroup;
  readonly name: string;
  readonly hint: string;
  readonly input: string;
  readonly answer: string;
}

/** What became of a case that was run. */
export interface CaseOutcome {
  readonly verdict: Verdict;
  /** What is wrong with the output; quotes the test. Empty for other verdicts. */
  readonly message: string;
  readonly result: RunResult;
}

/** The test cases of a revision, in the order of its groups. */
export function listCases(revision: ProgramRevision): readonly ProgramCase[] {
  const contents = new Map(revision.files.map((file) => [file.path, file.content]));
  const read = (path: string): string => {
    const content = contents.get(path);
    if (content === undefined) throw new SandboxError(`the exercise has no file ${path}`, { transient: false });
    return content;
  };
  return revision.checks.groups
    .flatMap((group) => group.cases.map(({ name, hint }) => ({ group, name, hint })))
    .map(({ group, name, hint }, index) => ({
      runName: `case ${index + 1}`,
      group,
      name,
      hint,
      input: read(caseFile(group.name, name, 'in')),
      answer: read(caseFile(group.name, name, 'out')),
    }));
}

/** A program, and what it is tried on. */
interface CasesToRun {
  readonly program: Program;
  readonly limits: RunLimits;
  readonly cases: readonly ProgramCase[];
  /** Made before the first case, such as of the linter. */
  readonly firstRuns: readonly RunRequest[];
}

/** Where cases are run, and who hears what they write. */
export type CasesBench = JudgingBench & Pick<RunOptions, 'onOutput'>;

export interface CasesRun {
  /** By run name; cases that were skipped are not there. */
  readonly outcomes: ReadonlyMap<string, CaseOutcome>;
  /** All that were made, in no certain order. */
  readonly runs: readonly RunResult[];
}

/** One more sandbox costs the processor time of several small cases. */
const minCasesOfSandbox = 8;

/**
 * Runs a program on test cases, one after the other in one sandbox, or split over several at once, and compares what it writes here, where
 * it cannot reach. After the first failure in a group that takes all its cases, the rest of that group is left out.
 */
export async function runCases(revision: ProgramRevision, toRun: CasesToRun, bench: CasesBench): Promise<CasesRun> {
  const { parallel = 1, signal } = bench;
  const sandboxes = Math.min(parallel, Math.floor(toRun.cases.length / minCasesOfSandbox));
  const announced = { ...bench, onRunStart: announceOnce(toRun.cases, bench) };
  const parts = await sideBySide(
    signal,
    split(toRun.cases, Math.max(1, sandboxes)).map(
      (cases, index) => (stop: AbortSignal) =>
        runPart(revision, { ...toRun, cases, firstRuns: index === 0 ? toRun.firstRuns : [] }, { ...announced, signal: stop }),
    ),
  );
  const runs = parts.flat();
  return { outcomes: await outcomesOf(revision, toRun.cases, runs, bench), runs };
}

/** Cases are announced by group: a line for each of a hundred would tell nobody anything. */
function announceOnce(cases: readonly ProgramCase[], { onRunStart }: JudgingBench): (name: string) => void {
  const groups = new Map(cases.map(({ runName, group }) => [runName, group.name]));
  const announced = new Set<string>();
  return (name) => {
    const shown = groups.get(name) ?? name;
    if (!announced.has(shown)) onRunStart?.(shown);
    announced.add(shown);
  };
}

function split<T>(items: readonly T[], parts: number): readonly (readonly T[])[] {
  const length = Math.max(1, Math.ceil(items.length / parts));
  return Array.from({ length: Math.max(1, Math.ceil(items.length / length)) }, (_, index) =>
    items.slice(index * length, (index + 1) * length),
  );
}

async function runPart(revision: ProgramRevision, toRun: CasesToRun, bench: CasesBench): Promise<readonly RunResult[]> {
  const { program, limits, firstRuns } = toRun;
  const { sandbox, label, layer, signal, onRunStart, onOutput } = bench;
  const runs: RunResult[] = [];
  let waiting = toRun.cases;
  let first = firstRuns;
  while (waiting.length + first.length > 0) {
    const cases = new Map(waiting.map((testCase) => [testCase.runName, testCase]));
    const left = new Set(cases.values());
    const given = new Set<TestCaseGroup>();
    const shouldGoOn = (result: RunResult): boolean => {
      const testCase = cases.get(result.name);
      if (testCase === undefined) return true;
      left.delete(testCase);
      const { group } = testCase;
      if (group.scoring === 'each' || !failsByItself(revision, testCase, result)) return true;
      given.add(group);
      return ![...left].some((other) => other.group === group);
    };
    const requests = waiting.map(({ runName, input }): RunRequest => {
      return { ...program.start, name: runName, limits, stdin: Buffer.from(input) };
    });
    const results = await sandbox.run(
      { label, layer, files: program.files, runs: [...first, ...requests], mayExecute: program.mayExecute },
      { signal, shouldGoOn, ...(onRunStart && { onRunStart }), ...(onOutput && { onOutput }) },
    );
    if (results.length === 0) throw new SandboxError('the sandbox returned no run', { transient: true });
    runs.push(...results);
    const made = new Set(results.map(({ name }) => name));
    waiting = waiting.filter(({ runName, group }) => !made.has(runName) && !given.has(group));
    first = [];
  }
  return runs;
}

/** Whether a case fails for sure, as far as can be told before a checker has looked. */
function failsByItself({ checks }: ProgramRevision, { answer }: ProgramCase, result: RunResult): boolean {
  if (caseRunVerdict(result) !== null) return true;
  return checks.comparison.mode !== 'checker' && compareOutput(checks.comparison, answer, result.stdout) !== null;
}

async function outcomesOf(
  revision: ProgramRevision,
  cases: readonly ProgramCase[],
  runs: readonly RunResult[],
  bench: JudgingBench,
): Promise<ReadonlyMap<string, CaseOutcome>> {
  const { comparison } = revision.checks;
  const results = new Map(runs.map((run) => [run.name, run]));
  const ran = cases.flatMap((testCase) => {
    const result = results.get(testCase.runName);
    return result === undefined ? [] : [{ testCase, result, verdict: caseRunVerdict(result) }];
  });
  const toCheck = ran
    .filter(({ verdict }) => verdict === null)
    .map(({ testCase: { runName: name, input, answer }, result }) => ({ name, input, answer, output: result.stdout }));
  const compared =
    comparison.mode === 'checker'
      ? await runChecker(comparison, revision, toCheck, bench)
      : new Map(toCheck.map(({ name, answer, output }) => [name, compareOutput(comparison, answer, output)]));
  return new Map(
    ran.map(({ testCase: { runName }, result, verdict }): [string, CaseOutcome] => {
      const problem = compared.get(runName) ?? null;
      if (verdict !== null) return [runName, { verdict, message: '', result }];
      return [runName, { verdict: problem === null ? 'accepted' : 'wrong-answer', message: problem ?? '', result }];
    }),
  );
}
