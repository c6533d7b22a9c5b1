import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createScoring, type Scoring } from '../../src/activities/scoring.ts';
import { ExerciseRevision, ReferenceMeasure } from '../../src/database/entities/exercises.ts';
import { newId } from '../../src/database/columns.ts';
import type { Language } from '../../src/domain/check-runs.ts';
import { defaultRubric, type Revision, type Rubric } from '../../src/domain/exercises.ts';
import type { Judged } from '../../src/sandbox/judge.ts';
import { type RunResult, type Sandbox, SandboxError, type SandboxJob } from '../../src/sandbox/sandbox.ts';
import { selectRevisionForChecks } from '../../src/services/exercises.ts';
import { judgedChecks, judgedTest } from '../support/check-runs.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { publishDemoCourse } from '../support/factories.ts';
import { createActivityEnvironment } from '../support/temporal.ts';

const mebibyte = 1024 * 1024;
const report = (count: number) => `<testsuites>${'<testcase name="works" time="0.001"/>'.repeat(count)}</testsuites>`;

/** Says what a test wants it to say; by itself that all is well. */
class FakeSandbox implements Sandbox {
  readonly kind = 'docker';
  identity: string = newId();
  readonly languages = new Map<Language, string>([['javascript', 'v24']]);
  readonly jobs: SandboxJob[] = [];
  answer: (name: string) => Partial<RunResult> = () => ({});

  async run(job: SandboxJob): Promise<readonly RunResult[]> {
    this.jobs.push(job);
    const reports = new Map([
      ['lint', '[]\n'],
      ['visible-tests', report(6)],
      ['hidden-tests', report(10)],
    ]);
    return job.runs.map(({ name }) => ({ ...result(name), report: reports.get(name) ?? null, ...this.answer(name) }));
  }

  reap(): Promise<number> {
    return Promise.resolve(0);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** How often the solution was judged. */
  get solutions(): number {
    return this.jobs.filter(({ runs }) => runs.some(({ name }) => name === 'hidden-tests')).length;
  }
}

const result = (name: string): RunResult => ({
  name,
  status: 'exited',
  exitCode: 0,
  signal: null,
  wallTimeMs: 100,
  cpuTimeMs: 100,
  memoryPeakBytes: 50 * mebibyte,
  stdout: Buffer.alloc(0),
  stderr: Buffer.alloc(0),
  report: null,
  artifact: null,
  hitProcessLimit: false,
});

let database: TestDatabase;
let revisionId: string;
let revision: Revision;
let sandbox: FakeSandbox;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
  const row = await database.orm.em.fork().findOneOrFail(ExerciseRevision, { exercise: { slug: 'night-bus-board' } });
  revisionId = row.id;
  revision = await selectRevisionForChecks(database.orm.em.fork(), revisionId);
});

afterAll(() => database.close());

beforeEach(() => {
  sandbox = new FakeSandbox();
});

/** Accepted without findings, twice as slow as the solution. */
const accepted: Judged = {
  checks: judgedChecks({ tests: [judgedTest()] }),
  runs: [
    { ...result('lint'), report: '[]\n[]\n' },
    { ...result('visible-tests'), cpuTimeMs: 1000 },
    { ...result('hidden-tests'), cpuTimeMs: 1000 },
  ],
};

const withLint = (lint: Partial<RunResult>): Judged => ({
  ...accepted,
  runs: accepted.runs.map((run) => (run.name === 'lint' ? { ...run, ...lint } : run)),
});

const submitted = [{ path: 'src/board.js', content: Buffer.from('/** Adds. */\nexport function add() {}\n') }];

function score(
  judged = accepted,
  {
    scoring = createScoring({ orm: database.orm }),
    rubric = revision.checks.rubric,
    environment = createActivityEnvironment(),
  } = {},
) {
  const label = { submissionId: newId(), attempt: 1, deadline: new Date(Date.now() + 60_000) };
  const bench = { sandbox, label, signal: AbortSignal.timeout(60_000) };
  const asked = { ...revision, checks: { ...revision.checks, rubric } };
  const input = { revisionId, revision: asked, submitted, judged, bench, sandboxIdentity: sandbox.identity };
  return environment.run(scoring.scoreSubmission, input) as ReturnType<Scoring['scoreSubmission']>;
}

const measures = () => database.orm.em.fork().find(ReferenceMeasure, { sandboxIdentity: sandbox.identity });

describe('a score', () => {
  it('holds a submission against the solution, which is judged once for all of them', async () => {
    const first = await score();
    // CPU: (2000 + 50) / (200 + 50) = 8.2 times as much, (8.2 - 1.5) / (10 - 1.5) of two thirds of 30 points.
    expect(first).toMatchObject({
      points: 84,
      maxPoints: 100,
      parts: {
        quality: { points: 40, losses: [] },
        documentation: { points: 30, losses: [] },
        performance: { points: 14, losses: [{ points: 16, message: expect.stringContaining('2000 ms') }] },
      },
    });
    expect(await measures()).toMatchObject([{ language: 'javascript', cpuTimeMs: 200, memoryPeakBytes: 50 * mebibyte }]);
    expect(await score()).toEqual(first);
    expect(sandbox.solutions).toBe(1);
    expect(await measures()).toHaveLength(1);
  });

  it('is held against the same measure by all who measure at once', async () => {
    let cpuTimeMs = 100;
    sandbox.answer = () => ({ cpuTimeMs: (cpuTimeMs += 1) });
    const scores = await Promise.all([score(), score(), score()]);
    expect(await measures()).toHaveLength(1);
    const messages = scores.map((given) => given?.parts.performance.losses[0]?.message);
    expect(new Set(messages).size).toBe(1);
    expect(messages[0]).toContain(`${(await measures())[0]?.cpuTimeMs} ms`);
  });

  it('has no points for the performance of what does not work, and judges no solution for it', async () => {
    const tests = [judgedTest(), judgedTest({ outcome: 'failed' })];
    const given = await score({ ...accepted, checks: judgedChecks({ verdict: 'wrong-answer', tests }) });
    expect(given).toMatchObject({ points: 70, maxPoints: 100, parts: { performance: { points: 0, maxPoints: 30 } } });
    expect(sandbox.solutions).toBe(0);
  });

  it('leaves performance out where the solution cannot be measured, and tries that once', async () => {
    sandbox.answer = (name) => (name === 'hidden-tests' ? { report: report(3) } : {});
    const scoring = createScoring({ orm: database.orm });
    for (const attempt of ['first', 'second']) {
      const given = await score(accepted, { scoring });
      expect({ attempt, ...given }).toMatchObject({
        attempt,
        points: 70,
        maxPoints: 70,
        parts: { performance: { maxPoints: 0, losses: [{ points: 0 }] } },
      });
    }
    expect(sandbox.solutions).toBe(1);
    expect(await measures()).toEqual([]);
  });

  it.each([{ report: '[]\n', exitCode: 1 }, { report: '[]\n{\n' }, { report: null }])(
    'is not given, and fails nothing, where the linter said %j',
    async (lint) => {
      expect(await score(withLint(lint))).toBeNull();
    },
  );

  it('ends with its Temporal activity', async () => {
    const environment = createActivityEnvironment();
    sandbox.answer = (name) => {
      if (name !== 'hidden-tests') return {};
      environment.cancel();
      throw new SandboxError('killed', { transient: true });
    };
    await expect(score(accepted, { environment })).rejects.toMatchObject({ name: 'CancelledFailure' });
  });

  it('loses the points of a part whose analysis the submission brought down', async () => {
    const given = await score(withLint({ report: '[]\n[{"file', exitCode: null, status: 'memory-limit' }));
    expect(given?.parts.quality).toMatchObject({
      points: 0,
      losses: [{ points: 40, message: expect.stringContaining('memory-limit') }],
    });
    expect(given?.parts.documentation.points).toBe(30);
  });

  it.each<[string, Judged, Rubric]>([
    ['what does not compile', { ...accepted, checks: judgedChecks({ verdict: 'compile-error' }) }, defaultRubric],
    ['an exercise whose rubric has no points', accepted, { quality: 0, documentation: 0, performance: 0 }],
  ])('is not given for %s', async (_name, judged, rubric) => {
    expect(await score(judged, { rubric })).toBeNull();
    expect(sandbox.jobs).toEqual([]);
  });
});
