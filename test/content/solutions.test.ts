import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import type { RevisionFile } from '../../src/domain/exercises.ts';
import { openSandbox } from '../../src/sandbox/choose.ts';
import { judge } from '../../src/sandbox/judge.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { type ExerciseContent, readCourseContent } from '../../src/services/content.ts';
import { runner } from '../support/runner.ts';
import { describeEachSandbox } from '../support/sandboxes.ts';

const { exercises } = await readCourseContent(join(import.meta.dirname, '../../content/demo'));

/** Judges an exercise as if these of its files had been submitted. */
async function judgeRoles(sandbox: Sandbox, exercise: ExerciseContent, roles: readonly RevisionFile['role'][]) {
  const byPath = new Map(exercise.files.filter((file) => file.role === 'starter').map((file) => [file.path, file]));
  for (const file of exercise.files) if (roles.includes(file.role)) byPath.set(file.path, file);
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
      const [solution, starter] = await Promise.all([
        judgeRoles(sandbox, exercise, ['solution']),
        judgeRoles(sandbox, exercise, []),
      ]);
      expect(solution).toMatchObject({ verdict: 'accepted', lintFindings: [] });
      expect(solution.tests).toHaveLength(exercise.tests.visible.count + exercise.tests.hidden.count);
      expect(starter.verdict).not.toBe('accepted');
      // A student sees from the start which tests are to be made pass.
      expect(starter.tests.filter((test) => test.suite === 'visible')).toHaveLength(exercise.tests.visible.count);
    },
    180_000,
  );
});
