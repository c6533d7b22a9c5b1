import type { Language } from '../domain/check-runs.ts';
import type { RunLimits } from '../domain/exercises.ts';
import type { Interpreter } from './sandbox.ts';

/** Where runner/ is found inside a sandbox. */
export const runnerFolder = '/opt/atelier';

/** What turns a program's files into something that runs. */
interface CompileStep {
  /** Run in the work folder; `entry` is the program's file there. Exit code 0: it runs. What it says is for the student. */
  readonly argv: (entry: string) => readonly string[];
  /** The one file below /tmp that it makes; null where it only checks and the sources themselves are run. */
  readonly artifact: string | null;
  readonly limits: RunLimits;
}

/** How a language is checked and run inside every sandbox; the programs named here are in the runner image and in runner/. */
interface LanguageEntry {
  /** File of the work folder by which a program of this language is known. */
  readonly entryFile: string;
  /** Debian's packages that bring its tools into the runner image; Node and the TypeScript compiler come with Atelier. */
  readonly packages: readonly string[];
  /** Exits with 0 where its tools work; the first line that it prints is their version, shown to students. */
  readonly version: readonly string[];
  /**
   * Lints the work folder with the exercise's own configuration, and the files that a list of the work folder names with ours; writes
   * a line of JSON for each to descriptor 3 (runner/lint.mjs). Null: no linter.
   */
  readonly lint: ((config: string | null, scored?: string) => readonly string[]) | null;
  /** Runs test files; writes a JUnit XML report to descriptor 3. Null: an exercise has to name its own command. */
  readonly test: ((files: readonly string[]) => readonly string[]) | null;
  readonly compile: CompileStep | null;
  /**
   * Runs a program: its entry file, or the artifact of the compile step, both relative to the work folder. `memoryBytes` is what the
   * exercise gives the program, without `runtimeMemoryBytes`.
   */
  readonly run: (program: string, memoryBytes: number) => readonly string[];
  /** The artifact is executed itself: the job of its runs needs `mayExecute`, the one that makes it does not. */
  readonly mayExecute: boolean;
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

const lint = (language: string) => (config: string | null, scored?: string) => [
  'node',
  `${runnerFolder}/lint.mjs`,
  language,
  ...(config === null ? [] : ['--config', config]),
  ...(scored === undefined ? [] : ['--scored', scored]),
];
const script =
  (interpreter: string): LanguageEntry['run'] =>
  (file) => [interpreter, `./${file}`];
const compiled: LanguageEntry['run'] = (program) => [`./${program}`];
const compilingTo = (artifact: string, argv: (entry: string) => readonly string[]) => ({ argv, artifact, limits: compileLimits });
/** A compiler may be installed without the headers that every program needs. */
const compilerVersion = (compiler: string, header: string) => [
  'sh',
  '-c',
  `echo '#include <${header}>' | ${compiler} -E - >/dev/null && ${compiler.split(' ')[0]} --version`,
];

/** One entry per language: adding one touches this table and the runner only. */
export const languages = {
  javascript: {
    entryFile: 'main.js',
    packages: [],
    version: ['node', '-p', '`Node.js ${process.version.slice(1)}`'],
    lint: lint('javascript'),
    test: (files) => ['node', `${runnerFolder}/run-tests.mjs`, ...files],
    compile: null,
    run: script('node'),
    mayExecute: false,
    interpreter: 'node',
    timeFactor: 2,
    runtimeMemoryBytes: 64 * mebibyte,
  },
  typescript: {
    entryFile: 'main.ts',
    packages: [],
    version: ['node', `${runnerFolder}/check-types.mjs`, '--version'],
    lint: lint('typescript'),
    test: (files) => ['node', `${runnerFolder}/run-tests.mjs`, ...files],
    compile: { argv: (entry) => ['node', `${runnerFolder}/check-types.mjs`, entry], artifact: null, limits: compileLimits },
    run: script('node'),
    mayExecute: false,
    interpreter: 'node',
    timeFactor: 2,
    runtimeMemoryBytes: 64 * mebibyte,
  },
  python: {
    entryFile: 'main.py',
    packages: ['python3'],
    version: ['python3', '--version'],
    lint: lint('python'),
    test: (files) => ['python3', `${runnerFolder}/run_tests.py`, ...files],
    compile: null,
    run: script('python3'),
    mayExecute: false,
    interpreter: 'python',
    timeFactor: 5,
    runtimeMemoryBytes: 16 * mebibyte,
  },
  java: {
    entryFile: 'Main.java',
    packages: ['default-jdk-headless'],
    version: ['javac', '-J-XX:+UseSerialGC', '-J-XX:TieredStopAtLevel=1', '--version'],
    lint: null,
    test: null,
    compile: compilingTo('program.jar', (entry) => ['sh', `${runnerFolder}/compile-java.sh`, entry]),
    // A heap of what the exercise gives, whatever memory the machine has, collected and compiled for short lives. A full heap is one
    // error among others to Java: `tail` then reads without an end, until the sandbox sees that the memory is used up.
    run: (program, memoryBytes) => [
      'java',
      `-Xmx${Math.floor(memoryBytes / 1024)}k`,
      '-Xss64m',
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      '-XX:-UsePerfData',
      '-XX:OnOutOfMemoryError=tail /dev/zero',
      '-jar',
      program,
    ],
    mayExecute: false,
    interpreter: null,
    timeFactor: 2,
    runtimeMemoryBytes: 128 * mebibyte,
  },
  c: {
    entryFile: 'main.c',
    packages: ['gcc', 'libc6-dev'],
    version: compilerVersion('gcc -x c', 'stdio.h'),
    lint: null,
    test: null,
    compile: compilingTo('program', (entry) => [
      'gcc',
      '-std=c17',
      '-O2',
      '-Wall',
      '-Wextra',
      '-o',
      '/tmp/program',
      entry,
      '-lm',
    ]),
    run: compiled,
    mayExecute: true,
    interpreter: null,
    timeFactor: 1,
    runtimeMemoryBytes: 0,
  },
  cpp: {
    entryFile: 'main.cpp',
    packages: ['g++'],
    version: compilerVersion('g++ -x c++', 'iostream'),
    lint: null,
    test: null,
    compile: compilingTo('program', (entry) => ['g++', '-std=c++20', '-O2', '-Wall', '-Wextra', '-o', '/tmp/program', entry]),
    run: compiled,
    mayExecute: true,
    interpreter: null,
    timeFactor: 1,
    runtimeMemoryBytes: 0,
  },
  go: {
    entryFile: 'main.go',
    packages: ['golang-go'],
    version: ['sh', `${runnerFolder}/compile-go.sh`, '--version'],
    lint: null,
    test: null,
    compile: compilingTo('program', (entry) => ['sh', `${runnerFolder}/compile-go.sh`, entry]),
    run: compiled,
    mayExecute: true,
    interpreter: null,
    timeFactor: 1,
    runtimeMemoryBytes: 32 * mebibyte,
  },
  rust: {
    entryFile: 'main.rs',
    packages: ['rustc', 'gcc', 'libc6-dev'],
    // It links with the C compiler's help.
    version: ['sh', '-c', 'command -v cc >/dev/null && rustc --version'],
    lint: null,
    test: null,
    compile: compilingTo('program', (entry) => [
      'rustc',
      '--edition',
      '2021',
      '-O',
      '-C',
      'strip=symbols',
      '-o',
      '/tmp/program',
      entry,
    ]),
    run: compiled,
    mayExecute: true,
    interpreter: null,
    timeFactor: 1,
    runtimeMemoryBytes: 0,
  },
} satisfies Readonly<Record<Language, LanguageEntry>>;
