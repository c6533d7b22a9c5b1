import type { LintFinding } from './check-runs.ts';
import type { Rubric } from './exercises.ts';

/**
 * One reason for which points are missing. `file` is empty where it is about the whole submission; `line` from 1, 0 where none. One of
 * 0 points is a remark: why a part was left out.
 */
export interface PointLoss {
  readonly points: number;
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

export interface ScorePart {
  readonly points: number;
  readonly maxPoints: number;
  readonly losses: readonly PointLoss[];
}

/** The score of a submission by its exercise's rubric; `points` of a part are its `maxPoints` less the losses, never below 0. */
export interface Score {
  readonly points: number;
  readonly maxPoints: number;
  readonly parts: Readonly<Record<keyof Rubric, ScorePart>>;
}

/** A part that was not measured, and why: it is left out, so that the score is out of less, or all of its points are lost. */
export interface Unmeasured {
  readonly unmeasured: 'left-out' | 'lost';
  readonly reason: string;
}

/** Something that others use and that should say what it is for: a function, a class, a method. */
export interface Documentable {
  readonly file: string;
  readonly line: number;
  readonly name: string;
  readonly isDocumented: boolean;
}

export interface Documentation {
  readonly things: readonly Documentable[];
  /** A README of the student's own, or a comment at the head of a file, says what the whole is for. */
  readonly hasOverview: boolean;
}

/** What the tests of one judging took: CPU time of all of them, memory of the one that took most. */
export interface Measure {
  readonly cpuTimeMs: number;
  readonly memoryPeakBytes: number;
}

/** A submission's tests, and those of the exercise's own solution in the same sandbox. */
export interface Performance {
  readonly measured: Measure;
  readonly reference: Measure;
}

export interface ScoreInput {
  readonly rubric: Rubric;
  readonly quality: readonly LintFinding[] | Unmeasured;
  readonly documentation: Documentation | Unmeasured;
  readonly performance: Performance | Unmeasured;
}

/** What a finding costs, as a share of the part. */
const findingShares = { error: 0.1, warning: 0.05 } as const satisfies Record<LintFinding['severity'], number>;

/** One habit is one thing to learn: further findings of a rule in a file cost nothing. */
const maxFindingsPerRule = 3;

/** What a missing overview costs, as a share of the part; the rest is shared evenly by the documentable things. */
const overviewShare = 0.2;

/**
 * Up to `full` times what the solution takes costs nothing, `none` times costs all, linearly between. CPU time repeats within a few
 * percent on an idle machine, less well on a busy one, and code may be written more plainly than the solution: hence a half on top. Ten
 * times is what a worse algorithm makes of it, not a style.
 */
const ratios = { full: 1.5, none: 10 } as const;

/**
 * Added to both sides before they are compared, so that what an interpreter's start or a page more or less takes never costs: a program
 * of 2 ms is not three times worse than one of 0.7 ms.
 */
const noise = { cpuTimeMs: 50, memoryPeakBytes: 16 * 1024 * 1024 } as const satisfies Measure;

/** How much of the part time and memory are. */
const performanceShares = { cpuTimeMs: 2 / 3, memoryPeakBytes: 1 / 3 } as const satisfies Record<keyof Measure, number>;

/** A reason and what it costs, as a share of its part. */
interface Fault extends Omit<PointLoss, 'points'> {
  readonly share: number;
}

/**
 * The score of a submission: a pure function of what was measured, whatever its order. It never changes the verdict. Parts with 0 points
 * in the rubric are left out.
 */
export function scoreOf({ rubric, quality, documentation, performance }: ScoreInput): Score {
  const parts = {
    quality: partOf(rubric.quality, quality, qualityFaults),
    documentation: partOf(rubric.documentation, documentation, documentationFaults),
    performance: partOf(rubric.performance, performance, performanceFaults),
  };
  const sum = (key: 'points' | 'maxPoints') => Object.values(parts).reduce((total, part) => total + part[key], 0);
  return { points: sum('points'), maxPoints: sum('maxPoints'), parts };
}

function partOf<T extends object>(maxPoints: number, input: T | Unmeasured, faultsOf: (input: T) => readonly Fault[]): ScorePart {
  if (maxPoints === 0) return { points: 0, maxPoints: 0, losses: [] };
  if (!('unmeasured' in input)) return withLosses(maxPoints, faultsOf(input));
  const about = { file: '', line: 0, message: input.reason };
  if (input.unmeasured === 'left-out') return { points: 0, maxPoints: 0, losses: [{ points: 0, ...about }] };
  return { points: 0, maxPoints, losses: [{ points: maxPoints, ...about }] };
}

/**
 * Whole points for shares: each loss is what the running total, rounded, grows by, so that they sum up exactly. A fault that is too
 * small for a point of its own is not listed, and none is once the part is used up.
 */
function withLosses(maxPoints: number, faults: readonly Fault[]): ScorePart {
  const losses: PointLoss[] = [];
  let share = 0;
  let lost = 0;
  for (const { share: more, ...about } of faults.toSorted(byWeightAndPlace)) {
    share += more;
    const points = Math.round(maxPoints * Math.min(share, 1)) - lost;
    lost += points;
    if (points > 0) losses.push({ points, ...about });
  }
  return { points: maxPoints - lost, maxPoints, losses };
}

/** The heaviest first; else as one reads. */
function byWeightAndPlace(a: Fault, b: Fault): number {
  return b.share - a.share || compareText(a.file, b.file) || a.line - b.line || compareText(a.message, b.message);
}

/** By code unit: the same under every locale. */
function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function qualityFaults(findings: readonly LintFinding[]): Fault[] {
  const counts = new Map<string, number>();
  return findings
    .map(({ file, line, rule, severity, message }) => ({
      rule,
      fault: { share: findingShares[severity], file, line, message: `${message} (${rule})` },
    }))
    .toSorted((a, b) => byWeightAndPlace(a.fault, b.fault))
    .filter(({ rule, fault }) => {
      const key = JSON.stringify([fault.file, rule]);
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count);
      return count <= maxFindingsPerRule;
    })
    .map(({ fault }) => fault);
}

/** Where there is nothing that others use, such as in a short script, the overview is the whole documentation. */
function documentationFaults({ things, hasOverview }: Documentation): Fault[] {
  const isAll = things.length === 0;
  const faults = things
    .filter(({ isDocumented }) => !isDocumented)
    .map(({ file, line, name }) => ({
      share: (1 - overviewShare) / things.length,
      file,
      line,
      message: `${name} has no documentation: say what it does, takes and returns.`,
    }));
  if (hasOverview) return faults;
  const message = 'Neither a README of your own nor a comment at the head of a file says what this is for.';
  return [...faults, { share: isAll ? 1 : overviewShare, file: '', line: 0, message }];
}

function performanceFaults({ measured, reference }: Performance): Fault[] {
  const cost = (key: keyof Measure, name: string, shown: (value: number) => string): Fault => {
    const ratio = (measured[key] + noise[key]) / (reference[key] + noise[key]);
    const over = Math.min(Math.max((ratio - ratios.full) / (ratios.none - ratios.full), 0), 1);
    const message =
      `${name} of all tests: ${shown(measured[key])}, the exercise's own solution ${shown(reference[key])}. ` +
      `Points are lost from about ${ratios.full} times as much on.`;
    return { share: over * performanceShares[key], file: '', line: 0, message };
  };
  return [
    cost('cpuTimeMs', 'CPU time', (value) => `${Math.round(value)} ms`),
    cost('memoryPeakBytes', 'Memory', (value) => `${Math.round(value / 1024 / 1024)} MiB`),
  ];
}
