import { afterAll, describe, expect, test } from '@jest/globals';
import {
  type Comparison,
  defaultRubric,
  type ProgramChecks,
  type ProgramRevision,
  type RevisionFile,
  type TestCaseGroup,
} from '../../src/domain/exercises.ts';
import type { Judged, JudgingBench } from '../../src/sandbox/judge.ts';
import { judge } from '../../src/sandbox/judge.ts';
import { languages } from '../../src/sandbox/languages.ts';
import { type RunOptions, type RunResult, type Sandbox, SandboxError, type SandboxJob } from '../../src/sandbox/sandbox.ts';
import { isRequired, jobOf, limits, openReal, options } from './real-sandboxes.ts';

const mebibyte = 1024 * 1024;
const tokens: Comparison = { mode: 'tokens', isCaseSensitive: true };

interface Group extends Partial<Omit<TestCaseGroup, 'cases'>> {
  /** By name: input, expected output, hint. */
  readonly cases: Readonly<Record<string, readonly [input: string, answer: string, hint?: string]>>;
}

/** An exercise whose program doubles numbers, unless a test says otherwise. */
function programRevision(
  groups: Readonly<Record<string, Group>>,
  changed: Partial<ProgramChecks> & { readonly files?: readonly RevisionFile[] } = {},
): ProgramRevision {
  const { files = [], ...checks } = changed;
  const entries = Object.entries(groups);
  return {
    language: 'python',
    checks: {
      kind: 'program',
      languages: ['python'],
      comparison: tokens,
      groups: entries.map(([name, { cases, ...group }]) => ({
        name,
        isVisible: false,
        points: 10,
        scoring: 'each',
        ...group,
        cases: Object.entries(cases).map(([caseName, [, , hint = '']]) => ({ name: caseName, hint })),
      })),
      lintConfig: null,
      limits: { ...limits, cpuTimeMs: 2000, wallTimeMs: 10_000, memoryBytes: 64 * mebibyte },
      rubric: defaultRubric,
      passPercent: null,
      ...checks,
    },
    files: [
      ...files,
      ...entries.flatMap(([group, { isVisible = false, cases }]) =>
        Object.entries(cases).flatMap(([name, [input, answer]]): RevisionFile[] => {
          const role = isVisible ? 'visible-test' : 'hidden-test';
          return [
            { role, path: `cases/${group}/${name}.in`, content: input },
            { role, path: `cases/${group}/${name}.out`, content: answer },
          ];
        }),
      ),
    ],
  };
}

const doubling = programRevision({
  samples: { isVisible: true, points: 20, cases: { one: ['1\n', '2\n'], two: ['2\n', '4\n'] } },
  small: {
    points: 30,
    scoring: 'all',
    cases: { three: ['3\n', '6\n'], four: ['4\n', '8\n', 'Mind the even ones.'], five: ['5\n', '10\n'] },
  },
  large: { points: 51, cases: { six: ['600\n', '1200\n'], seven: ['700\n', '1400\n'] } },
});

const submit = (files: Readonly<Record<string, string>>) =>
  Object.entries(files).map(([path, content]) => ({ path, content: Buffer.from(content) }));

const judgeIn = (
  sandbox: Sandbox,
  revision: ProgramRevision,
  files: Readonly<Record<string, string>>,
  bench: Partial<JudgingBench> = {},
): Promise<Judged> => judge(revision, submit(files), { sandbox, label: jobOf({}, []).label, ...options(), ...bench });

const verdictsOf = ({ checks }: Judged) => checks.tests.map(({ verdict, outcome }) => verdict ?? outcome);

/** Notes what the sandbox is asked to do. */
class NotingSandbox implements Sandbox {
  readonly jobs: SandboxJob[] = [];
  readonly #sandbox: Sandbox;

  constructor(sandbox: Sandbox) {
    this.#sandbox = sandbox;
  }

  get kind() {
    return this.#sandbox.kind;
  }

  get identity() {
    return this.#sandbox.identity;
  }

  get languages() {
    return this.#sandbox.languages;
  }

  run(job: SandboxJob, runOptions: RunOptions): Promise<readonly RunResult[]> {
    this.jobs.push(job);
    return this.#sandbox.run(job, runOptions);
  }

  reap(now: Date): Promise<number> {
    return this.#sandbox.reap(now);
  }

  close(): Promise<void> {
    return this.#sandbox.close();
  }
}

const python = { right: 'print(int(input()) * 2)' };

const real = [await openReal('docker'), await openReal('bubblewrap')];

describe.each(real)('$kind', ({ kind, sandbox: opened, reason }) => {
  if (opened === null) {
    const whenMissing = isRequired ? describe : describe.skip;
    whenMissing(`not usable: ${reason}`, () => {
      test('required in CI', () => {
        expect(kind).toBe('usable');
      });
    });
    return;
  }
  const open = () => new NotingSandbox(opened);
  afterAll(() => opened.close());

  test('a right program has all points', async () => {
    const judged = await judgeIn(open(), doubling, { 'main.py': python.right });
    expect(judged.checks).toMatchObject({
      verdict: 'accepted',
      points: 101,
      maxPoints: 101,
      compilerOutput: null,
      testsShareProcess: false,
      language: 'python',
    });
    expect(
      judged.checks.tests.map(({ group, suite, name, points, maxPoints }) => [group, suite, name, points, maxPoints]),
    ).toEqual([
      ['samples', 'visible', 'one', 10, 10],
      ['samples', 'visible', 'two', 10, 10],
      ['small', 'hidden', 'three', 10, 10],
      ['small', 'hidden', 'four', 10, 10],
      ['small', 'hidden', 'five', 10, 10],
      ['large', 'hidden', 'six', 26, 26],
      ['large', 'hidden', 'seven', 25, 25],
    ]);
    expect(judged.checks.tests.every(({ cpuTimeMs, memoryPeakBytes }) => cpuTimeMs !== null && (memoryPeakBytes ?? 0) > 0)).toBe(
      true,
    );
    expect(judged.runs.map(({ name }) => name)).toEqual([
      'lint',
      ...Array.from({ length: 7 }, (_, index) => `case ${index + 1}`),
    ]);
  });

  test('one that fails some cases has the points of the others, and the verdict of the first that failed', async () => {
    const odd = 'n = int(input())\nprint(n * 2 if n % 2 or n > 5 else n)';
    const { checks } = await judgeIn(open(), doubling, { 'main.py': odd });
    expect(checks).toMatchObject({ verdict: 'wrong-answer', points: 10 + 0 + 51 });
    expect(verdictsOf({ checks, runs: [] })).toEqual([
      'accepted',
      'wrong-answer',
      'accepted',
      'wrong-answer',
      'skipped',
      'accepted',
      'accepted',
    ]);
    const [, sample, , hidden, skipped] = checks.tests;
    expect(sample).toMatchObject({ message: 'word 1 (line 1): expected "4", found "2"', diff: '-4\n+2\n ', hint: '' });
    // Of a hidden case there is the author's hint, and nothing of the test.
    expect(hidden).toMatchObject({ message: '', diff: null, hint: 'Mind the even ones.' });
    expect(skipped).toMatchObject({ outcome: 'skipped', verdict: null, points: 0, maxPoints: 10, hint: '' });
  });

  test('enough of the points may be enough', async () => {
    const small = { ...doubling, checks: { ...doubling.checks, passPercent: 30 } };
    const program = { 'main.py': 'n = int(input())\nprint(n * 2 if n < 5 else 0)' };
    expect((await judgeIn(open(), small, program)).checks).toMatchObject({ verdict: 'wrong-answer', points: 20 });
    const both = { ...doubling, checks: { ...doubling.checks, passPercent: 19 } };
    expect((await judgeIn(open(), both, program)).checks).toMatchObject({ verdict: 'accepted', points: 20 });
  });

  test('each way to fail has its verdict; what was written to standard error helps where the case is visible', async () => {
    const program = `
import os, sys, time
way = input()
if way == 'wrong': print(1)
if way == 'time': 
    while True: pass
if way == 'wall': time.sleep(100)
if way == 'memory':
    hog = []
    while True: hog.append(bytearray(1 << 20))
if way == 'output':
    while True: print('x' * 1000)
if way == 'exit': 
    print('42')
    sys.exit(3)
if way == 'raise': 
    print('42')
    raise ValueError('no such way')
if way == 'signal': os.abort()
if way == 'early':
    sys.stdout.flush()
    os._exit(0)
print(42)
`;
    const ways = ['right', 'wrong', 'time', 'wall', 'memory', 'output', 'exit', 'raise', 'signal', 'early'];
    const cases = Object.fromEntries(ways.map((way) => [way, [way, '42'] as const]));
    const revision = programRevision({ shown: { isVisible: true, cases }, hidden: { cases: { raise: ['raise', '42'] } } });
    const short = { ...revision.checks.limits, cpuTimeMs: 700, wallTimeMs: 2500 };
    const judged = await judgeIn(open(), { ...revision, checks: { ...revision.checks, limits: short } }, { 'main.py': program });
    expect(judged.checks.verdict).toBe('wrong-answer');
    expect(Object.fromEntries(judged.checks.tests.slice(0, ways.length).map(({ name, verdict }) => [name, verdict]))).toEqual({
      right: 'accepted',
      wrong: 'wrong-answer',
      time: 'time-limit',
      wall: 'time-limit',
      memory: 'memory-limit',
      output: 'output-limit',
      exit: 'run-error',
      raise: 'run-error',
      signal: 'run-error',
      early: 'wrong-answer',
    });
    const byName = new Map(judged.checks.tests.map((result) => [`${result.suite} ${result.name}`, result]));
    expect(byName.get('visible exit')?.message).toBe('ended with exit code 3');
    expect(byName.get('visible signal')?.message).toMatch(/^ended by SIGABRT/);
    expect(byName.get('visible raise')?.message).toContain('ValueError: no such way');
    expect(byName.get('hidden raise')).toMatchObject({ verdict: 'run-error', message: '' });
  });

  test('an output of any bytes is shown and stored as text', async () => {
    const revision = programRevision({ shown: { isVisible: true, cases: { a: ['', '42'] } } });
    const program = 'import sys\nsys.stdout.buffer.write(bytes(range(256)) * 200)';
    const { checks } = await judgeIn(open(), revision, { 'main.py': program });
    expect(checks.tests[0]).toMatchObject({ verdict: 'wrong-answer', message: 'the output is not UTF-8 text' });
    expect(checks.tests[0]?.diff).toMatch(/^-42\n\+/);
    expect(checks.tests[0]?.diff).not.toContain('\0');
  });

  test('who reaches the process limit is told, also where the case is hidden', async () => {
    const program = `
import subprocess, time
try:
    for _ in range(200): subprocess.Popen(['sleep', '5'])
except OSError:
    # Without a cgroup the agent has to see them.
    time.sleep(0.3)
    print('no more')
`;
    const revision = programRevision({ a: { cases: { one: ['', 'all', 'Start fewer.'] } } });
    const { checks } = await judgeIn(open(), revision, { 'main.py': program });
    expect(checks.tests).toMatchObject([{ verdict: 'wrong-answer', hint: 'Start fewer.; the process limit was reached' }]);
  });

  (opened.languages.has('c') ? describe : describe.skip)('a compiled language', () => {
    const inC = { ...doubling, language: 'c' as const, checks: { ...doubling.checks, languages: ['c' as const] } };
    const right = '#include <stdio.h>\nint main(void) { int n; if (scanf("%d", &n) == 1) printf("%d\\n", n * 2); }';

    test('is compiled where the program does not run, and run where its sources are not', async () => {
      const sandbox = open();
      const { checks, runs } = await judgeIn(sandbox, inC, { 'main.c': right });
      expect(checks).toMatchObject({ verdict: 'accepted', points: 101, language: 'c', compilerOutput: '' });
      expect(runs.map(({ name }) => name)).toEqual(['compile', ...Array.from({ length: 7 }, (_, index) => `case ${index + 1}`)]);
      expect(sandbox.jobs.map((job) => job.files.map(({ path }) => path))).toEqual([['main.c'], ['program']]);
    });

    test('that does not compile has no tests to speak of, and says why', async () => {
      const sandbox = open();
      const { checks } = await judgeIn(sandbox, inC, { 'main.c': 'int main(void) { return nothing; }' });
      expect(checks).toMatchObject({
        verdict: 'compile-error',
        points: 0,
        maxPoints: 101,
        compilerOutput: expect.stringContaining('nothing'),
      });
      expect(verdictsOf({ checks, runs: [] })).toEqual(Array.from({ length: 7 }, () => 'skipped'));
      expect(sandbox.jobs).toHaveLength(1);
    });

    test('a compiler that is kept busy is stopped: the fault of the program', async () => {
      const { checks } = await judgeIn(open(), inC, { 'main.c': '#include "/dev/zero"' });
      expect(checks.verdict).toBe('compile-error');
    });

    test('ends by the signal that ended it', async () => {
      const { checks } = await judgeIn(open(), inC, { 'main.c': 'int main(void) { volatile int *p = 0; return *p; }' });
      expect(checks.tests[0]).toMatchObject({ verdict: 'run-error', message: 'ended by SIGSEGV' });
    });
  });

  test('cases start anew: nothing that one leaves is there for the next', async () => {
    const program = `
import os, subprocess
left = [f for d in ('/tmp', '/dev/shm', '.') for f in os.listdir(d) if f.startswith('note')]
print('left' if left else 'clean')
for path in ('/tmp/note', '/dev/shm/note', 'note'):
    try: open(path, 'w').write('x')
    except OSError: pass
subprocess.Popen(['sleep', '100'], start_new_session=True, stdout=subprocess.DEVNULL)
`;
    const revision = programRevision({
      a: { cases: { one: ['', 'clean'], two: ['', 'clean'] } },
      b: { cases: { three: ['', 'clean'] } },
    });
    const sandbox = open();
    expect((await judgeIn(sandbox, revision, { 'main.py': program })).checks.verdict).toBe('accepted');
    expect(sandbox.jobs).toHaveLength(1);
  });

  test('cases may be split over several sandboxes, where there are many', async () => {
    const numbers = Array.from({ length: 25 }, (_, index) => index);
    const many = programRevision({
      all: { points: 25, cases: Object.fromEntries(numbers.map((n) => [`c${n}`, [`${n}`, `${n * 2}`]])) },
    });
    const sandbox = open();
    const judged = await judgeIn(sandbox, many, { 'main.py': python.right }, { parallel: 9 });
    expect(judged.checks).toMatchObject({ verdict: 'accepted', points: 25 });
    // The first has the linter's run, too.
    expect(sandbox.jobs.map(({ runs }) => runs.length).toSorted((left, right) => left - right)).toEqual([7, 9, 10]);
  });

  test('is told run by run: lint, then each group', async () => {
    const started: string[] = [];
    await judgeIn(open(), doubling, { 'main.py': python.right }, { onRunStart: (name) => started.push(name) });
    expect(started).toEqual(['lint', 'samples', 'small', 'large']);
  });

  describe('the language', () => {
    const several = programRevision(
      { a: { cases: { one: ['1', '2'] } } },
      {
        languages: ['python', 'javascript'],
        files: [
          { role: 'starter', path: 'main.py', content: 'pass' },
          { role: 'starter', path: 'main.js', content: '' },
        ],
      },
    );
    const javascript = "process.stdin.on('data', (text) => console.log(Number(text) * 2));";

    test.each([
      ['the only entry file', { 'main.js': javascript }],
      ['the one that is not as the starter had it', { 'main.js': javascript, 'main.py': 'pass' }],
    ])('is told by %s', async (_, files) => {
      expect((await judgeIn(open(), several, files)).checks).toMatchObject({ verdict: 'accepted', language: 'javascript' });
    });

    test.each([
      ['none', {}, /^There is no program\. Submit exactly one of these files: main\.py, main\.js\.$/],
      ['two', { 'main.js': javascript, 'main.py': python.right }, /several programs: main\.py, main\.js\./],
      ['two starters', { 'main.js': '', 'main.py': 'pass' }, /several programs/],
      ['one in a folder', { 'src/main.js': javascript }, /There is no program/],
    ])('%s: nothing is run', async (_, files, problem) => {
      const sandbox = open();
      const { checks } = await judgeIn(sandbox, several, files);
      expect(checks).toMatchObject({
        verdict: 'compile-error',
        compilerOutput: expect.stringMatching(problem),
        points: 0,
        maxPoints: 10,
      });
      expect(checks.tests).toMatchObject([{ outcome: 'skipped' }]);
      expect(sandbox.jobs).toEqual([]);
    });

    test('gets more time where there are several, and its runtime its memory', async () => {
      const limitsOf = async (revision: ProgramRevision) => {
        const sandbox = open();
        await judgeIn(sandbox, revision, { 'main.py': python.right });
        return sandbox.jobs[0]?.runs.find(({ name }) => name === 'case 1')?.limits;
      };
      const own = several.checks.limits;
      const memoryBytes = own.memoryBytes + languages.python.runtimeMemoryBytes;
      expect(await limitsOf(several)).toMatchObject({
        cpuTimeMs: own.cpuTimeMs * 5,
        wallTimeMs: own.wallTimeMs * 5,
        memoryBytes,
      });
      expect(await limitsOf(doubling)).toMatchObject({ cpuTimeMs: own.cpuTimeMs, wallTimeMs: own.wallTimeMs, memoryBytes });
    });

    test('that is not offered here is our trouble', async () => {
      const sandbox = open();
      Object.defineProperty(sandbox, 'languages', { value: new Map([['python', '3']]) });
      const error: unknown = await judgeIn(sandbox, several, { 'main.js': javascript }).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(SandboxError);
      expect(error).toMatchObject({ transient: false, message: expect.stringContaining('does not offer javascript') });
    });
  });

  describe('a checker', () => {
    /** Accepts any two numbers with the wanted sum. */
    const checker = `
import sys
wanted = int(open(sys.argv[2]).read())
words = sys.stdin.read().split()
if words == ['crash']: raise ValueError('crash')
if len(words) != 2: print('two numbers, please'); sys.exit(43)
sys.exit(42 if sum(map(int, words)) == wanted and open(sys.argv[1]).read() else 43)
`;
    const sums = (source = checker) =>
      programRevision(
        { shown: { isVisible: true, cases: { a: ['5\n', '5\n'], b: ['6\n', '6\n'] } } },
        {
          comparison: { mode: 'checker', language: 'python', path: 'checker/check.py' },
          files: [{ role: 'checker', path: 'checker/check.py', content: source }],
        },
      );

    test('decides, in a sandbox of its own that the program never sees', async () => {
      const sandbox = open();
      const { checks } = await judgeIn(sandbox, sums(), {
        'main.py': 'n = int(input())\nprint(1, n - 1) if n == 5 else print(n)',
      });
      expect(checks.tests).toMatchObject([
        { verdict: 'accepted', message: '' },
        { verdict: 'wrong-answer', message: 'two numbers, please', diff: expect.any(String) },
      ]);
      expect(sandbox.jobs).toHaveLength(2);
      expect(sandbox.jobs[0]?.files.map(({ path }) => path)).toEqual(['main.py']);
      expect(sandbox.jobs[1]?.files.map(({ path }) => path)).toEqual(['checker/check.py']);
    });

    test.each([
      ['crashes', 'print("crash")', checker],
      ['says what no checker says', 'print(1, 4)', 'import sys\nsys.exit(0)'],
    ])('that %s is our trouble, not a verdict', async (_, program, source) => {
      const error: unknown = await judgeIn(open(), sums(source), { 'main.py': program }).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(SandboxError);
      expect(error).toMatchObject({ transient: false, message: expect.stringContaining("the exercise's checker failed") });
    });
  });

  describe('lint', () => {
    const unused = 'import os\nprint(int(input()) * 2)';
    const revision = (lintConfig: string | null) =>
      programRevision(
        { a: { cases: { one: ['1', '2'] } } },
        {
          lintConfig,
          files:
            lintConfig === null ? [] : [{ role: 'configuration', path: lintConfig, content: '{"lint":{"select":["F401"]}}' }],
        },
      );

    test('decides where the exercise has a configuration', async () => {
      const { checks } = await judgeIn(open(), revision('.atelier/ruff.json'), { 'main.py': unused });
      expect(checks).toMatchObject({ verdict: 'check-failed', points: 10, lintFindings: [{ file: 'main.py', rule: 'F401' }] });
    });

    test('and nowhere else', async () => {
      expect((await judgeIn(open(), revision(null), { 'main.py': unused })).checks.verdict).toBe('accepted');
    });

    test('a configuration that is submitted is left out', async () => {
      const files = { 'main.py': unused, '.atelier/ruff.json': '{}', 'ruff.toml': '[lint]\nselect = []' };
      expect((await judgeIn(open(), revision('.atelier/ruff.json'), files)).checks.verdict).toBe('check-failed');
    });
  });

  describe('cheating', () => {
    /** Found nowhere unless it is the expected output. */
    const answer = 'a7c1-expected-3f9e';
    const secret = programRevision({
      samples: { isVisible: true, cases: { one: ['', answer] } },
      hidden: { cases: { two: ['', answer] } },
    });

    test('what is expected is nowhere to be found: files, memory file systems, processes, descriptors, environment', async () => {
      const search = `
import os, sys
# In parts, or the program would find itself.
needle = ('a7c1-' + 'expected').encode()
found = []
# To show that this search finds what is there.
open('/tmp/control', 'wb').write(needle)
def look(path):
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return
    try:
        if needle in os.read(descriptor, 1 << 20): found.append(path)
    except OSError:
        pass
    finally:
        os.close(descriptor)
for top in ('/box', '/tmp', '/dev/shm', '/etc', '/run', '/var', '/root', '/home', '/mnt', '/srv'):
    for folder, _, files in os.walk(top):
        for name in files: look(os.path.join(folder, name))
for pid in os.listdir('/proc'):
    if not pid.isdigit(): continue
    for name in ('environ', 'cmdline', 'mem', 'maps', 'stack', 'io'): look('/proc/%s/%s' % (pid, name))
    try:
        for descriptor in os.listdir('/proc/%s/fd' % pid): look('/proc/%s/fd/%s' % (pid, descriptor))
    except OSError: pass
    try:
        for folder, _, files in os.walk('/proc/%s/root/box' % pid):
            for name in files: look(os.path.join(folder, name))
    except OSError: pass
for descriptor in range(3, 256):
    try:
        if needle in os.read(descriptor, 1 << 20): found.append(descriptor)
    except OSError: pass
print(*found)
`;
      const { checks } = await judgeIn(open(), secret, { 'main.py': search });
      expect(checks.tests.map(({ verdict }) => verdict)).toEqual(['wrong-answer', 'wrong-answer']);
      expect(checks.tests[0]?.message).toContain('found "/tmp/control"');
      expect(checks.tests[0]?.diff).toBe(`-${answer}\n+/tmp/control\n+`);
    });

    test.each([
      [
        'the path of the expected output',
        "print('cases/hidden/two.out')\nprint(open('cases/hidden/two.out').read())",
        'run-error',
      ],
      ['the verdict', 'print(\'accepted\')\nprint(\'{"verdict": "accepted"}\')', 'wrong-answer'],
      ['nothing, and an early exit', 'import os\nos._exit(0)', 'wrong-answer'],
      [
        'what a report would say, on every descriptor',
        "import os\nfor d in range(3, 64):\n  try: os.write(d, b'<testsuites/>accepted')\n  except OSError: pass",
        'wrong-answer',
      ],
    ])('printing %s is no answer', async (_, program, verdict) => {
      const { checks } = await judgeIn(open(), secret, { 'main.py': program });
      expect(checks.tests.map((result) => result.verdict)).toEqual([verdict, verdict]);
      expect(checks.points).toBe(0);
    });

    test('neither submitted cases nor a submitted checker take the place of ours', async () => {
      const files = {
        'main.py': "print(open('cases/hidden/two.out').read())",
        'cases/hidden/two.out': 'mine',
        'cases/hidden/two.in': 'mine',
      };
      const sandbox = open();
      expect((await judgeIn(sandbox, secret, files)).checks).toMatchObject({ verdict: 'run-error', points: 0 });
      expect(sandbox.jobs.flatMap((job) => job.files.map(({ path }) => path))).toEqual(['main.py']);
    });

    test('no job with the program holds anything of what is expected', async () => {
      const sandbox = open();
      await judgeIn(sandbox, secret, { 'main.py': 'print(1)' });
      const sent = sandbox.jobs.map(
        ({ files, runs }) =>
          JSON.stringify([files, runs].map(String)) +
          Buffer.concat([...files, ...runs.flatMap((run) => run.files ?? [])].map(({ content }) => content)).toString() +
          runs.map(({ stdin, argv }) => [stdin?.toString(), ...argv].join(' ')).join(),
      );
      for (const text of sent) expect(text).not.toContain(answer);
    });
  });
});
