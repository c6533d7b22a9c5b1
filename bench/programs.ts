import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunLimits } from '../src/domain/exercises.ts';
import { languages } from '../src/sandbox/languages.ts';
import type { Interpreter, SandboxFile } from '../src/sandbox/sandbox.ts';

const mebibyte = 1024 * 1024;

/** Far above what the programs need: none of them is to be stopped. */
export const limits: RunLimits = {
  cpuTimeMs: 10_000,
  wallTimeMs: 30_000,
  memoryBytes: 256 * mebibyte,
  processes: 64,
  outputBytes: mebibyte,
  diskBytes: 64 * mebibyte,
  fileCount: 4096,
};

export const programNames = ['trivial', 'node', 'python'] as const;
export type ProgramName = (typeof programNames)[number];
export const suiteNames = ['javascriptSuite', 'pythonSuite'] as const;
export type SuiteName = (typeof suiteNames)[number];

/** Something to run, the same for all: every contender's output is compared, so that nobody wins by not running it. */
export interface Program {
  readonly name: ProgramName | SuiteName;
  /** Started in the folder that holds `files`. */
  readonly argv: readonly [string, ...string[]];
  readonly files: readonly SandboxFile[];
  /** Has to be somewhere in the standard output. */
  readonly output: RegExp;
  /** One that could boot before the job comes. */
  readonly interpreter: Interpreter | null;
  /** Writes a report to descriptor 3. */
  readonly hasReport: boolean;
}

function file(path: string, content: string): SandboxFile {
  return { path, content: Buffer.from(content) };
}

const exercises = join(import.meta.dirname, '../content/demo/exercises');

/** Files of an exercise's folder, as they lie in the work folder of a judging. */
function exerciseFiles(slug: string, folders: readonly string[]): SandboxFile[] {
  return folders.flatMap((folder) => {
    const root = join(exercises, slug, folder);
    return readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => ({ path: path.slice(root.length + 1), content: readFileSync(path) }));
  });
}

/** The demo exercises' own tests with their solutions: what a judging runs, lint apart. */
function suite(name: SuiteName, slug: string, argv: readonly string[], output: RegExp): Program {
  const files = new Map(
    exerciseFiles(slug, ['starter', 'tests/visible', 'tests/hidden', 'solution']).map((entry) => [entry.path, entry] as const),
  );
  const [program = '', ...args] = argv;
  return { name, argv: [program, ...args], files: [...files.values()], output, interpreter: null, hasReport: true };
}

export const programs: readonly Program[] = [
  { name: 'trivial', argv: ['true'], files: [], output: /^$/, interpreter: null, hasReport: false },
  {
    name: 'node',
    argv: ['node', './main.js'],
    files: [file('main.js', 'console.log([1, 2, 3].map((n) => n * n).join(" "));\n')],
    output: /^1 4 9\n$/,
    interpreter: 'node',
    hasReport: false,
  },
  {
    name: 'python',
    argv: ['python3', './main.py'],
    files: [file('main.py', 'print(*[n * n for n in (1, 2, 3)])\n')],
    output: /^1 4 9\n$/,
    interpreter: 'python',
    hasReport: false,
  },
];

export const suites: readonly Program[] = [
  suite(
    'javascriptSuite',
    'night-bus-board',
    languages.javascript.test(['test/board.test.js', 'test/board-rules.test.js']),
    /pass 16\b/,
  ),
  suite(
    'pythonSuite',
    'balcony-garden',
    languages.python.test(['test/test_garden.py', 'test/test_garden_rules.py']),
    // It reports to standard error and descriptor 3; that all passed is told by the exit code.
    /^/,
  ),
];
