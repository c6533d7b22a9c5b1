import type { Rubric } from './exercises.ts';

/** One reason for which points are missing. `file` is empty where it is about the whole submission; `line` from 1, 0 where none. */
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
