import { randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { expect, test } from '@jest/globals';
import type { Language } from '../../src/domain/check-runs.ts';
import type { ProjectRevision } from '../../src/domain/exercises.ts';
import { openSandbox } from '../../src/sandbox/choose.ts';
import { judgeProject } from '../../src/sandbox/project-checks.ts';
import { describeEachSandbox } from '../support/sandboxes.ts';
import { projectChecks } from './real-sandboxes.ts';
import { runner } from '../support/runner.ts';

async function readFixture(language: Language) {
  const folder = join(import.meta.dirname, 'call-fixtures', language);
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(paths.map(async (path) => ({ path: relative(folder, path), content: await readFile(path, 'utf8') })));
}

await describeEachSandbox('tests by calls', (kind) => {
  const opened = openSandbox(kind, { onMessage: () => undefined, runner });

  test.each([
    ['javascript', 'test/shapes.test.js', 13],
    ['python', 'test/test_shapes.py', 16],
  ] as const)(
    '%s: values, classes, errors and functions behave as in one process, or are refused',
    async (language, testFile, count) => {
      const { sandbox, probes } = await opened;
      if (sandbox === null) throw new Error(JSON.stringify(probes));
      const files = await readFixture(language);
      const own = files.filter(({ path }) => path.startsWith('test/'));
      const suite = { files: [testFile], count, points: 0 };
      const revision: ProjectRevision = {
        language,
        checks: { ...projectChecks({ visible: suite, hidden: suite }), testStyle: 'calls' },
        files: [
          ...own.map((file) => ({ role: 'visible-test' as const, ...file })),
          { role: 'configuration', path: '.atelier/lint.json', content: '{}' },
        ],
      };
      const submitted = [...files, { path: 'package.json', content: '{"type": "module"}' }].map(({ path, content }) => ({
        path,
        content: Buffer.from(content),
      }));
      const label = { submissionId: randomUUID(), attempt: 1, deadline: new Date(Date.now() + 120_000) };
      const { checks, runs } = await judgeProject(revision, submitted, { sandbox, label, signal: AbortSignal.timeout(100_000) });
      const visible = checks.tests.filter((judged) => judged.suite === 'visible');
      const failed = visible.filter(({ outcome }) => outcome !== 'passed');
      expect({ failed: failed.map(({ name }) => name), count: visible.length, log: runs[1]?.stderr.toString() }).toEqual({
        failed: [],
        count,
        log: expect.any(String),
      });
    },
    120_000,
  );
});
