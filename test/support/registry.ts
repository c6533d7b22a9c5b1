import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, test } from '@jest/globals';
import type { DependencyList } from '../../src/domain/exercises.ts';

export const npmManifest = JSON.stringify({ private: true, dependencies: { isarray: '2.0.5' } });

export const npmLock = JSON.stringify({
  lockfileVersion: 3,
  requires: true,
  packages: {
    '': { dependencies: { isarray: '2.0.5' } },
    'node_modules/isarray': {
      version: '2.0.5',
      integrity: 'sha512-xHjhDr3cNBK0BzdUJSPXZntQUx/mwMS5Rw4A7lPJ90XGAO6ISP/ePDNuo0vhqOZU+UD5JoodwCAAoZQd3FeAKw==',
    },
  },
});

export const requirements = 'iniconfig==2.0.0 --hash=sha256:b6a85871a79d2e3b22d2d1b94ac2824226a63c6b741c88f7ae975f18b6778374\n';

/** One small package without dependencies for each installer. */
export const npmList: DependencyList = {
  installer: 'npm',
  files: { 'package.json': npmManifest, 'package-lock.json': npmLock },
  packages: ['isarray@2.0.5'],
};

export const pipList: DependencyList = {
  installer: 'pip',
  files: { 'requirements.txt': requirements },
  packages: ['iniconfig@2.0.0'],
};

const questions = {
  npm: ['npm', ['view', 'isarray@2.0.5', 'version', '--fetch-retries=0', '--fetch-timeout=20000']],
  pip: ['python3', ['-m', 'pip', 'download', '--no-deps', '--retries=0', '--timeout=20', 'iniconfig==2.0.0']],
} as const;

/** Describes tests that need the registry of this machine's npm or pip; where it gave no answer they are skipped. CI has npm's, as it installs from it. */
type DescribeWithRegistry = (tests: () => void) => void;

/** Asks the registry. */
export async function askRegistry(installer: keyof typeof questions): Promise<DescribeWithRegistry> {
  const [program, argv] = questions[installer];
  const cwd = await mkdtemp(join(tmpdir(), 'atelier-registry-'));
  const isThere = await promisify(execFile)(program, argv, { cwd, timeout: 60_000 }).then(
    () => true,
    () => false,
  );
  await rm(cwd, { recursive: true });
  if (isThere || (installer === 'npm' && process.env['CI'] === 'true')) {
    return (tests) =>
      describe(`with a registry for ${installer}`, () => {
        tests();
      });
  }
  return () =>
    describe.skip(`${installer} reaches no registry here`, () => {
      test.todo('needs one');
    });
}

/** `askRegistry`, where it is asked for one group of tests. */
export async function whenRegistry(installer: keyof typeof questions, tests: () => void): Promise<void> {
  (await askRegistry(installer))(tests);
}
