/**
 * `node run-tests.mjs FILE...`: runs test files with Node's own runner, each in a process of its own, and writes JUnit XML to
 * descriptor 3; the readable report goes to standard output. Exit code 1 where anything failed.
 */
import { resolve } from 'node:path';
import { run } from 'node:test';
import { reportTests } from './junit.mjs';

const files = process.argv.slice(2).map((file) => resolve(file));
reportTests(run({ files, concurrency: false }), { files, descriptor: 3 });
