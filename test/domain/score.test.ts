import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { LintFinding } from '../../src/domain/check-runs.ts';
import { defaultRubric } from '../../src/domain/exercises.ts';
import { type Measure, type ScoreInput, scoreOf } from '../../src/domain/score.ts';

const mebibyte = 1024 * 1024;
const reference: Measure = { cpuTimeMs: 200, memoryPeakBytes: 100 * mebibyte };
const clean: ScoreInput = {
  rubric: defaultRubric,
  quality: [],
  documentation: { things: [], hasOverview: true },
  performance: { measured: reference, reference },
};

const finding = (changes: Partial<LintFinding> = {}): LintFinding => ({
  file: 'a.js',
  line: 1,
  rule: 'no-var',
  severity: 'error',
  message: 'No var.',
  ...changes,
});

describe('a clean submission', () => {
  it('has all points', () => {
    const score = scoreOf(clean);
    expect(score).toMatchObject({ points: 100, maxPoints: 100 });
    expect(Object.values(score.parts).flatMap(({ losses }) => losses)).toEqual([]);
  });

  it('of a rubric without a part is out of less, whatever that part would say', () => {
    const quality = [finding()];
    const score = scoreOf({ ...clean, quality, rubric: { quality: 0, documentation: 10, performance: 5 } });
    expect(score).toMatchObject({ points: 15, maxPoints: 15, parts: { quality: { points: 0, maxPoints: 0, losses: [] } } });
  });
});

describe('quality', () => {
  const qualityOf = (...quality: LintFinding[]) => scoreOf({ ...clean, quality }).parts.quality;

  it('loses a tenth for an error and half of that for a warning, each with its place', () => {
    expect(qualityOf(finding({ line: 7, severity: 'warning', rule: 'eqeqeq', message: 'Use ===.' }), finding())).toEqual({
      points: 34,
      maxPoints: 40,
      losses: [
        { points: 4, file: 'a.js', line: 1, message: 'No var. (no-var)' },
        { points: 2, file: 'a.js', line: 7, message: 'Use ===. (eqeqeq)' },
      ],
    });
  });

  it('loses for three findings of a rule in a file, and for those of another file or rule', () => {
    const four = [1, 2, 3, 4].map((line) => finding({ line }));
    expect(qualityOf(...four).losses.map(({ line }) => line)).toEqual([1, 2, 3]);
    expect(qualityOf(...four, finding({ file: 'b.js' }), finding({ rule: 'no-eval' })).points).toBe(20);
  });
});

describe('documentation', () => {
  const thing = (line: number, isDocumented: boolean) => ({ file: 'a.js', line, name: `f${line}`, isDocumented });

  it('loses the share that is not documented, and a fifth for the overview', () => {
    const things = [thing(1, true), thing(2, true), thing(3, true), thing(4, false)];
    expect(scoreOf({ ...clean, documentation: { things, hasOverview: false } }).parts.documentation).toEqual({
      points: 18,
      maxPoints: 30,
      losses: [
        expect.objectContaining({ points: 6, file: '', line: 0, message: expect.stringContaining('README') }),
        expect.objectContaining({ points: 6, file: 'a.js', line: 4, message: expect.stringContaining('f4') }),
      ],
    });
  });

  it('is the overview alone where nothing is there to be used', () => {
    const partOf = (hasOverview: boolean) =>
      scoreOf({ ...clean, documentation: { things: [], hasOverview } }).parts.documentation;
    expect([partOf(true).points, partOf(false).points]).toEqual([30, 0]);
  });

  it('is lost where nothing at all is said', () => {
    const things = Array.from({ length: 7 }, (_, index) => thing(index, false));
    expect(scoreOf({ ...clean, documentation: { things, hasOverview: false } }).parts.documentation.points).toBe(0);
  });
});

describe('performance', () => {
  const pointsFor = (measured: Partial<Measure>, solution: Partial<Measure> = {}) =>
    scoreOf({
      ...clean,
      performance: { measured: { ...reference, ...measured }, reference: { ...reference, ...solution } },
    }).parts.performance.points;

  it.each<[string, Partial<Measure>, Partial<Measure>, number]>([
    ['faster and smaller than the solution', { cpuTimeMs: 1, memoryPeakBytes: 1 }, {}, 30],
    ['a half more', { cpuTimeMs: 300, memoryPeakBytes: 150 * mebibyte }, {}, 30],
    ['some milliseconds where the solution takes none', { cpuTimeMs: 20 }, { cpuTimeMs: 1 }, 30],
    ['some megabytes where the solution takes few', { memoryPeakBytes: 8 * mebibyte }, { memoryPeakBytes: mebibyte }, 30],
    ['ten times the time: its two thirds are lost', { cpuTimeMs: 2_500 }, {}, 10],
    ['ten times the memory: its third is lost', { memoryPeakBytes: 1_200 * mebibyte }, {}, 20],
    ['half way between', { cpuTimeMs: 250 * 5.75 - 50 }, {}, 20],
    ['a hundred times of both', { cpuTimeMs: 20_000, memoryPeakBytes: 10_000 * mebibyte }, {}, 0],
  ])('%s', (_name, measured, solution, points) => {
    expect(pointsFor(measured, solution)).toBe(points);
  });

  it('never grows with what is taken', () => {
    const amount = fc.integer({ min: 0, max: 100_000 });
    fc.assert(
      fc.property(amount, amount, amount, (solution, less, more) => {
        const [low, high] = [Math.min(less, more), Math.max(less, more)];
        const points = [low, high].map((cpuTimeMs) => pointsFor({ cpuTimeMs }, { cpuTimeMs: solution }));
        expect(points[1]).toBeLessThanOrEqual(points[0] ?? 0);
      }),
    );
  });
});

describe('a part that was not measured', () => {
  it('is left out with a remark, or lost with its reason', () => {
    const leftOut = { unmeasured: 'left-out', reason: 'no solution in C' } as const;
    expect(scoreOf({ ...clean, performance: leftOut })).toMatchObject({
      points: 70,
      maxPoints: 70,
      parts: { performance: { maxPoints: 0, losses: [{ points: 0, file: '', line: 0, message: 'no solution in C' }] } },
    });
    const lost = { unmeasured: 'lost', reason: 'tests fail' } as const;
    expect(scoreOf({ ...clean, performance: lost })).toMatchObject({
      points: 70,
      maxPoints: 100,
      parts: { performance: { points: 0, losses: [{ points: 30, message: 'tests fail' }] } },
    });
  });
});

describe('any score', () => {
  const places = { file: fc.constantFrom('a', 'b', ''), line: fc.nat(30) };
  const unmeasured = fc.record({ unmeasured: fc.constantFrom('left-out' as const, 'lost' as const), reason: fc.string() });
  const lintFinding = fc.record({
    ...places,
    rule: fc.constantFrom('r1', 'r2', 'r3'),
    severity: fc.constantFrom('error' as const, 'warning' as const),
    message: fc.string({ maxLength: 3 }),
  });
  const thing = fc.record({ ...places, name: fc.string({ maxLength: 2 }), isDocumented: fc.boolean() });
  const measure = fc.record({ cpuTimeMs: fc.nat(10_000), memoryPeakBytes: fc.nat(2 ** 31 - 1) });
  const points = fc.oneof(fc.constant(0), fc.nat(5), fc.nat(1000));
  const input: fc.Arbitrary<ScoreInput> = fc.record({
    rubric: fc.record({ quality: points, documentation: points, performance: points }),
    quality: fc.oneof(fc.array(lintFinding, { maxLength: 60 }), unmeasured),
    documentation: fc.oneof(fc.record({ things: fc.array(thing, { maxLength: 60 }), hasOverview: fc.boolean() }), unmeasured),
    performance: fc.oneof(fc.record({ measured: measure, reference: measure }), unmeasured),
  });

  it('is never negative, and its losses sum up to what is missing, in whole points', () => {
    fc.assert(
      fc.property(input, (given) => {
        const score = scoreOf(given);
        let [sum, maxSum] = [0, 0];
        for (const [name, part] of Object.entries(score.parts)) {
          const lost = part.losses.reduce((total, loss) => total + loss.points, 0);
          expect(part.maxPoints - part.points).toBe(lost);
          expect(part.points).toBeGreaterThanOrEqual(0);
          expect(part.maxPoints).toBeLessThanOrEqual(given.rubric[name as keyof ScoreInput['rubric']]);
          expect([part.points, ...part.losses.map((loss) => loss.points)].every((value) => Number.isInteger(value))).toBe(true);
          expect(part.losses.every((loss) => loss.points > 0 || part.maxPoints === 0)).toBe(true);
          sum += part.points;
          maxSum += part.maxPoints;
        }
        expect(score).toMatchObject({ points: sum, maxPoints: maxSum });
      }),
      { numRuns: 500 },
    );
  });

  it('is the same in whatever order things were found', () => {
    fc.assert(
      fc.property(fc.array(lintFinding, { maxLength: 20 }), fc.array(thing, { maxLength: 20 }), (quality, things) => {
        const documentation = { things, hasOverview: true };
        const reversed = { things: things.toReversed(), hasOverview: true };
        expect(scoreOf({ ...clean, quality, documentation })).toEqual(
          scoreOf({ ...clean, quality: quality.toReversed(), documentation: reversed }),
        );
      }),
    );
  });
});
