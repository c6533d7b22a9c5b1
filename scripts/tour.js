#!/usr/bin/env node
/** `npm run tour`: runs the blocks of docs/tour.md as they stand, against the academy at ORIGIN (http://127.0.0.1:3000). */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const text = await readFile(join(root, 'docs/tour.md'), 'utf8');
const blocks = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block);
// Each command is shown before it runs; the first that fails ends the tour.
const script = ['set -euo pipefail', 'set -v', ...blocks].join('\n');
const child = spawn('bash', ['-s'], { cwd: root, stdio: ['pipe', 'inherit', 'inherit'] });
child.stdin.end(script);
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
