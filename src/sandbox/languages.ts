import type { Language } from '../domain/check-runs.ts';
import type { RunLimits } from '../domain/exercises.ts';
import type { Interpreter } from './sandbox.ts';

/** Where runner/ is found inside a sandbox. */
export const runnerFolder = '/opt/atelier';

/** What turns a program's files into something that runs. */
interface CompileStep {
  /** Run in the work folder; `entry` is the program's file there. */
  readonly argv: (entry: string) => readonly string[];
  /** The one file below /tmp that it makes; null where it only checks and the sources themselves are run. */
  readonly artifact: string | null;
  readonly limits: RunLimits;
}

/** How a language is checked and run inside every sandbox; the programs named here are in the runner image and in runner/. */
interface LanguageEntry {
  /** File of the work folder by which a program of this language is known. */
  readonly entryFile: string;
  /** Prints the tool's version, shown to students. */
  readonly version: readonly string[];
  /** Lints the work folder with the exercise's own configuration; writes a JSON lint report to descriptor 3. Null: no linter. */
  readonly lint: ((config: string | null) => readonly string[]) | null;
  /** Runs test files; writes a JUnit XML report to descriptor 3. Null: an exercise has to name its own command. */
  readonly test: ((files: readonly string[]) => readonly string[]) | null;
  readonly compile: CompileStep | null;
  /** Runs a program: its entry file, or the artifact of the compile step, both relative to the work folder. */
  readonly run: (program: string) => readonly string[];
  /** One that can boot before the job is there. */
  readonly interpreter: Interpreter | null;
  /** By how much a program may take longer than in C or C++, where an exercise takes several languages. */
  readonly timeFactor: number;
  /** What the language's own runtime takes of memory, beside the limit of the exercise. */
  readonly runtimeMemoryBytes: number;
}

const mebibyte = 1024 * 1024;

/** Compilers need more than what they make. */
const compileLimits: RunLimits = {
  cpuTimeMs: 30_000,
  wallTimeMs: 60_000,
  memoryBytes: 1024 * mebibyte,
  processes: 128,
  outputBytes: 64 * 1024,
  diskBytes: 256 * mebibyte,
  fileCount: 16_384,
};

const lint = (language: string) => (config: string | null) => [
  'node',
  `${runnerFolder}/lint.mjs`,
  language,
  ...(config === null ? [] : [config]),
];
const node = (file: string) => ['node', `./${file}`];
const compiled = (program: string) => [`./${program}`];

/** One entry per language: adding one touches this table and the runner only. */
export const languages = {
  javascript: {
    entryFile: 'main.js',
    version: ['node', '--version'],
    lint: lint('javascript'),
    test: (files) => ['node', `${runnerFolder}/run-tests.mjs`, ...files],
    compile: null,
    run: node,
    interpreter: 'node',
    timeFactor: 2,
    runtimeMemoryBytes: 64 * mebibyte,
  },
  typescript: {
    entryFile: 'main.ts',
    version: ['node', `${runnerFolder}/node_modules/typescript/bin/tsc`, '--version'],
    lint: lint('typescript'),
    test: (files) => ['node', `${runnerFolder}/run-tests.mjs`, ...files],
    compile: {
      argv: (entry) => ['node', `${runnerFolder}/check-types.mjs`, entry],
      artifact: null,
      limits: compileLimits,
    },
    run: node,
    interpreter: 'node',
    timeFactor: 2,
    runtimeMemoryBytes: 64 * mebibyte,
  },
  python: {
    entryFile: 'main.py',
    version: ['python3', '--version'],
    lint: lint('python'),
    test: (files) => ['python3', `${runnerFolder}/run_tests.py`, ...files],
    compile: null,
    run: (file) => ['python3', `./${file}`],
    interpreter: 'python',
    timeFactor: 5,
    runtimeMemoryBytes: 16 * mebibyte,
  },
  java: {
    entryFile: 'Main.java',
    version: ['javac', '--version'],
    lint: null,
    test: null,
    compile: {
      argv: (entry) => ['sh', `${runnerFolder}/compile-java.sh`, entry],
      artifact: 'program.jar',
      limits: compileLimits,
    },
    run: (program) => ['java', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xss64m', '-jar', program],
    interpreter: null,
    timeFactor: 2,
    runtimeMemoryBytes: 128 * mebibyte,
  },
  c: {
    entryFile: 'main.c',
    version: ['gcc', '-dumpfullversion'],
    lint: null,
    test: null,
    compile: {
      argv: (entry) => ['gcc', '-std=c17', '-O2', '-Wall', '-Wextra', '-o', '/tmp/program', entry, '-lm'],
      artifact: 'program',
      limits: compileLimits,
    },
    run: compiled,
    interpreter: null,
    timeFactor: 1,
    runtimeMemoryBytes: 0,
  },
  cpp: {
    entryFile: 'main.cpp',
    version: ['g++', '-dumpfullversion'],
    lint: null,
    test: null,
    compile: {
      argv: (entry) => ['g++', '-std=c++20', '-O2', '-Wall', '-Wextra', '-o', '/tmp/program', entry],
      artifact: 'program',
      limits: compileLimits,
    },
    run: compiled,
    interpreter: null,
    timeFactor: 1,
    runtimeMemoryBytes: 0,
  },
  go: {
    entryFile: 'main.go',
    version: ['go', 'version'],
    lint: null,
    test: null,
    compile: {
      argv: (entry) => [
        'env',
        'GOCACHE=/tmp/cache',
        'GOFLAGS=-mod=mod',
        'GO111MODULE=off',
        'go',
        'build',
        '-o',
        '/tmp/program',
        entry,
      ],
      artifact: 'program',
      limits: compileLimits,
    },
    run: compiled,
    interpreter: null,
    timeFactor: 1,
    runtimeMemoryBytes: 32 * mebibyte,
  },
  rust: {
    entryFile: 'main.rs',
    version: ['rustc', '--version'],
    lint: null,
    test: null,
    compile: {
      argv: (entry) => ['rustc', '--edition', '2021', '-O', '-o', '/tmp/program', entry],
      artifact: 'program',
      limits: compileLimits,
    },
    run: compiled,
    interpreter: null,
    timeFactor: 1,
    runtimeMemoryBytes: 0,
  },
} satisfies Readonly<Record<Language, LanguageEntry>>;
