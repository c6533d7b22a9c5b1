import type { Language } from '../domain/check-runs.ts';

/** How a language is linted, tested and run inside every sandbox; the programs named here are in runner/ (at `runnerFolder`). */
interface LanguageEntry {
  /** Lints the work folder with the exercise's own `config` file; writes a JSON lint report to descriptor 3. */
  readonly lint: (config: string) => readonly string[];
  /** Runs test files; writes a JUnit XML report to descriptor 3. */
  readonly test: (files: readonly string[]) => readonly string[];
  /** Runs one file of the work folder as a program. */
  readonly program: (file: string) => readonly string[];
}

/** Where runner/ is found inside a sandbox. */
export const runnerFolder = '/opt/atelier';

/** One entry per language: adding one touches this table and the runner only. */
export const languages: Readonly<Record<Language, LanguageEntry>> = {
  javascript: {
    lint: (config) => ['node', `${runnerFolder}/lint.mjs`, 'javascript', config],
    test: (files) => ['node', `${runnerFolder}/run-tests.mjs`, ...files],
    program: (file) => ['node', `./${file}`],
  },
  python: {
    lint: (config) => ['node', `${runnerFolder}/lint.mjs`, 'python', config],
    test: (files) => ['python3', `${runnerFolder}/run_tests.py`, ...files],
    program: (file) => ['python3', `./${file}`],
  },
};
