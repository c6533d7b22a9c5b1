import { cancellationSignal, log } from '@temporalio/activity';
import type { Orm } from '../database/orm.ts';
import type { Revision, Rubric } from '../domain/exercises.ts';
import { type Measure, type Performance, type Score, scoreOf, type Unmeasured } from '../domain/score.ts';
import { analyse, measureOf, solutionFiles } from '../sandbox/analysis.ts';
import { judge, type Judged, type JudgingBench } from '../sandbox/judge.ts';
import type { SandboxFile } from '../sandbox/sandbox.ts';
import { insertReferenceMeasure, type MeasureKey, selectOptionalReferenceMeasure } from '../services/reference-measures.ts';

/** Of the solution's judging. A score is not worth a longer wait for the verdict. */
const scoringTimeoutMs = 2 * 60_000;

export type Scoring = ReturnType<typeof createScoring>;

/** Whether there is anything to score. */
export const hasPoints = (rubric: Rubric): boolean => Object.values(rubric).some((points: number) => points > 0);

/** Scores what has been judged, by its exercise's rubric. */
export function createScoring({ orm }: { readonly orm: Orm }) {
  /** Solutions that could not be measured here: not tried again with every submission, but by the next worker. */
  const withoutMeasure = new Set<string>();

  /**
   * The score of a judged submission; null where there is nothing to score. Never changes the verdict, and its own trouble never fails a
   * judging: it is logged, and the score is null.
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
  }): Promise<Score | null> {
    const { revision, submitted, judged } = input;
    const { rubric } = revision.checks;
    // What does not compile has been told what is wrong with it, by the compiler.
    if (judged.checks.verdict === 'compile-error' || !hasPoints(rubric)) return null;
    const bench = { ...input.bench, signal: AbortSignal.any([input.bench.signal, AbortSignal.timeout(scoringTimeoutMs)]) };
    try {
      const { quality, documentation } = analyse(revision, submitted, judged);
      const performance = rubric.performance === 0 ? notAsked : await performanceOf({ ...input, bench });
      return scoreOf({ rubric, quality, documentation, performance });
    } catch (error) {
      cancellationSignal().throwIfAborted();
      log.warn('no score', { error });
      return null;
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
      const solution = await judge(revision, files, { ...quietly, isScored: false });
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
