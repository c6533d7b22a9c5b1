import { describe, expect, test } from '@jest/globals';
import type { ProjectRevision } from '../../src/domain/exercises.ts';
import { projectFiles, projectRuns } from '../../src/sandbox/project-checks.ts';
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
    expect(projectRuns(revision).map(({ name, files }) => [name, files?.map(({ path }) => path)])).toEqual([
      ['lint', undefined],
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
