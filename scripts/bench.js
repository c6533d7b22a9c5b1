#!/usr/bin/env node
/** `npm run bench -- …`: measures the sandboxes and the whole academy on this machine (docs/benchmark.md); `--help` lists the options. */
import { ensureInstalled, exitWith, runProgram } from './bootstrap.js';

await exitWith(async () => {
  await ensureInstalled({ whenInUse: 'reuse' });
  return runProgram('bench/main.ts', process.argv.slice(2), { use: 'npm run bench' });
});
