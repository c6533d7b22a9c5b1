import { defineEntity, p } from '@mikro-orm/core';
import { type LintFinding, languageNames, type RunStatus, verdicts } from '../../domain/check-runs.ts';
import type { Score } from '../../domain/score.ts';
import { identified, instant } from '../columns.ts';
import { ExerciseRevision } from './exercises.ts';
import { Submission } from './submissions.ts';

/** One process as the sandbox saw it; logs are in the blob store under their keys. */
export interface StoredRun {
  readonly name: string;
  readonly status: RunStatus;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly wallTimeMs: number;
  readonly cpuTimeMs: number;
  readonly memoryPeakBytes: number;
  /** Missing in check runs of 0.1.0. */
  readonly hitProcessLimit?: boolean;
  readonly stdoutKey: string;
  readonly stderrKey: string;
}

const CheckRunSchema = defineEntity({
  name: 'CheckRun',
  schema: 'submissions',
  tableName: 'check_runs',
  uniques: [{ properties: ['submission', 'revision', 'runNo'] }],
  indexes: [{ properties: ['finishedAt'] }],
  properties: {
    ...identified,
    submission: () => p.manyToOne(Submission).ref(),
    revision: () => p.manyToOne(ExerciseRevision).ref(),
    /** 1, 2, … a regrade is the next run. */
    runNo: p.integer(),
    verdict: p.enum([...verdicts]),
    sandboxKind: p.string().length(20),
    /** Image digest or tool versions: what it would take to judge again in the same way. */
    sandboxIdentity: p.text(),
    runs: p.json<readonly StoredRun[]>().$type<readonly StoredRun[]>(),
    lintFindings: p.json<readonly LintFinding[]>().$type<readonly LintFinding[]>(),
    points: p.integer(),
    maxPoints: p.integer(),
    compilerOutput: p.text().strictNullable(),
    testsShareProcess: p.boolean(),
    notes: p.json<readonly string[]>().$type<readonly string[]>(),
    language: p.enum([...languageNames]),
    languageVersion: p.text(),
    /** The rubric's score; null where static analysis gave none. */
    score: p.json<Score>().$type<Score>().strictNullable(),
    startedAt: instant(),
    finishedAt: instant(),
    testCaseResults: () => p.oneToMany(TestCaseResult).mappedBy('checkRun').orderBy({ position: 'asc' }),
  },
});

/** One judging of a submission; immutable. */
export class CheckRun extends CheckRunSchema.class {}
CheckRunSchema.setClass(CheckRun);

const TestCaseResultSchema = defineEntity({
  name: 'TestCaseResult',
  schema: 'submissions',
  tableName: 'test_case_results',
  uniques: [{ properties: ['checkRun', 'position'] }],
  properties: {
    id: p.uuid().primary(),
    checkRun: () => p.manyToOne(CheckRun).ref(),
    /** From 0, in the order of the report. */
    position: p.integer(),
    suite: p.enum(['visible', 'hidden']),
    name: p.text(),
    outcome: p.enum(['passed', 'failed', 'skipped']),
    group: p.text().fieldName('group_name'),
    verdict: p.enum([...verdicts]).strictNullable(),
    message: p.text(),
    diff: p.text().strictNullable(),
    hint: p.text(),
    points: p.integer(),
    maxPoints: p.integer(),
    timeMs: p.integer(),
    cpuTimeMs: p.integer().strictNullable(),
    memoryPeakBytes: p.bigint('number').strictNullable(),
  },
});

export class TestCaseResult extends TestCaseResultSchema.class {}
TestCaseResultSchema.setClass(TestCaseResult);
