import { afterAll, describe, expect, test } from '@jest/globals';
import { type Language, languageNames } from '../../src/domain/check-runs.ts';
import { readLanguages } from '../../src/sandbox/language-versions.ts';
import { languages } from '../../src/sandbox/languages.ts';
import type { RunRequest, RunResult, Sandbox, SandboxFile } from '../../src/sandbox/sandbox.ts';
import { runner } from '../support/runner.ts';
import { isRequired, jobOf, limits, openReal, options } from './real-sandboxes.ts';

const mebibyte = 1024 * 1024;

interface Samples {
  /** Reads a name and greets it. */
  readonly greets: string;
  /** No compiler takes it. */
  readonly broken: string;
  readonly exitsWith3: string;
}

const samples: Readonly<Record<Language, Samples>> = {
  javascript: {
    greets: "console.log('hello', require('node:fs').readFileSync(0, 'utf8').trim());",
    broken: 'const = 1;',
    exitsWith3: 'process.exit(3);',
  },
  typescript: {
    greets: `import { readFileSync } from 'node:fs';
      const name: string = readFileSync(0, 'utf8').trim();
      console.log('hello', name);`,
    broken: "const count: number = 'one'; console.log(count);",
    exitsWith3: 'process.exit(3);',
  },
  python: { greets: "print('hello', input())", broken: 'def (:', exitsWith3: 'raise SystemExit(3)' },
  java: {
    greets: `package greetings;
      import java.util.Scanner;
      public class Main {
        public static void main(String[] args) {
          System.out.println("hello " + new Scanner(System.in).nextLine());
        }
      }`,
    broken: 'class Main { int count = "one"; }',
    exitsWith3: 'class Main { public static void main(String[] args) { System.exit(3); } }',
  },
  c: {
    greets: `#include <stdio.h>
      int main(void) { char name[100]; if (scanf("%99s", name) == 1) printf("hello %s\\n", name); }`,
    broken: 'int main(void) { return missing; }',
    exitsWith3: 'int main(void) { return 3; }',
  },
  cpp: {
    greets: `#include <iostream>
      #include <string>
      int main() { std::string name; std::cin >> name; std::cout << "hello " << name << std::endl; }`,
    broken: 'int main() { return missing; }',
    exitsWith3: 'int main() { return 3; }',
  },
  go: {
    greets: `package main
      import ("bufio"; "fmt"; "os")
      func main() { lines := bufio.NewScanner(os.Stdin); lines.Scan(); fmt.Println("hello", lines.Text()) }`,
    broken: 'package main\nfunc main() { missing() }',
    exitsWith3: 'package main\nimport "os"\nfunc main() { os.Exit(3) }',
  },
  rust: {
    greets: `fn main() {
        let mut name = String::new();
        std::io::stdin().read_line(&mut name).unwrap();
        println!("hello {}", name.trim());
      }`,
    broken: 'fn main() { missing() }',
    exitsWith3: 'fn main() { std::process::exit(3) }',
  },
};

async function runAlone(
  sandbox: Sandbox,
  files: readonly SandboxFile[],
  run: RunRequest,
  mayExecute: boolean,
): Promise<RunResult> {
  const [result] = await sandbox.run({ ...jobOf({}, [run]), files, mayExecute }, options());
  if (result === undefined) throw new Error('no result');
  return result;
}

/** Compiles in one sandbox and runs in another, as the judge does. Without `run` where the compiler refused. */
async function compileAndRun(
  sandbox: Sandbox,
  language: Language,
  source: string,
): Promise<{ readonly compiled: RunResult | null; readonly run: RunResult | null }> {
  const { entryFile, compile, run, mayExecute, interpreter, runtimeMemoryBytes } = languages[language];
  const sources = [{ path: entryFile, content: Buffer.from(source) }];
  let program: SandboxFile = { path: entryFile, content: Buffer.from(source) };
  let compiled: RunResult | null = null;
  if (compile !== null) {
    const { argv, artifact, limits: compilerLimits } = compile;
    const keep = artifact === null ? {} : { artifact: { path: artifact, maxBytes: 16 * mebibyte } };
    const request = { name: 'compile', argv: argv(entryFile), limits: compilerLimits, ...keep };
    compiled = await runAlone(sandbox, sources, request, false);
    if (compiled.exitCode !== 0) return { compiled, run: null };
    if (artifact !== null) {
      program = { path: artifact, content: compiled.artifact ?? Buffer.from(''), isExecutable: mayExecute };
    }
  }
  const request = {
    name: 'program',
    argv: run(program.path, limits.memoryBytes),
    limits: { ...limits, memoryBytes: limits.memoryBytes + runtimeMemoryBytes },
    stdin: Buffer.from('Ada\n'),
    ...(interpreter === null ? {} : { interpreter }),
  };
  return { compiled, run: await runAlone(sandbox, [program], request, mayExecute) };
}

const output = ({ stdout, stderr }: RunResult): string => `${stdout.toString()}${stderr.toString()}`;

for (const kind of ['docker', 'bubblewrap'] as const) {
  const { sandbox: opened, reason } = await openReal(kind);
  const sandbox = opened as Sandbox;
  const describeKind = opened !== null || isRequired ? describe : describe.skip;
  const versions: Sandbox['languages'] = opened?.languages ?? new Map();

  describeKind(`${kind}: ${reason}`, () => {
    afterAll(() => opened?.close());

    // Bubblewrap has what the machine has; the tests that come with it take Python.
    const expected = kind === 'docker' ? runner.languages : (['javascript', 'typescript', 'python'] as const);
    test(`offers ${expected.join(', ')}, each with a version`, () => {
      for (const name of expected) expect([name, versions.get(name)]).toEqual([name, expect.stringMatching(/\d+\.\d+/)]);
    });

    for (const language of languageNames) {
      const version = versions.get(language);
      const testLanguage = version === undefined ? test.skip : test;
      const title = version ?? `${language} is not in this sandbox`;

      testLanguage(
        `${title}: a program reads its input and writes its output`,
        async () => {
          const { compiled, run } = await compileAndRun(sandbox, language, samples[language].greets);
          expect(compiled === null ? '' : output(compiled)).toBe('');
          expect(run).toMatchObject({ status: 'exited', exitCode: 0 });
          expect(run?.stdout.toString()).toBe('hello Ada\n');
        },
        120_000,
      );

      testLanguage(
        `${title}: what cannot be compiled is refused, with the reason`,
        async () => {
          const { compiled, run } = await compileAndRun(sandbox, language, samples[language].broken);
          const refusal = languages[language].compile === null ? run : compiled;
          expect(refusal).toMatchObject({ status: 'exited' });
          expect(refusal?.exitCode).not.toBe(0);
          expect(refusal === null ? '' : output(refusal)).toContain(languages[language].entryFile);
          if (languages[language].compile !== null) expect(run).toBeNull();
        },
        120_000,
      );

      testLanguage(
        `${title}: the exit code is the program's own`,
        async () => {
          const { run } = await compileAndRun(sandbox, language, samples[language].exitsWith3);
          expect(run).toMatchObject({ status: 'exited', exitCode: 3 });
        },
        120_000,
      );
    }

    const hoarders = {
      javascript: 'const kept = []; for (;;) kept.push(new Array(1000).fill(kept.length + 0.5));',
      java: `import java.util.ArrayList;
        class Main {
          public static void main(String[] args) {
            var kept = new ArrayList<byte[]>();
            while (true) kept.add(new byte[1 << 20]);
          }
        }`,
    } as const;
    for (const language of ['javascript', 'java'] as const) {
      (versions.has(language) ? test : test.skip)(
        `${language}: a full heap is the memory limit`,
        async () => {
          const { run } = await compileAndRun(sandbox, language, hoarders[language]);
          expect(run).toMatchObject({ status: 'memory-limit' });
        },
        120_000,
      );
    }

    test("TypeScript: what Node cannot run is refused, whatever the student's configuration says", async () => {
      const files = {
        'main.ts': 'enum Colour { Red }\nconsole.log(Colour.Red);',
        'tsconfig.json': '{"compilerOptions":{"erasableSyntaxOnly":false,"noCheck":true}}',
      };
      const { compile } = languages.typescript;
      const job = jobOf(files, [{ name: 'compile', argv: compile.argv('main.ts'), limits: compile.limits }]);
      const [result] = await sandbox.run(job, options());
      expect(result?.exitCode).toBe(1);
      expect(result?.stdout.toString()).toContain('main.ts(1,6): error TS1294');
    });
  });
}

describe('versions', () => {
  const answer = (name: string, exitCode: number, stdout: string): RunResult => ({
    name,
    status: 'exited',
    exitCode,
    signal: null,
    wallTimeMs: 1,
    cpuTimeMs: 1,
    memoryPeakBytes: 0,
    stdout: Buffer.from(stdout),
    stderr: Buffer.from('not found'),
    report: null,
    artifact: null,
    hitProcessLimit: false,
  });

  test('a tool that does not answer is no language; of one that does, the first line counts', async () => {
    const found = await readLanguages({
      run: ({ runs }) =>
        Promise.resolve(
          runs.map(({ name }) => answer(name, name === 'rust' ? 127 : 0, name === 'go' ? '' : `${name} 1.2\nmore\n`)),
        ),
    });
    const others = languageNames.filter((name) => name !== 'rust' && name !== 'go');
    expect([...found]).toEqual(others.map((name) => [name, `${name} 1.2`]));
  });

  test('a sandbox in which Node does not run is of no use', async () => {
    const probing = readLanguages({ run: ({ runs }) => Promise.resolve(runs.map(({ name }) => answer(name, 127, ''))) });
    await expect(probing).rejects.toThrow('javascript does not run: exited not found');
  });
});
