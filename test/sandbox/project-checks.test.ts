import { randomUUID } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import type { ProjectChecks, ProjectRevision } from '../../src/domain/exercises.ts';
import { openSandbox } from '../../src/sandbox/choose.ts';
import { judgeProject, projectFiles, projectRuns } from '../../src/sandbox/project-checks.ts';
import { SandboxError } from '../../src/sandbox/sandbox.ts';
import { runner } from '../support/runner.ts';
import { describeEachSandbox } from '../support/sandboxes.ts';
import { projectChecks } from './real-sandboxes.ts';

const revision: ProjectRevision = {
  language: 'javascript',
  checks: projectChecks({
    visible: { files: ['spec/a.test.js'], count: 1, points: 50 },
    hidden: { files: ['rules/b.test.js'], count: 1, points: 50 },
  }),
  files: [
    { role: 'starter', path: 'src/a.js', content: 'starter' },
    { role: 'solution', path: 'src/a.js', content: 'solution' },
    { role: 'visible-test', path: 'spec/a.test.js', content: 'visible' },
    { role: 'hidden-test', path: 'rules/b.test.js', content: 'hidden' },
    { role: 'configuration', path: '.atelier/lint.json', content: '{}' },
  ],
};

const pathsOf = (...submitted: string[]) =>
  projectFiles(
    revision,
    submitted.map((path) => ({ path, content: Buffer.from('mine') })),
  ).map(({ path }) => path);

describe('projectFiles', () => {
  test('are the student’s, the visible tests and the configuration; hidden tests go to their run alone', () => {
    expect(pathsOf('src/a.js')).toEqual(['src/a.js', 'spec/a.test.js', '.atelier/lint.json']);
    expect(projectRuns(revision, [], false).map(({ name, files }) => [name, files?.map(({ path }) => path)])).toEqual([
      ['lint', []],
      ['visible-tests', undefined],
      ['hidden-tests', ['rules/b.test.js']],
    ]);
  });

  test.each(['spec/a.test.js', 'rules/b.test.js', 'test/x.js', 'tests', '.atelier/lint.json', '.git/config'])(
    'what is submitted as %s is left out',
    (path) => {
      expect(pathsOf(path)).toEqual(['spec/a.test.js', '.atelier/lint.json']);
    },
  );

  test.each(['spec', 'rules', 'spec/a.test.js/deeper', 'rules/b.test.js/deeper/still'])(
    'a file where the exercise has a folder, or the other way round, is left out: %s',
    (path) => {
      expect(pathsOf(path)).toEqual(['spec/a.test.js', '.atelier/lint.json']);
    },
  );
});

describe('projectRuns', () => {
  const withChecks = (changes: Partial<ProjectChecks>): ProjectRevision => ({
    ...revision,
    checks: { ...revision.checks, ...changes },
  });

  test('of style calls have two halves, and the tester is told which files are the exercise’s own', () => {
    const [, visible, hidden] = projectRuns(withChecks({ testStyle: 'calls' }), [], false);
    expect(visible?.peer?.argv.at(-1)).toMatch(/serve\.mjs$/);
    expect(visible?.argv.slice(-4)).toEqual(['spec/a.test.js', '--', 'spec/a.test.js', '.atelier/lint.json']);
    expect(hidden?.argv.slice(-5)).toEqual(['rules/b.test.js', '--', 'spec/a.test.js', '.atelier/lint.json', 'rules/b.test.js']);
    expect(hidden?.files?.map(({ path }) => path)).toEqual(['rules/b.test.js']);
  });

  test('with a command of the exercise it gets the test files, in the student’s process', () => {
    const command = { argv: ['tests', '--tap'], report: 'tap' } as const;
    const [, visible] = projectRuns(withChecks({ command, testStyle: 'calls' }), [], false);
    expect(visible).toMatchObject({ argv: ['tests', '--tap', 'spec/a.test.js'] });
    expect(visible).not.toHaveProperty('peer');
  });

  test('a language without a test runner needs a command, and one without a linter is not linted', () => {
    const java = { ...revision, language: 'java' } as const;
    expect(() => projectRuns(java, [], false)).toThrow(SandboxError);
    expect(() => projectRuns({ ...java, checks: { ...java.checks, testStyle: 'calls' } }, [], false)).toThrow(SandboxError);
    const command = { argv: ['sh', 'run.sh'], report: 'junit' } as const;
    const runs = projectRuns({ ...java, checks: { ...java.checks, command } }, [], false);
    expect(runs.map(({ name }) => name)).toEqual(['visible-tests', 'hidden-tests']);
  });
});

await describeEachSandbox('judging a project', (kind) => {
  const opened = openSandbox(kind, { onMessage: () => undefined, runner });

  const testFile = (names: readonly string[]) =>
    `const { test } = require('node:test');
const { works } = require('../src/a.js');
${names.map((name) => `test('${name}', () => { if (!works.includes('${name}')) throw new Error('it does not work'); });`).join('\n')}`;

  async function judgeWorking(works: readonly string[], changes: Partial<ProjectChecks>) {
    const { sandbox, probes } = await opened;
    if (sandbox === null) throw new Error(JSON.stringify(probes));
    const suites = {
      visible: { files: ['test/a.test.js'], count: 2, points: 40 },
      hidden: { files: ['test/b.test.js'], count: 2, points: 60 },
    };
    const judged: ProjectRevision = {
      language: 'javascript',
      checks: { ...projectChecks(suites), ...changes },
      files: [
        { role: 'visible-test', path: 'test/a.test.js', content: testFile(['one', 'two']) },
        { role: 'hidden-test', path: 'test/b.test.js', content: testFile(['three', 'four']) },
        { role: 'configuration', path: '.atelier/lint.json', content: '{}' },
      ],
    };
    const submitted = [
      { path: 'src/a.js', content: Buffer.from(`exports.works = ${JSON.stringify(works)};\n`) },
      { path: 'package.json', content: Buffer.from('{"dependencies": {"lodash": "4"}}') },
    ];
    const label = { submissionId: randomUUID(), attempt: 1, deadline: new Date(Date.now() + 120_000) };
    const { checks } = await judgeProject(judged, submitted, { sandbox, label, signal: AbortSignal.timeout(100_000) });
    return checks;
  }

  test('tests that weigh more bring more of the points', async () => {
    const tests = {
      visible: { files: ['test/a.test.js'], count: 2, points: 40, weights: { two: 3 } },
      hidden: { files: ['test/b.test.js'], count: 2, points: 60 },
    };
    const { tests: judged } = await judgeWorking(['two', 'three'], { tests });
    expect(judged.map(({ points, maxPoints }) => [points, maxPoints])).toEqual([
      [0, 10],
      [30, 30],
      [30, 30],
      [0, 30],
    ]);
  }, 120_000);

  const tap = { argv: ['node', '--test', '--test-reporter=tap'], report: 'tap' } as const;

  test.each([
    ['calls', { testStyle: 'calls' }, false],
    ['a shared process', {}, true],
    ['a command that reports TAP', { command: tap }, true],
  ] as const)(
    'with %s: points of what passed, and the verdict',
    async (_, changes, testsShareProcess) => {
      const half = await judgeWorking(['one', 'three', 'four'], changes);
      expect(half).toMatchObject({ verdict: 'wrong-answer', points: 80, maxPoints: 100, testsShareProcess });
      expect(half.tests.map(({ suite, name, points }) => [suite, name, points])).toEqual([
        ['visible', 'one', 20],
        ['visible', 'two', 0],
        ['hidden', 'three', 30],
        ['hidden', 'four', 30],
      ]);
      expect(half.notes).toEqual(['Dependencies of your package.json are not installed: lodash']);
      expect(await judgeWorking(['one', 'two', 'three', 'four'], changes)).toMatchObject({ verdict: 'accepted', points: 100 });
    },
    120_000,
  );

  test('enough of the points are enough where the exercise says so, if all tests have told', async () => {
    const most = ['one', 'three', 'four'];
    expect(await judgeWorking(most, { passPercent: 80 })).toMatchObject({ verdict: 'accepted', points: 80 });
    expect(await judgeWorking(most, { passPercent: 81 })).toMatchObject({ verdict: 'wrong-answer' });
    const suites = {
      visible: { files: ['test/a.test.js'], count: 3, points: 0 },
      hidden: { files: ['test/b.test.js'], count: 2, points: 60 },
    };
    expect(await judgeWorking(['three', 'four'], { tests: suites, passPercent: 50 })).not.toMatchObject({ verdict: 'accepted' });
  }, 120_000);
});
