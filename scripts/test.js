#!/usr/bin/env node
/** `npm test`: installs what is missing, then runs all tests against parts of their own (scripts/run-tests.ts); arguments go to jest. */
import { ensureInstalled, exitWith, runProgram } from './bootstrap.js';

await exitWith(async () => {
  const args = process.argv.slice(2);
  const noInstall = args.includes('--no-install');
  const env = { ...process.env, ...(noInstall ? { ATELIER_INSTALL: 'no' } : {}) };
  await ensureInstalled();
  const jestArgs = args.filter((arg) => arg !== '--no-install');
  return runProgram('scripts/run-tests.ts', jestArgs, { env, use: 'npm test' });
});
