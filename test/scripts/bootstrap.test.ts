import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { type Command, findProcess, makeFolder, node24, projectFolder, run, until } from './fixture.ts';

/** A project of two packages with the real bootstrap, and an npm that only writes down that it was called. */
let project: ReturnType<typeof makeFolder>;
let npmCalls: string;

beforeEach(() => {
  project = makeFolder();
  npmCalls = join(project.path, 'npm-calls');
  cpSync(join(projectFolder, 'scripts', 'bootstrap.js'), join(project.path, 'scripts', 'bootstrap.js'));
  writeFileSync(join(project.path, 'package.json'), '{"type": "module"}');
  lockPackages('1.0.0');
  writeFileSync(
    join(project.path, 'install.js'),
    `import { ensureInstalled, exitWith } from './scripts/bootstrap.js';
     await exitWith(async () => (await ensureInstalled({ whenInUse: process.argv[2] }), 0));`,
  );
  fakeNpm('');
});
afterEach(() => project.remove());

function lockPackages(version: string): void {
  const foreign = { version, integrity: 'sha512-b', optional: true, os: ['aix'], cpu: ['x64'] };
  const packages = { '': {}, 'node_modules/a': { version, integrity: 'sha512-a' }, 'node_modules/b': foreign };
  writeFileSync(join(project.path, 'package-lock.json'), JSON.stringify({ lockfileVersion: 3, packages }));
}

/** `npm ci`: empties node_modules and puts a package there, as the real one; `script` is what else it does. */
function fakeNpm(script: string): void {
  const bin = join(project.path, 'bin');
  mkdirSync(bin, { recursive: true });
  const npm = join(bin, 'npm');
  writeFileSync(npm, `#!/bin/sh\necho "$@" >> ${npmCalls}\nrm -rf node_modules\nmkdir -p node_modules/a\n${script}\n`);
  chmodSync(npm, 0o755);
}

/** Node 24, as its package brings it. */
function linkNode(): void {
  const bin = join(project.path, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin');
  mkdirSync(bin, { recursive: true });
  symlinkSync(node24, join(bin, 'node'));
}

function install(...args: string[]): Command {
  const env = { PATH: `${join(project.path, 'bin')}:/usr/bin:/bin` };
  return run(node24, [join(project.path, 'install.js'), ...args], env, project.path);
}

const calls = () => (existsSync(npmCalls) ? readFileSync(npmCalls, 'utf8').trim().split('\n') : []);
const stamp = () => join(project.path, 'node_modules', '.cache', 'atelier', 'installed');

test('installs once, says what and how big it is, and again only when the lock file changed', async () => {
  const first = install();
  expect(await first.ended).toBe(0);
  expect(first.output()).toMatch(
    /^Installing 1 packages into .*node_modules \(npm ci\): about 800 MB on disk, usually 30 to 60 seconds\.\n/,
  );
  expect(calls()).toEqual(['ci --ignore-scripts --no-audit --no-fund --loglevel=error']);

  const second = install();
  expect(await second.ended).toBe(0);
  expect(second.output()).toBe('');

  lockPackages('2.0.0');
  expect(await install().ended).toBe(0);
  expect(calls()).toHaveLength(2);
});

test('packages that were installed by hand are accepted', async () => {
  mkdirSync(join(project.path, 'node_modules'));
  const { packages } = JSON.parse(readFileSync(join(project.path, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, object>;
  };
  delete packages['node_modules/b'];
  writeFileSync(join(project.path, 'node_modules', '.package-lock.json'), JSON.stringify({ packages }));
  expect(await install().ended).toBe(0);
  expect(calls()).toEqual([]);
});

test('what npm 10 leaves out is made: the link to Node 24', async () => {
  expect(await install().ended).toBe(0);
  linkNode();
  expect(await install().ended).toBe(0);
  expect(realpathSync(join(project.path, 'node_modules', '.bin', 'node'))).toBe(realpathSync(node24));
});

test('a failed installation shows npm’s last lines and the fix, and is repeated by the next start', async () => {
  fakeNpm('echo "npm error code ENOTFOUND" >&2; exit 1');
  const failed = install();
  expect(await failed.ended).toBe(1);
  expect(failed.output()).toMatch(/npm error code ENOTFOUND\n\nnpm ci failed \(exit code 1\)\. The npm registry was not reached/);
  expect(failed.output()).not.toContain('    at ');
  expect(existsSync(stamp())).toBe(false);
  fakeNpm('');
  expect(await install().ended).toBe(0);
});

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  '%s while installing ends npm, leaves no stamp and no lock, and loses nothing',
  async (signal) => {
    fakeNpm('exec sleep 60');
    const interrupted = install();
    await until(() => calls().length === 1, 'npm runs');
    interrupted.child.kill(signal);
    expect(await interrupted.ended).toBe(1);
    expect(interrupted.output()).toContain('Nothing is lost: repeat the command.');
    expect(existsSync(stamp())).toBe(false);
    expect(existsSync(join(project.path, '.installing'))).toBe(false);
    fakeNpm('');
    expect(await install().ended).toBe(0);
  },
);

test('two at once install once', async () => {
  fakeNpm('sleep 0.5');
  const [first, second] = [install(), install()];
  expect(await Promise.all([first.ended, second.ended])).toEqual([0, 0]);
  expect(calls()).toHaveLength(1);
  expect(first.output() + second.output()).toContain('Waiting for another installation');
});

test('the lock of an installation that was killed is taken over', async () => {
  fakeNpm('exec sleep 60');
  const killed = install();
  await until(() => calls().length === 1, 'npm runs');
  process.kill(-(killed.child.pid ?? 0), 'SIGKILL');
  await killed.ended;
  expect(existsSync(join(project.path, '.installing'))).toBe(true);
  fakeNpm('');
  expect(await install().ended).toBe(0);
  expect(existsSync(join(project.path, '.installing'))).toBe(false);
});

test('packages are not replaced under a running academy; a command for it uses them as they are', async () => {
  linkNode();
  writeFileSync(join(project.path, 'academy.js'), 'setInterval(() => {}, 1000)');
  writeFileSync(
    join(project.path, 'start.js'),
    `import { runProgram } from './scripts/bootstrap.js'; process.exitCode = await runProgram('academy.js', [], { use: 'npm start' });`,
  );
  const academy = run(node24, [join(project.path, 'start.js')], {}, project.path);
  const inUse = join(project.path, 'node_modules', '.cache', 'atelier', 'in-use');
  await until(() => existsSync(inUse), 'the academy is registered');

  const refused = install();
  expect(await refused.ended).toBe(1);
  expect(refused.output()).toMatch(
    /package-lock\.json changed, but an academy runs from this folder \(npm start, process \d+\)\.\nStop it first/,
  );
  const reused = install('reuse');
  expect(await reused.ended).toBe(0);
  expect(calls()).toEqual([]);

  academy.child.kill('SIGTERM');
  expect(await academy.ended).toBe(143);
  expect(await install().ended).toBe(0);
  expect(calls()).toHaveLength(1);
});

test('a program gets the signals, and its exit code is handed on', async () => {
  linkNode();
  writeFileSync(
    join(project.path, 'program.js'),
    `process.on('SIGHUP', () => process.exit(7)); console.log(process.pid, 'up'); setInterval(() => {}, 1000)`,
  );
  writeFileSync(
    join(project.path, 'start.js'),
    `import { runProgram } from './scripts/bootstrap.js'; process.exitCode = await runProgram('program.js', []);`,
  );
  const started = run(node24, [join(project.path, 'start.js')], {}, project.path);
  await until(() => started.output().includes('up'), 'the program is up');
  started.child.kill('SIGHUP');
  expect(await started.ended).toBe(7);
  expect(findProcess(Number.parseInt(started.output(), 10))).toBeUndefined();
});
