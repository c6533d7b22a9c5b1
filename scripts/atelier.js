#!/usr/bin/env node
/** `npm run atelier -- …`: what an administrator does from the command line; `--help` lists it. */
import { ensureInstalled, exitWith, runProgram } from './bootstrap.js';

await exitWith(async () => {
  await ensureInstalled({ whenInUse: 'reuse' });
  return runProgram('src/command-line.ts', process.argv.slice(2));
});
