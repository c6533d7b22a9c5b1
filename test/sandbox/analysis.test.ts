import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import type { Language } from '../../src/domain/check-runs.ts';
import { defaultRubric, type Revision } from '../../src/domain/exercises.ts';
import { type Score, scoreOf } from '../../src/domain/score.ts';
import { analyse, measureOf, solutionFiles } from '../../src/sandbox/analysis.ts';
import { openSandbox } from '../../src/sandbox/choose.ts';
import { judge } from '../../src/sandbox/judge.ts';
import { languages } from '../../src/sandbox/languages.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { ownFiles, readLintFindings, sourceRuns } from '../../src/sandbox/source-tools.ts';
import { readCourseContent } from '../../src/services/content.ts';
import { judgedChecks } from '../support/check-runs.ts';
import { runner } from '../support/runner.ts';
import { describeEachSandbox } from '../support/sandboxes.ts';
import { limits, projectChecks, runOne } from './real-sandboxes.ts';

const { exercises } = await readCourseContent(join(import.meta.dirname, '../../content/demo'));

const suite = { files: [], count: 0, points: 0 };

/** An exercise that gives nothing but a starter. */
const revisionIn = (language: Language, files: Revision['files'] = []): Revision => ({
  language,
  checks: projectChecks({ visible: suite, hidden: suite }),
  files,
});

const fileOf = ([path, content]: readonly [string, string]) => ({ path, content: Buffer.from(content) });

const bench = (sandbox: Sandbox) => ({
  sandbox,
  label: { submissionId: 'analysis', attempt: 1, deadline: new Date(Date.now() + 120_000) },
  signal: AbortSignal.timeout(120_000),
  isScored: true,
});

/** Quality and documentation of these files, out of 40 and 30. */
async function partsOf(
  sandbox: Sandbox,
  language: Language,
  files: Readonly<Record<string, string>>,
  compilerOutput: string | null = null,
): Promise<Score['parts']> {
  const submitted = Object.entries(files).map(fileOf);
  const revision = revisionIn(language);
  const requests = sourceRuns(revision, submitted, { language, config: null, limits, isScored: true });
  const { label, signal } = bench(sandbox);
  const runs = requests.length === 0 ? [] : await sandbox.run({ label, files: submitted, runs: requests }, { signal });
  const analysis = analyse(revision, submitted, { checks: judgedChecks({ language, compilerOutput }), runs });
  const performance = { unmeasured: 'left-out', reason: '' } as const;
  return scoreOf({ rubric: defaultRubric, ...analysis, performance }).parts;
}

describe('what a student wrote', () => {
  const revision = revisionIn('python', [
    { role: 'starter', path: 'README.md', content: 'as given' },
    { role: 'starter', path: 'src/a.py', content: 'as given' },
    { role: 'visible-test', path: 'spec/b.py', content: 'ours' },
    { role: 'solution', path: 'src/c.py', content: 'ours' },
  ]);

  it('is all that is not the exercise’s, nor as it was given', () => {
    const paths = ['README.md', 'src/a.py', 'src/c.py', 'spec/b.py', 'tests/d.py', 'node_modules/e.js', '.atelier/f'];
    const own = (content: string) =>
      ownFiles(
        revision,
        paths.map((path) => fileOf([path, content])),
      ).map(({ path }) => path);
    expect(own('mine')).toEqual(['README.md', 'src/a.py', 'src/c.py']);
    expect(own('as given')).toEqual(['src/c.py']);
  });
});

await describeEachSandbox('analysis', (kind) => {
  const opened = openSandbox(kind, { onMessage: () => undefined, runner });
  const open = async (): Promise<Sandbox> => {
    const { sandbox, probes } = await opened;
    if (sandbox === null) throw new Error(JSON.stringify(probes));
    return sandbox;
  };

  afterAll(async () => (await opened).sandbox?.close());

  it.each(exercises.map((exercise) => [exercise.slug, exercise] as const))(
    '%s: its own solution loses nothing for quality and documentation',
    async (_slug, exercise) => {
      const submitted = solutionFiles(exercise, exercise.language) ?? [];
      const judged = await judge(exercise, submitted, bench(await open()));
      const analysis = analyse(exercise, submitted, judged);
      // Something was measured: a tenth of a second or a few, and no less than an interpreter takes.
      const measure = measureOf(judged);
      expect(measure?.cpuTimeMs).toBeGreaterThan(1);
      expect(measure?.memoryPeakBytes).toBeGreaterThan(100_000);
      const { quality, documentation } = scoreOf({
        rubric: defaultRubric,
        ...analysis,
        performance: { unmeasured: 'left-out', reason: '' },
      }).parts;
      expect({ quality, documentation }).toMatchObject({ quality: { points: 40, losses: [] }, documentation: { losses: [] } });
      expect(documentation.points).toBe(30);
    },
    180_000,
  );

  it('JavaScript and TypeScript lose points for faults, complexity and what is not documented, each with its place', async () => {
    const nested = 'if (a) { if (b) { if (c) { if (d) { if (e) { return 1; } } } } }';
    const source = `export function deep(a, b, c, d, e) {\n  debugger;\n  ${nested}\n  return 2;\n}\n`;
    for (const language of ['javascript', 'typescript'] as const) {
      const file = language === 'javascript' ? 'src/a.js' : 'src/a.ts';
      const { quality, documentation } = await partsOf(await open(), language, { [file]: source });
      expect(quality.losses).toEqual([
        { points: 4, file, line: 2, message: expect.stringContaining('no-debugger') },
        { points: 2, file, line: 3, message: expect.stringContaining('max-depth') },
      ]);
      expect(documentation).toMatchObject({
        points: 0,
        losses: [
          { file, line: 1 },
          { file: '', line: 0 },
        ],
      });
    }
  }, 60_000);

  it('Python loses points for faults, complexity and missing docstrings, each with its place', async () => {
    const branches = Array.from({ length: 13 }, (_, index) => `    if n == ${index}:\n        print(${index})`);
    const source = ['import os', '', '', 'def tangled(n, seen=[]):', ...branches, '', '', 'def _hidden():', '    pass', ''].join(
      '\n',
    );
    const { quality, documentation } = await partsOf(await open(), 'python', { 'src/a.py': source });
    expect(quality.losses).toEqual(
      expect.arrayContaining([
        { points: 4, file: 'src/a.py', line: 1, message: expect.stringContaining('F401') },
        { points: 4, file: 'src/a.py', line: 4, message: expect.stringContaining('B006') },
        { points: 2, file: 'src/a.py', line: 4, message: expect.stringContaining('C901') },
      ]),
    );
    expect(documentation.losses).toEqual([
      { points: 24, file: 'src/a.py', line: 4, message: expect.stringContaining('tangled') },
      { points: 6, file: '', line: 0, message: expect.stringContaining('README') },
    ]);
  }, 60_000);

  it('a README of their own is an overview, a heading alone is none', async () => {
    const source = '/** Adds. */\nexport const add = (a, b) => a + b;\n';
    const documented = async (readme: string) =>
      (await partsOf(await open(), 'python', { 'a.py': 'x = 1\n', 'README.md': readme })).documentation.points;
    expect(await documented('# Adding')).toBe(0);
    expect(await documented('This program adds two numbers that it reads from its input. '.repeat(3))).toBe(30);
    expect((await partsOf(await open(), 'javascript', { 'a.js': source })).documentation.points).toBe(30);
  }, 60_000);

  it('more source than anybody writes is not analysed, and has no points', async () => {
    const { quality, documentation } = await partsOf(await open(), 'python', { 'a.py': 'x = 1\n'.repeat(200_000) });
    expect([quality.points, documentation.points]).toEqual([0, 0]);
    expect(quality.losses[0]?.message).toContain('too much');
  });

  it('functions of a compiled language are measured, too', async () => {
    const main = `// Sorts its input.\nint main(void) {\n${'  if (a) b();\n'.repeat(12)}}\n`;
    const { quality } = await partsOf(await open(), 'c', { 'main.c': main });
    expect(quality.losses).toEqual([
      { points: 2, file: 'main.c', line: 2, message: expect.stringContaining('complexity of 13') },
    ]);
  });

  it('a compiler’s warnings are findings, and need no sandbox', async () => {
    const output = 'main.c: In function ‘main’:\nmain.c:3:7: warning: unused variable ‘x’ [-Wunused-variable]\n';
    const { quality } = await partsOf(await open(), 'c', { 'main.c': '// Sorts its input.\nint main(void) {' }, output);
    expect(quality.losses).toEqual([{ points: 2, file: 'main.c', line: 3, message: 'unused variable ‘x’ (-Wunused-variable)' }]);
  });

  it('files that are made to bring the tools down cost the one who made them, and no more', async () => {
    const odd = { 'deep.py': `x = ${'('.repeat(100_000)}`, 'nul.py': 'x = "\0"', 'bytes.py': '\u00ff = 1', 'fine.py': 'x = 1\n' };
    const { quality, documentation } = await partsOf(await open(), 'python', odd);
    expect(quality.points).toBeLessThan(40);
    expect(quality.losses.every(({ file }) => file !== 'fine.py')).toBe(true);
    expect(documentation.points).toBeLessThan(30);
    const js = await partsOf(await open(), 'javascript', { 'deep.js': '('.repeat(200_000), 'fine.js': 'run();\n' });
    expect(js.quality.losses).toEqual([{ points: 4, file: 'deep.js', line: 1, message: expect.stringContaining('syntax') }]);
  }, 120_000);

  it('nothing of the student’s own has no points', () => {
    const starter = { role: 'starter' as const, path: 'a.js', content: 'export {};\n' };
    const submitted = [fileOf([starter.path, starter.content])];
    const analysis = analyse(revisionIn('javascript', [starter]), submitted, { checks: judgedChecks(), runs: [] });
    expect(analysis).toMatchObject({ quality: { unmeasured: 'lost' }, documentation: { unmeasured: 'lost' } });
  });

  it('without a configuration of the exercise the linter’s own defaults are warnings, whatever the student configures', async () => {
    const files = {
      '.oxlintrc.json': '{"rules":{"no-debugger":"off"}}',
      'a.ts': 'let x: number = 1;\ndebugger;\nx = 2;\n',
      'b.py': 'import os\n',
      'ruff.toml': 'lint.ignore = ["F401"]',
    };
    const findings = await Promise.all(
      (['typescript', 'javascript', 'python'] as const).map(async (language) => {
        const run = await runOne(await open(), languages[language].lint(null), { files });
        return readLintFindings([{ ...run, name: 'lint' }]).map(({ file, line, severity }) => `${file}:${line} ${severity}`);
      }),
    );
    expect(findings[0]).toContain('a.ts:2 warning');
    expect(findings[1]).toEqual(findings[0]);
    expect(findings[2]).toEqual(['b.py:1 warning']);
  }, 60_000);

  it('a judged exercise without a configuration passes with findings', async () => {
    const hidden = { role: 'hidden-test' as const, path: 'rules/h.test.js', content: "require('node:test')('h', () => {});" };
    const visible = { role: 'visible-test' as const, path: 'spec/v.test.js', content: "require('node:test')('v', () => {});" };
    const revision = { ...revisionIn('javascript', [hidden, visible]) };
    const tests = {
      visible: { ...suite, files: [visible.path], count: 1 },
      hidden: { ...suite, files: [hidden.path], count: 1 },
    };
    const checks = { ...projectChecks(tests), lintConfig: null };
    const judged = await judge({ ...revision, checks }, [fileOf(['src/a.js', 'debugger;'])], bench(await open()));
    expect(judged.checks).toMatchObject({ verdict: 'accepted', lintFindings: [{ file: 'src/a.js', severity: 'warning' }] });
  }, 60_000);
});
