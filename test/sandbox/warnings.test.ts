import { afterAll, describe, expect, test } from '@jest/globals';
import type { Language } from '../../src/domain/check-runs.ts';
import { defaultRubric, type ProgramRevision } from '../../src/domain/exercises.ts';
import { scoreOf } from '../../src/domain/score.ts';
import { analyse } from '../../src/sandbox/analysis.ts';
import { judge } from '../../src/sandbox/judge.ts';
import { languages, runnerFolder } from '../../src/sandbox/languages.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { isRequired, jobOf, limits, openReal, options } from './real-sandboxes.ts';

interface Doubtful {
  /** Prints `done`, and does on line 4 what its compiler takes and warns of. */
  readonly source: string;
  readonly warning: string;
}

const samples: Readonly<Record<'java' | 'c' | 'cpp' | 'go' | 'rust', Doubtful>> = {
  java: {
    source: `// Says that it is done.
public class Main {
  public static void main(String[] args) {
    java.util.List<String> names = new java.util.ArrayList();
    System.out.println("done" + (names.isEmpty() ? "" : "!"));
  }
}
`,
    warning: 'found raw type: ArrayList',
  },
  c: {
    source: `// Says that it is done.
#include <stdio.h>
int main(void) {
  int unused = 1;
  puts("done");
}
`,
    warning: 'unused variable ‘unused’ (-Wunused-variable)',
  },
  cpp: {
    source: `// Says that it is done.
#include <iostream>
int main() {
  int unused = 1;
  std::cout << "done\\n";
}
`,
    warning: 'unused variable ‘unused’ (-Wunused-variable)',
  },
  go: {
    source: `// Says that it is done.
package main; import "fmt"
func main() {
	fmt.Sprintf("%d", "one")
	fmt.Println("done")
}
`,
    warning: 'fmt.Sprintf format %d has arg "one" of wrong type string',
  },
  rust: {
    source: `// Says that it is done.

fn main() {
    let unused = 1;
    println!("done");
}
`,
    warning: 'unused variable: `unused`',
  },
};

const revisionIn = (language: Language): ProgramRevision => ({
  language,
  checks: {
    kind: 'program',
    languages: [language],
    comparison: { mode: 'tokens', isCaseSensitive: true },
    groups: [{ name: 'all', isVisible: true, points: 10, scoring: 'each', cases: [{ name: 'one', hint: '' }] }],
    lintConfig: null,
    limits,
    rubric: defaultRubric,
    passPercent: null,
  },
  files: [
    { role: 'visible-test', path: 'cases/all/one.in', content: '' },
    { role: 'visible-test', path: 'cases/all/one.out', content: 'done\n' },
  ],
});

for (const kind of ['docker', 'bubblewrap'] as const) {
  const { sandbox: opened, reason } = await openReal(kind);
  const sandbox = opened as Sandbox;

  (opened !== null || isRequired ? describe : describe.skip)(`${kind}: ${reason}`, () => {
    afterAll(() => opened?.close());

    for (const language of Object.keys(samples) as (keyof typeof samples)[]) {
      const version = opened?.languages.get(language);
      (version === undefined ? test.skip : test)(
        `${version ?? `${language} is not in this sandbox`}: a warning is shown to the student, and costs quality where it is`,
        async () => {
          const { source, warning } = samples[language];
          const revision = revisionIn(language);
          const file = languages[language].entryFile;
          const submitted = [{ path: file, content: Buffer.from(source) }];
          const bench = { sandbox, label: jobOf({}, []).label, ...options() };
          const judged = await judge(revision, submitted, { ...bench, isScored: true });
          expect(judged.checks).toMatchObject({ verdict: 'accepted', compilerOutput: expect.stringContaining(`${file}:4:`) });
          const analysis = analyse(revision, submitted, judged);
          const performance = { unmeasured: 'left-out', reason: '' } as const;
          const { losses } = scoreOf({ rubric: defaultRubric, ...analysis, performance }).parts.quality;
          expect(losses).toContainEqual({ points: 2, file, line: 4, message: expect.stringContaining(warning) });
        },
        120_000,
      );
    }

    // Go's own vet does neither on demand: a program of that name stands in for Go.
    test.each([
      ['fails', 'exit 2'],
      ['does not end', 'exec sleep 1000'],
    ])(
      'go: a vet that %s leaves the program as it is, and only its findings are shown',
      async (_title, end) => {
        const go = `#!/bin/sh
        case $1 in
          build) echo made >/tmp/program ;;
          vet)
            echo '# command-line-arguments'
            echo './main.go:10:2: second'
            echo './main.go:9:2: first'
            echo 'panic: vet has a fault'
            ${end} ;;
        esac`;
        const artifact = { path: 'program', maxBytes: 100 };
        const argv = ['sh', '-c', `PATH=$PWD:$PATH sh ${runnerFolder}/compile-go.sh main.go`];
        const { runs, ...job } = jobOf({}, [{ name: 'compile', argv, limits, artifact }]);
        const files = [{ path: 'go', content: Buffer.from(go), isExecutable: true }];
        const [compiled] = await sandbox.run({ ...job, runs, files, mayExecute: true }, options());
        expect(compiled).toMatchObject({ status: 'exited', exitCode: 0 });
        expect(compiled?.artifact?.toString()).toBe('made\n');
        expect(`${compiled?.stdout.toString()}${compiled?.stderr.toString()}`).toBe(
          './main.go:9:2: first\n./main.go:10:2: second\n',
        );
      },
      60_000,
    );
  });
}
