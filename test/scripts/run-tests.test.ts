import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Command, makeFolder, node24, run, until } from './fixture.ts';

/** `npm test` as a whole, on small suites of its own instead of the project's. */
let folder: ReturnType<typeof makeFolder>;

beforeAll(() => {
  folder = makeFolder();
  mkdirSync(join(folder.path, 'bin'));
  symlinkSync(process.env['TEST_TEMPORAL_CLI'] ?? '', join(folder.path, 'bin', 'temporal'));
  const suites = {
    'good/passes.test.cjs': `test('passes', () => {}); test.skip('is skipped (needs a printer)', () => {}); test.todo('is to be written');
      test('has parts of its own', () => expect(process.env).toMatchObject({ TEST_DATABASE_URL: /^postgres:/ && expect.any(String), TEST_TEMPORAL_CLI: expect.any(String) }));`,
    'bad/fails.test.cjs': `test('fails', () => expect(1).toBe(2)); test('passes', () => {});`,
    'bad/broken.test.cjs': `test('is never reached', () => {`,
    'none/readme.txt': '',
    'slow/sleeps.test.cjs': `test('sleeps', () => new Promise(() => { require('fs').writeFileSync(${JSON.stringify(join(folder.path, 'sleeping'))}, ''); setInterval(() => {}, 1000); }));`,
  };
  for (const [name, text] of Object.entries(suites)) {
    mkdirSync(dirname(join(folder.path, name)), { recursive: true });
    writeFileSync(join(folder.path, name), text);
    const config = { testMatch: ['**/*.test.cjs'], transform: {}, cacheDirectory: join(folder.path, 'cache') };
    writeFileSync(join(folder.path, dirname(name), 'jest.config.json'), JSON.stringify(config));
  }
});
afterAll(() => folder.remove());

function npmTest(suites: string): Command {
  const env = { PATH: `${join(folder.path, 'bin')}:/usr/bin:/bin`, HOME: folder.path };
  return run(node24, ['scripts/test.js', '--no-install', '--config', join(folder.path, suites, 'jest.config.json')], env);
}

const lastLine = (output: string) => output.trimEnd().split('\n').at(-1);

test('two runs side by side do not meet; what is skipped is listed with its reason', async () => {
  const [first, second] = [npmTest('good'), npmTest('bad')];
  expect([await first.ended, await second.ended]).toEqual([0, 1]);
  expect(lastLine(first.stdout())).toBe('2 passed, 0 failed, 2 skipped');
  expect(first.output()).toContain(
    'Skipped:\n  passes.test.cjs: is skipped (needs a printer)\n  passes.test.cjs: is to be written\n',
  );
  // A suite that cannot be read counts as one failure.
  expect(lastLine(second.stdout())).toBe('1 passed, 2 failed');
});

test('a run without a test is a failure', async () => {
  const none = npmTest('none');
  expect(await none.ended).toBe(1);
  expect(lastLine(none.stdout())).toBe('0 passed, 1 failed');
});

test('a signal ends the run with all it started', async () => {
  const slow = npmTest('slow');
  await until(() => slow.output().includes('Tests use:'), 'the parts are up');
  slow.child.kill('SIGTERM');
  expect(await slow.ended).toBe(143);
  expect(slow.output()).not.toContain('passed');
});
