import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { dockerEngine } from '../../src/sandbox/docker.ts';
import { parseJunitReport } from '../../src/sandbox/junit-report.ts';
import { judge } from '../../src/sandbox/judge.ts';
import { languages } from '../../src/sandbox/languages.ts';
import { maxReportBytes, type RunResult, SandboxError, type Sandbox } from '../../src/sandbox/sandbox.ts';
import { readLintFindings } from '../../src/sandbox/source-tools.ts';
import { describeReal, jobOf, limits, options, projectChecks, runOne } from './real-sandboxes.ts';

/** What the linter found, whatever the run is called. */
const findingsOf = (run: RunResult | undefined) => readLintFindings(run === undefined ? [] : [{ ...run, name: 'lint' }]);

const python = (code: string): readonly string[] => ['python3', '-c', code];
const node = (code: string): readonly string[] => ['node', '-e', code];

/** What of the job's sandbox is left on this machine: containers of its name, or bwrap processes of ours. */
async function leftOf(sandbox: Sandbox, submissionId: string): Promise<readonly string[]> {
  if (sandbox.kind === 'docker') {
    const filters = { name: [`atelier-${submissionId}-`] };
    const containers = await dockerEngine().listContainers({ all: true, filters });
    return containers.map(({ Id }) => Id);
  }
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const [, name, parent] = /\((.*)\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1')) ?? [];
      return name === 'bwrap' && parent === String(process.pid);
    } catch {
      return false;
    }
  });
}

/** Ends a job's sandbox behind the back of its host, as soon as it can be told from others. */
async function killFromOutside(sandbox: Sandbox, submissionId: string): Promise<void> {
  let found: readonly string[] = [];
  while (found.length === 0) {
    found = await leftOf(sandbox, submissionId);
    await sleep(20);
  }
  for (const id of found) {
    if (sandbox.kind === 'docker') await dockerEngine().getContainer(id).kill();
    else process.kill(Number(id), 'SIGKILL');
  }
}

await describeReal((sandbox) => {
  describe('honest work', () => {
    test('a node test file is reported test by test', async () => {
      const file = `
        import { describe, it } from 'node:test';
        import assert from 'node:assert/strict';
        import { add } from '../src/add.js';
        describe('add "numbers"', () => {
          it('adds', () => assert.equal(add(1, 2), 3));
          it('is wrong on purpose', () => assert.equal(add(1, 2), 'line one\\nline two \\u0000 <&>'));
          it.skip('skipped', () => {});
        });`;
      const files = {
        'package.json': '{"type":"module"}',
        'src/add.js': 'export const add = (a, b) => a + b;',
        'test/add.test.js': file,
      };
      const result = await runOne(sandbox, languages.javascript.test(['test/add.test.js']), { files });
      expect(result).toMatchObject({ status: 'exited', exitCode: 1, signal: null });
      expect(parseJunitReport(result.report ?? '')).toMatchObject([
        { name: 'add "numbers" > adds', outcome: 'passed', message: '' },
        {
          name: 'add "numbers" > is wrong on purpose',
          outcome: 'failed',
          message: expect.stringContaining('test/add.test.js:7'),
        },
        { name: 'add "numbers" > skipped', outcome: 'skipped' },
      ]);
    });

    test('a python test file is reported test by test, a broken one as one error', async () => {
      const file = [
        'import unittest',
        'from solution import add',
        'class Add(unittest.TestCase):',
        '    def test_adds(self): self.assertEqual(add(1, 2), 3)',
        '    def test_wrong(self): self.assertEqual(add(1, 2), "\\x00 <&>")',
        '    def test_parts(self):',
        '        for i in range(3):',
        '            with self.subTest(i=i): self.assertNotEqual(i, 1)',
        '    @unittest.skip("later")',
        '    def test_skipped(self): pass',
      ].join('\n');
      const files = {
        'solution.py': 'def add(a, b): return a + b',
        'tests/test_add.py': file,
        'tests/test_broken.py': 'import missing',
      };
      const result = await runOne(sandbox, languages.python.test(['tests/test_add.py', 'tests/test_broken.py']), { files });
      expect(result).toMatchObject({ status: 'exited', exitCode: 1 });
      expect(parseJunitReport(result.report ?? '')).toMatchObject([
        { name: 'tests/test_broken.py', outcome: 'failed', message: expect.stringContaining('No module named') },
        { name: 'tests.test_add.Add.test_adds', outcome: 'passed' },
        { name: 'tests.test_add.Add.test_parts', outcome: 'failed', message: expect.stringContaining('(i=1)') },
        { name: 'tests.test_add.Add.test_skipped', outcome: 'skipped', message: 'later' },
        { name: 'tests.test_add.Add.test_wrong', outcome: 'failed' },
      ]);
    });

    test.each([
      ['javascript', node("process.stdin.on('data', (data) => process.stdout.write(data.toString().toUpperCase()))")],
      ['python', python('import sys; print(sys.stdin.read().upper(), end="")')],
    ])('%s reads its own input to the end, and the next run nothing of it', async (_language, argv) => {
      const runs = [
        { name: 'with input', argv, limits, stdin: Buffer.from('zwölf\nlast') },
        { name: 'with an empty one', argv, limits, stdin: Buffer.alloc(0) },
        { name: 'without', argv, limits },
      ];
      const results = await sandbox.run(jobOf({}, runs), options());
      expect(results.map(({ status, exitCode, stdout }) => [status, exitCode, stdout.toString()])).toEqual([
        ['exited', 0, 'ZWÖLF\nLAST'],
        ['exited', 0, ''],
        ['exited', 0, ''],
      ]);
    });

    test('input that is not read is no trouble', async () => {
      // Far more than a pipe holds.
      const stdin = Buffer.alloc(4 * 1024 * 1024, 'x');
      const runs = [
        { name: 'ends', argv: ['true'], limits, stdin },
        { name: 'closes it', argv: ['sh', '-c', 'exec 0<&-; sleep 0.2; echo done'], limits, stdin },
        { name: 'reads a part', argv: ['head', '-c', '3'], limits, stdin },
      ];
      const results = await sandbox.run(jobOf({}, runs), options());
      expect(results.map(({ status, exitCode, stdout }) => [status, exitCode, stdout.toString()])).toEqual([
        ['exited', 0, ''],
        ['exited', 0, 'done\n'],
        ['exited', 0, 'xxx'],
      ]);
    });

    test('planted errors are found by both linters, whatever the student tells them to ignore', async () => {
      const files = {
        'lint.json': '{"rules":{"no-debugger":"error","no-empty":"warn"},"categories":{"correctness":"off"}}',
        'ruff.json': '{"lint":{"select":["F"]}}',
        '.gitignore': '*',
        '.oxlintrc.json': '{"rules":{"no-debugger":"off"}}',
        'src/.oxlintrc.json': '{"rules":{"no-debugger":"off"}}',
        'src/a.js': 'let a = 1;\ndebugger;\nif (a) {}\n',
        'test/a.test.js': 'debugger;',
        'src/a.py': 'import os\n',
        'tests/test_a.py': 'import os\n',
      };
      const runs = [
        { name: 'javascript', argv: languages.javascript.lint('lint.json'), limits },
        { name: 'python', argv: languages.python.lint('ruff.json'), limits },
      ];
      const [javascript, py] = await sandbox.run(jobOf(files, runs), options());
      expect(findingsOf(javascript)).toMatchObject([
        { file: 'src/a.js', line: 2, rule: 'eslint/no-debugger', severity: 'error' },
        { file: 'src/a.js', line: 3, rule: 'eslint/no-empty', severity: 'warning' },
      ]);
      expect(findingsOf(py)).toMatchObject([{ file: 'src/a.py', line: 1, rule: 'F401', severity: 'error' }]);
    });

    test.each([
      {
        language: 'javascript' as const,
        config: '{"rules":{"no-debugger":"error"}}',
        files: {
          'src/good.js': 'debugger;',
          'src/deep.js': '('.repeat(200_000),
          'src/latin.js': Buffer.from([0x22, 0xe9, 0x22]),
        },
        findings: [
          { file: 'src/deep.js', rule: 'syntax', severity: 'error' },
          { file: 'src/good.js', rule: 'eslint/no-debugger', severity: 'error' },
          { file: 'src/latin.js', rule: 'syntax', severity: 'error', message: 'The file is not UTF-8 text.' },
        ],
      },
      {
        language: 'python' as const,
        config: '{"lint":{"select":["F"]}}',
        files: { 'a_deep.py': `x = 1${'+ 1'.repeat(100_000)}`, 'good.py': 'import os' },
        findings: [
          { file: 'a_deep.py', rule: 'syntax', severity: 'error' },
          { file: 'good.py', rule: 'F401', severity: 'error' },
        ],
      },
    ])('a $language file that crashes the linter is a finding, and hides none of the others', async (odd) => {
      const files: Readonly<Record<string, string | Buffer>> = { ...odd.files, 'lint.json': odd.config };
      const result = await runOne(sandbox, languages[odd.language].lint('lint.json'), { files });
      expect(findingsOf(result)).toMatchObject(odd.findings);
    });

    test('linting Python stays well below the memory limit of an exercise', async () => {
      const source = Array.from(
        { length: 500 },
        (_, index) => `def f${index}(a, b):\n    return [a + x for x in b if x > ${index}]\n`,
      );
      const files = { 'a.py': source.join('\n'), 'lint.json': '{"lint":{"select":["E","F","B","UP","SIM"]}}' };
      const result = await runOne(sandbox, languages.python.lint('lint.json'), { files });
      expect(result).toMatchObject({ status: 'exited', exitCode: 0 });
      expect(result.memoryPeakBytes).toBeLessThan(160 * 1024 * 1024);
    });

    test('a wrong configuration of the linter gives no report, whatever the files are', async () => {
      const files = { 'lint.json': '{"rules":{"no-debugger":3}}', 'src/deep.js': '('.repeat(200_000) };
      const result = await runOne(sandbox, languages.javascript.lint('lint.json'), { files });
      expect(result).toMatchObject({ status: 'exited', exitCode: 1, report: null });
    });

    test('a report of many long findings still fits, and so does its list of files', async () => {
      const name = (index: number) => `${`${'\u0001'.repeat(200)}/`.repeat(4)}${index}.js`;
      const files = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [name(index), 'debugger;']));
      const argv = languages.javascript.lint('lint.json');
      const result = await runOne(sandbox, argv, { files: { ...files, 'lint.json': '{"rules":{"no-debugger":"error"}}' } });
      expect(findingsOf(result)).toHaveLength(200);
    });

    test('hidden tests are not there while lint and the visible tests run, and are in their own run', async () => {
      const peek = `
        import { existsSync, readFileSync } from 'node:fs';
        export const peek = () => {
          try { return readFileSync('test/hidden.test.js', 'utf8'); } catch (error) { return error.code; }
        };
        export const isFolderThere = () => existsSync('secret');`;
      const testOf = (expected: string) => `
        import test from 'node:test';
        import assert from 'node:assert/strict';
        import { isFolderThere, peek } from '../src/peek.js';
        test('peeks', () => { assert.match(peek(), /${expected}/); assert.equal(isFolderThere(), ${expected !== 'ENOENT'}); });`;
      const revision = {
        language: 'javascript' as const,
        checks: projectChecks({
          visible: { files: ['test/visible.test.js'], count: 1, points: 50 },
          hidden: { files: ['test/hidden.test.js'], count: 1, points: 50 },
        }),
        files: [
          { role: 'visible-test' as const, path: 'test/visible.test.js', content: testOf('ENOENT') },
          { role: 'hidden-test' as const, path: 'test/hidden.test.js', content: testOf('assert') },
          // Linted, if it were there: it lies in no folder that lint leaves out.
          { role: 'hidden-test' as const, path: 'secret/data.js', content: 'debugger;' },
          { role: 'configuration' as const, path: '.atelier/lint.json', content: '{"rules":{"no-debugger":"error"}}' },
        ],
      };
      const submitted = [
        { path: 'package.json', content: Buffer.from('{"type":"module"}') },
        { path: 'src/peek.js', content: Buffer.from(peek) },
      ];
      const { checks: judged } = await judge(revision, submitted, { sandbox, label: jobOf({}, []).label, ...options() });
      expect(judged.tests).toMatchObject([
        { suite: 'visible', name: 'peeks', outcome: 'passed', message: '' },
        { suite: 'hidden', name: 'peeks', outcome: 'passed', message: '' },
      ]);
      expect(judged).toMatchObject({ verdict: 'accepted', lintFindings: [] });
    });

    test('runs follow each other, are announced, and share nothing below /tmp', async () => {
      const started: string[] = [];
      const hide = 'mkdir -p /tmp/a/b; echo secret > /tmp/a/b/c; chmod 000 /tmp/a/b /tmp/a; echo x > /dev/shm/x';
      const runs = [
        { name: 'first', argv: ['sh', '-c', hide], limits },
        { name: 'second', argv: ['sh', '-c', 'ls -A /tmp /dev/shm | grep -v ":"; id -u; exit 3'], limits },
        { name: 'third', argv: ['sh', '-c', 'kill -TERM $$'], limits },
      ];
      const results = await sandbox.run(jobOf({}, runs), { ...options(), onRunStart: (name) => started.push(name) });
      expect(started).toEqual(['first', 'second', 'third']);
      expect(results.map(({ name, status, exitCode, signal }) => ({ name, status, exitCode, signal }))).toEqual([
        { name: 'first', status: 'exited', exitCode: 0, signal: null },
        { name: 'second', status: 'exited', exitCode: 3, signal: null },
        { name: 'third', status: 'signalled', exitCode: null, signal: 'SIGTERM' },
      ]);
      expect(results[1]?.stdout.toString().trim()).toMatch(/^\d+$/);
    });

    test('servers on localhost and multiprocessing work', async () => {
      const fetching = `require('node:http').createServer((q, r) => r.end('served')).listen(0, 'localhost', async function () {
        console.log(await (await fetch('http://localhost:' + this.address().port)).text()); process.exit(); });`;
      expect((await runOne(sandbox, node(fetching))).stdout.toString()).toBe('served\n');
      const pooled = 'from multiprocessing import Pool\nwith Pool(2) as p: print(p.map(abs, [-1, -2]))';
      expect((await runOne(sandbox, python(pooled))).stdout.toString()).toBe('[1, 2]\n');
    });

    test('what it used is measured', async () => {
      const busy = 'import time\nx = bytearray(100 << 20)\nwhile time.process_time() < 0.5: pass\ntime.sleep(0.3)';
      const { cpuTimeMs, wallTimeMs, memoryPeakBytes } = await runOne(sandbox, python(busy));
      expect(cpuTimeMs).toBeGreaterThanOrEqual(480);
      expect(cpuTimeMs).toBeLessThan(1500);
      expect(wallTimeMs).toBeGreaterThanOrEqual(790);
      expect(memoryPeakBytes).toBeGreaterThan(100 * 1024 * 1024);
      expect(memoryPeakBytes).toBeLessThan(150 * 1024 * 1024);
    });
  });

  describe('limits', () => {
    test('an endless loop ends at the CPU time limit, also in a child', async () => {
      const loop = await runOne(sandbox, node('for (;;);'), { cpuTimeMs: 500 });
      expect(loop.status).toBe('cpu-time-limit');
      const child = 'import subprocess\nsubprocess.run(["python3", "-c", "while True: pass"])';
      expect((await runOne(sandbox, python(child), { cpuTimeMs: 500 })).status).toBe('cpu-time-limit');
    });

    test('sleeping ends at the wall time limit, with all signals ignored', async () => {
      const code = 'import signal, time\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\ntime.sleep(100)';
      const result = await runOne(sandbox, python(code), { wallTimeMs: 700 });
      expect(result.status).toBe('wall-time-limit');
      expect(result.wallTimeMs).toBeLessThan(3000);
    });

    test.each([
      ['python', python('a = []\nwhile True: a.append(bytearray(1 << 20))')],
      ['node buffers', node('const a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1));')],
      ['the node heap', node('const a = []; for (;;) a.push(new Array(1e5).fill(1.5));')],
      ['a child', ['sh', '-c', 'python3 -c "a = []\nwhile True: a.append(bytearray(1 << 20))"; exit 0']],
    ])('memory bomb in %s ends at the memory limit', async (_, argv) => {
      expect((await runOne(sandbox, argv, { memoryBytes: 128 * 1024 * 1024 })).status).toBe('memory-limit');
    });

    test('a fork bomb is contained, and the next run is as if there had been none', async () => {
      const bomb = 'import os\nwhile True:\n  try: os.fork()\n  except OSError: pass';
      const runs = [
        { name: 'bomb', argv: python(bomb), limits: { ...limits, wallTimeMs: 1500 } },
        { name: 'next', argv: ['sh', '-c', 'ls -d /proc/[0-9]* | wc -l'], limits },
      ];
      const [bombed, next] = await sandbox.run(jobOf({}, runs), options());
      expect(['wall-time-limit', 'cpu-time-limit', 'memory-limit']).toContain(bombed?.status);
      // Agent, shell, ls, wc.
      expect(Number(next?.stdout.toString())).toBeLessThanOrEqual(4);
    });

    test.each(['stdout', 'stderr'] as const)('a flood of %s ends at the output limit', async (name) => {
      const code = `import os\nwhile True: os.write(${name === 'stdout' ? 1 : 2}, b"x" * 65536)`;
      const result = await runOne(sandbox, python(code));
      expect(result.status).toBe('output-limit');
      expect(result[name]).toHaveLength(limits.outputBytes);
    });

    test('a report that is too long counts as none', async () => {
      const code = `import os\nos.write(3, b"x" * ${maxReportBytes / 2}); print("next", flush=True)\nf = os.fdopen(3, "wb"); f.write(b"x" * ${maxReportBytes})`;
      const result = await runOne(sandbox, python(code));
      expect(result).toMatchObject({ status: 'exited', report: null });
    });

    test('/tmp fills up, in many files as in one, and every other place is closed', async () => {
      const fill = 'i = 0\nwhile True:\n  i += 1\n  with open(f"/tmp/{i}", "wb") as f: f.write(b"x" * 1000000)';
      const filled = await runOne(sandbox, python(fill));
      expect(filled).toMatchObject({ status: 'exited', exitCode: 1 });
      expect(filled.stderr.toString()).toContain('No space left on device');
      const places = [
        '/box',
        '/box/work',
        '/box/work/test',
        '/opt/atelier',
        '/opt',
        '/',
        '/etc',
        '/usr',
        '/var',
        '/dev',
        '/proc',
        '/sys',
      ];
      const tries = `for d in ${places.join(' ')}; do [ -d $d ] && touch $d/new 2>/dev/null && echo wrote $d; done; true`;
      expect((await runOne(sandbox, ['sh', '-c', tries], { files: { 'test/a.js': '' } })).stdout.toString()).toBe('');
    });

    test('tests in the work folder cannot be replaced', async () => {
      const script = 'echo forged > test/a.js; mv test old; rm -rf test; ln -sf /tmp/x test/a.js; chmod 777 test; cat test/a.js';
      const result = await runOne(sandbox, ['sh', '-c', script], { files: { 'test/a.js': 'genuine' } });
      expect(result.stdout.toString()).toBe('genuine');
    });

    test('a daemon that holds the output open dies with its run', async () => {
      const daemon = 'setsid sh -c "sleep 100; echo late" & echo done';
      const runs = [
        { name: 'daemon', argv: ['sh', '-c', daemon], limits },
        { name: 'look', argv: ['sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "'], limits },
      ];
      const [first, second] = await sandbox.run(jobOf({}, runs), options());
      expect(first).toMatchObject({ status: 'exited', exitCode: 0 });
      expect(first?.stdout.toString()).toBe('done\n');
      expect(second?.stdout.toString()).not.toContain('sleep');
    });
  });

  describe('walls', () => {
    let server: Server;
    let connections = 0;
    beforeAll(async () => {
      process.env['ATELIER_TEST_SECRET'] = 'secret-of-the-host';
      server = createServer(() => (connections += 1)).listen(0, '0.0.0.0');
      await once(server, 'listening');
    });
    afterAll(() => {
      delete process.env['ATELIER_TEST_SECRET'];
      server.close();
    });

    test('no network: neither this machine nor any other', async () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      const hosts = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((one) => one.address));
      const code = `const net = require('node:net');
        for (const host of ${JSON.stringify([...new Set(['127.0.0.1', ...hosts, '1.1.1.1'])])}) {
          const socket = net.connect(${port}, host, () => console.log('connected', host)).on('error', () => {});
          socket.setTimeout(1000, () => socket.destroy());
        }`;
      const result = await runOne(sandbox, node(code));
      expect(result).toMatchObject({ status: 'exited', exitCode: 0 });
      expect(result.stdout.toString()).toBe('');
      expect(connections).toBe(0);
    });

    test('nothing of the host: environment, secrets, home folders, the project', async () => {
      const project = new URL('../..', import.meta.url).pathname;
      const script = `env; cat /proc/*/environ; cat /etc/shadow; for d in /root /home /var/run/docker.sock ${project}; do ls -A $d; done`;
      const result = await runOne(sandbox, ['sh', '-c', script]);
      const lines = result.stdout.toString().replaceAll('\0', '\n').trim().split('\n');
      const names = [...new Set(lines.map((line) => line.split('=')[0]))];
      expect(['HOME', 'LANG', 'OLDPWD', 'PATH', 'PWD', 'PYTHONDONTWRITEBYTECODE']).toEqual(expect.arrayContaining(names));
      expect(result.stdout.toString()).not.toContain('secret-of-the-host');
    });

    test("the agent's descriptors, memory and life are out of reach", async () => {
      const code = [
        'import os, signal',
        'for pid in [p for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()]:',
        '    for path in ("fd/0", "fd/1", "mem", "environ"):',
        '        try: open(f"/proc/{pid}/{path}", "rb"); print("opened", pid, path)',
        '        except OSError: pass',
        '    try: os.kill(int(pid), signal.SIGKILL); print("killed", pid)',
        '    except OSError: pass',
        'for call in (lambda: os.setuid(0), lambda: os.setgroups([]), lambda: os.chroot("/tmp")):',
        '    try: call(); print("privileged")',
        '    except OSError: pass',
      ].join('\n');
      const result = await runOne(sandbox, python(code));
      expect(result).toMatchObject({ status: 'exited', exitCode: 0 });
      expect(result.stdout.toString()).toBe('');
    });

    test('doors into the kernel are closed', async () => {
      const code = [
        'import ctypes, os, platform',
        'libc = ctypes.CDLL(None, use_errno=True)',
        'newuser, traceme, vsock = 0x10000000, 0, 40',
        'keyctl = 250 if platform.machine() == "x86_64" else 219',
        'doors = {',
        '    "user namespace": lambda: libc.unshare(newuser),',
        '    "io_uring": lambda: libc.syscall(425, 8, ctypes.create_string_buffer(256)),',
        '    "ptrace": lambda: libc.ptrace(traceme, 0, 0, 0),',
        '    "vsock": lambda: libc.socket(vsock, 1, 0),',
        '    "keyring": lambda: libc.syscall(keyctl, 0, -3, 1),',
        '    "mount": lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None),',
        '    "clone": lambda: libc.syscall(56, newuser | 17, 0, 0, 0, 0) if platform.machine() == "x86_64" else -1,',
        '    "unix socket": lambda: -1 - min(0, libc.socket(1, 1, 0)),',
        '}',
        'print([name for name, door in doors.items() if door() != -1])',
      ].join('\n');
      const result = await runOne(sandbox, python(code));
      expect(result.stderr.toString()).toBe('');
      expect(result.stdout.toString()).toBe('[]\n');
    });

    test('ending the process with 0 gives no report, or none of all tests', async () => {
      const js = {
        'test/a.test.mjs': 'process.exit(0);',
        'test/b.test.mjs': "import test from 'node:test'; test('b', () => process.exit(0));",
      };
      const early = await runOne(sandbox, languages.javascript.test(Object.keys(js)), { files: js });
      expect(parseJunitReport(early.report ?? '').filter(({ outcome }) => outcome === 'passed')).toEqual([]);
      expect(early.exitCode).toBe(1);
      const py = { 'tests/test_a.py': 'import os, unittest\nclass A(unittest.TestCase):\n  def test_a(self): os._exit(0)\n' };
      expect(await runOne(sandbox, languages.python.test(Object.keys(py)), { files: py })).toMatchObject({
        exitCode: 0,
        report: null,
      });
    });

    test.each(['../a', 'a/../../b', '/etc/a', 'a//b', './a', 'a/.', '', 'a\0b', 'a/', 'n'.repeat(256)])(
      'the path %j is refused',
      async (path) => {
        const refused = runOne(sandbox, ['true'], { files: { [path]: '' } });
        await expect(refused).rejects.toMatchObject({ name: 'SandboxError', transient: false });
      },
    );
  });

  describe('ends', () => {
    test("a run's own files are refused by the same rule, also against those of the job", async () => {
      const own = [{ path: 'a/b', content: Buffer.alloc(0) }];
      const job = jobOf({ a: '' }, [{ name: 'only', argv: ['true'], limits, files: own }]);
      await expect(sandbox.run(job, options())).rejects.toMatchObject({ name: 'SandboxError', transient: false });
    });

    test('a file that is also a folder is refused', async () => {
      const refused = runOne(sandbox, ['true'], { files: { a: '', 'a/b': '' } });
      await expect(refused).rejects.toMatchObject({ name: 'SandboxError', transient: false });
    });

    const sleeping = [{ name: 'sleep', argv: ['sleep', '60'], limits: { ...limits, wallTimeMs: 60_000 } }];

    test('aborting rejects with the reason at once and leaves nothing', async () => {
      const controller = new AbortController();
      const job = jobOf({}, sleeping);
      const { promise: started, resolve } = Promise.withResolvers<void>();
      const running = sandbox.run(job, { signal: controller.signal, onRunStart: () => resolve() });
      await started;
      const abortedAt = performance.now();
      controller.abort(new Error('cancelled by the test'));
      await expect(running).rejects.toThrow('cancelled by the test');
      expect(performance.now() - abortedAt).toBeLessThan(3000);
      expect(await leftOf(sandbox, job.label.submissionId)).toEqual([]);
    });

    test('a sandbox that is killed in the middle is a passing trouble, not a verdict', async () => {
      const job = jobOf({}, sleeping);
      const { promise: started, resolve } = Promise.withResolvers<void>();
      const running = sandbox.run(job, { ...options(), onRunStart: () => resolve() });
      const caught = running.catch((error: unknown) => error);
      await started;
      await killFromOutside(sandbox, job.label.submissionId);
      const error = await caught;
      expect(error).toBeInstanceOf(SandboxError);
      expect(error).toMatchObject({ transient: true });
      expect(await leftOf(sandbox, job.label.submissionId)).toEqual([]);
    });

    test('several jobs run side by side', async () => {
      const jobs = Array.from({ length: 4 }, (_, index) => runOne(sandbox, node(`console.log(${index})`)));
      expect((await Promise.all(jobs)).map(({ stdout }) => stdout.toString())).toEqual(['0\n', '1\n', '2\n', '3\n']);
    });
  });
});
