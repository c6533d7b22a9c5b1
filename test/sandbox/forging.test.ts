import { randomUUID } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import type { Language } from '../../src/domain/check-runs.ts';
import type { ProjectRevision, TestStyle } from '../../src/domain/exercises.ts';
import { openSandbox, probeSandboxes } from '../../src/sandbox/choose.ts';
import { judgeProject } from '../../src/sandbox/project-checks.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { describeEachSandbox } from '../support/sandboxes.ts';
import { javascript } from './cheats-javascript.ts';
import { python } from './cheats-python.ts';
import { limits, projectChecks } from './real-sandboxes.ts';
import { runner } from '../support/runner.ts';

const paths = {
  javascript: { module: 'src/sum.js', visible: 'test/visible.test.js', hidden: 'test/hidden.test.js' },
  python: { module: 'src/total.py', visible: 'test/test_visible.py', hidden: 'test/test_hidden.py' },
} as const;
/** Cheats are no pretty code: nothing is linted. */
const lintConfigs = { javascript: '{"categories": {"correctness": "off"}}', python: '{"lint": {"select": []}}' } as const;
const sets = { javascript, python } as const;
type Cheated = keyof typeof sets & Language;

function revisionOf(language: Cheated, testStyle: TestStyle): ProjectRevision {
  const { visible, hidden } = paths[language];
  const contents: Readonly<Record<string, string>> = sets[language].tests;
  const suites = {
    visible: { files: [visible], count: 1, points: 10 },
    hidden: { files: [hidden], count: sets[language].hiddenCount, points: 60 },
  };
  return {
    language,
    // Whoever hangs is not waited for long; several are judged at once, though.
    checks: { ...projectChecks(suites), testStyle, limits: { ...limits, cpuTimeMs: 5000, wallTimeMs: 20_000 } },
    files: [
      { role: 'visible-test', path: visible, content: contents[visible] ?? '' },
      { role: 'hidden-test', path: hidden, content: contents[hidden] ?? '' },
      { role: 'configuration', path: '.atelier/lint.json', content: lintConfigs[language] },
    ],
  };
}

async function judgeModule(sandbox: Sandbox, language: Cheated, testStyle: TestStyle, files: Readonly<Record<string, string>>) {
  const manifest = language === 'javascript' ? { 'package.json': '{"type": "module"}' } : {};
  const submitted = Object.entries({ ...manifest, ...files }).map(([path, content]) => ({ path, content: Buffer.from(content) }));
  const label = { submissionId: randomUUID(), attempt: 1, deadline: new Date(Date.now() + 120_000) };
  const { checks } = await judgeProject(revisionOf(language, testStyle), submitted, {
    sandbox,
    label,
    signal: AbortSignal.timeout(100_000),
  });
  return { verdict: checks.verdict, passed: checks.tests.filter(({ outcome }) => outcome === 'passed').map(({ name }) => name) };
}

const opened = new Map<Sandbox['kind'], ReturnType<typeof openSandbox>>();

async function open(kind: Sandbox['kind']): Promise<Sandbox> {
  const opening = opened.get(kind) ?? openSandbox(kind, { onMessage: () => undefined, runner });
  opened.set(kind, opening);
  const { sandbox, probes } = await opening;
  if (sandbox === null) throw new Error(JSON.stringify(probes));
  return sandbox;
}

/** What a process can do to itself is the same in every sandbox: one is enough. */
const sharedKind = (await probeSandboxes()).find(({ usable }) => usable)?.kind;

await describeEachSandbox('forging', (kind) => {
  describe.each(['javascript', 'python'] as const)('%s', (language) => {
    const { cheats, honest, moduleOf } = sets[language];
    const module = paths[language].module;

    test.each(['calls', 'shared-process'] as const)(
      'the honest solution is accepted: %s',
      async (testStyle) => {
        const judged = await judgeModule(await open(kind), language, testStyle, { [module]: honest });
        expect(judged).toEqual({ verdict: 'accepted', passed: expect.any(Array) });
        expect(judged.passed).toHaveLength(1 + sets[language].hiddenCount);
      },
      120_000,
    );

    test.concurrent.each(cheats.map((cheat) => [cheat.name, cheat] as const))(
      'calls: contained: %s',
      async (_, cheat) => {
        const judged = await judgeModule(await open(kind), language, 'calls', { ...cheat.extraFiles, [module]: moduleOf(cheat) });
        expect(judged.verdict).not.toBe('accepted');
        expect(judged.passed).toEqual(cheat.truly ?? []);
      },
      120_000,
    );

    if (kind !== sharedKind) return;
    // An explicit list of what is known to get through: it fails when one is closed or a new one opens.
    test.concurrent.each(
      cheats.map((cheat) => [cheat.passesInSharedProcess === true ? 'forged' : 'contained', cheat.name, cheat] as const),
    )(
      'shared process: %s: %s',
      async (_, __, cheat) => {
        const judged = await judgeModule(await open(kind), language, 'shared-process', {
          ...cheat.extraFiles,
          [module]: moduleOf(cheat),
        });
        expect(judged.verdict === 'accepted').toBe(cheat.passesInSharedProcess === true);
      },
      120_000,
    );
  });
});
