import { cancellationSignal, log } from '@temporalio/activity';
import type { Orm } from '../database/orm.ts';
import type { Revision } from '../domain/exercises.ts';
import { type Measure, type Performance, type Score, scoreOf, type Unmeasured } from '../domain/score.ts';
import { analyse, measureOf, solutionFiles } from '../sandbox/analysis.ts';
import { judge, type Judged, type JudgingBench } from '../sandbox/judge.ts';
import type { RunResult, SandboxFile } from '../sandbox/sandbox.ts';
import { insertReferenceMeasure, type MeasureKey, selectOptionalReferenceMeasure } from '../services/reference-measures.ts';

/** Of all that a score takes, the solution's judging among it. A score is not worth a longer wait for the verdict. */
const scoringTimeoutMs = 2 * 60_000;

interface Scored {
  /** Null where there is nothing to score, or scoring failed. */
  readonly score: Score | null;
  readonly runs: readonly RunResult[];
}

const unscored: Scored = { score: null, runs: [] };

export type Scoring = ReturnType<typeof createScoring>;

/** Scores what has been judged, by its exercise's rubric. */
export function createScoring({ orm }: { readonly orm: Orm }) {
  /** Solutions that could not be measured here: not tried again with every submission, but by the next worker. */
  const withoutMeasure = new Set<string>();

  /**
   * The score of a judged submission. Never changes the verdict, and its own trouble never fails a judging: it is logged, and the score
   * is null.
   *
   * @throws what cancelled the Temporal activity, and nothing else.
   */
  async function scoreSubmission(input: {
    readonly revisionId: string;
    readonly revision: Revision;
    readonly submitted: readonly SandboxFile[];
    readonly judged: Judged;
    readonly bench: JudgingBench;
    /** Of the sandbox that judged: a measure of another one does not compare. */
    readonly sandboxIdentity: string;
  }): Promise<Scored> {
    const { revision, submitted, judged } = input;
    const { rubric } = revision.checks;
    // What does not compile has been told what is wrong with it, by the compiler.
    if (judged.checks.verdict === 'compile-error' || Object.values(rubric).every((points) => points === 0)) return unscored;
    const bench = { ...input.bench, signal: AbortSignal.any([input.bench.signal, AbortSignal.timeout(scoringTimeoutMs)]) };
    try {
      const { quality, documentation, runs } = await analyse(revision, submitted, judged.checks, bench);
      const performance = rubric.performance === 0 ? notAsked : await performanceOf({ ...input, bench });
      return { score: scoreOf({ rubric, quality, documentation, performance }), runs };
    } catch (error) {
      cancellationSignal().throwIfAborted();
      log.warn('no score', { error });
      return unscored;
    }
  }

  async function performanceOf(input: Parameters<typeof scoreSubmission>[0]): Promise<Performance | Unmeasured> {
    const measured = measureOf(input.judged);
    if (measured === null) return { unmeasured: 'lost', reason: 'Not all tests passed: only what works is measured.' };
    const { revisionId, sandboxIdentity, judged } = input;
    const { language } = judged.checks;
    const reference = await referenceOf({ revisionId, language, sandboxIdentity }, input.revision, input.bench);
    if (reference !== null) return { measured, reference };
    return { unmeasured: 'left-out', reason: `The exercise has no measured solution in ${language} to compare with.` };
  }

  /** The stored measure of the exercise's own solution, which is judged once where there is none. Null where it cannot be measured. */
  async function referenceOf(key: MeasureKey, revision: Revision, bench: JudgingBench): Promise<Measure | null> {
    const stored = await selectOptionalReferenceMeasure(orm.em.fork(), key);
    if (stored !== null) return stored;
    const files = solutionFiles(revision, key.language);
    const name = JSON.stringify(key);
    if (files === null || withoutMeasure.has(name) || bench.sandbox.identity !== key.sandboxIdentity) return null;
    try {
      const { onRunStart: _unannounced, ...quietly } = bench;
      const solution = await judge(revision, files, quietly);
      const measure = solution.checks.language === key.language ? measureOf(solution) : null;
      if (measure !== null) return await insertReferenceMeasure(orm.em.fork(), key, measure);
      log.warn('the solution of an exercise does not pass its own tests', { ...key, verdict: solution.checks.verdict });
    } catch (error) {
      cancellationSignal().throwIfAborted();
      log.warn('the solution of an exercise could not be measured', { ...key, error });
    }
    withoutMeasure.add(name);
    return null;
  }

  return { scoreSubmission };
}

const notAsked = { unmeasured: 'left-out', reason: 'The rubric asks for none.' } as const;
