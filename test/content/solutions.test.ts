import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import type { FileRole, RevisionFile } from '../../src/domain/exercises.ts';
import { openSandbox } from '../../src/sandbox/choose.ts';
import { judge } from '../../src/sandbox/judge.ts';
import { languages } from '../../src/sandbox/languages.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { type ExerciseContent, readCourseContent } from '../../src/services/content.ts';
import { runner } from '../support/runner.ts';
import { describeEachSandbox } from '../support/sandboxes.ts';

const { exercises } = await readCourseContent(join(import.meta.dirname, '../../content/demo'));

const byRole = ({ files }: ExerciseContent, role: FileRole) => files.filter((file) => file.role === role);

/** A program has a solution for some of its languages, each in its entry file; a project has one. */
function solutionsOf(exercise: ExerciseContent, sandbox: Sandbox): readonly (readonly RevisionFile[])[] {
  const solution = byRole(exercise, 'solution');
  if (exercise.checks.kind === 'project') return [solution];
  const offered = exercise.checks.languages.filter((language) => sandbox.languages.has(language));
  const entryFiles = offered.map((language) => languages[language].entryFile as string);
  return solution.filter(({ path }) => entryFiles.includes(path)).map((file) => [file]);
}

/** How many tests there are in all, and how many of them students see. */
function countTests({ checks }: ExerciseContent): { all: number; visible: number } {
  if (checks.kind === 'project') {
    const { visible, hidden } = checks.tests;
    return { all: visible.count + hidden.count, visible: visible.count };
  }
  const count = (groups: typeof checks.groups) => groups.reduce((sum, { cases }) => sum + cases.length, 0);
  return { all: count(checks.groups), visible: count(checks.groups.filter(({ isVisible }) => isVisible)) };
}

/** Judges an exercise as if these files had been submitted on top of its starter. */
async function judgeFiles(sandbox: Sandbox, exercise: ExerciseContent, files: readonly RevisionFile[]) {
  const byPath = new Map([...byRole(exercise, 'starter'), ...files].map((file) => [file.path, file]));
  const submitted = [...byPath.values()].map((file) => ({ path: file.path, content: Buffer.from(file.content) }));
  const deadline = new Date(Date.now() + 120_000);
  const label = { submissionId: `content-${exercise.slug}`, attempt: 1, deadline };
  return (await judge(exercise, submitted, { sandbox, label, signal: AbortSignal.timeout(120_000) })).checks;
}

await describeEachSandbox('exercises', (kind) => {
  const opened = openSandbox(kind, { onMessage: () => undefined, runner });

  it.each(exercises.map((exercise) => [exercise.slug, exercise] as const))(
    '%s: the solution is accepted, the starter is not',
    async (_, exercise) => {
      const { sandbox, probes } = await opened;
      if (sandbox === null) throw new Error(JSON.stringify(probes));
      const { all, visible } = countTests(exercise);
      const solutions = solutionsOf(exercise, sandbox);
      expect(solutions).not.toEqual([]);
      for (const files of solutions) {
        const solution = await judgeFiles(sandbox, exercise, files);
        expect(solution).toMatchObject({ verdict: 'accepted', lintFindings: [] });
        expect(solution.points).toBe(solution.maxPoints);
        expect(solution.tests).toHaveLength(all);
      }
      const starter = await judgeFiles(sandbox, exercise, []);
      expect(starter.verdict).not.toBe('accepted');
      // A student sees from the start which tests are to be made pass.
      expect(starter.tests.filter((test) => test.suite === 'visible')).toHaveLength(visible);
    },
    180_000,
  );
});
