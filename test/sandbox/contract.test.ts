import { describe, expect, test } from '@jest/globals';
import type { Interpreter, RunRequest, RunResult, Sandbox, SandboxJob } from '../../src/sandbox/sandbox.ts';
import { describeReal, jobOf, limits, options, runOne } from './real-sandboxes.ts';

const sh = (script: string): readonly string[] => ['sh', '-c', script];
const python = (...lines: string[]): readonly string[] => ['python3', '-c', lines.join('\n')];

async function runAll(sandbox: Sandbox, job: SandboxJob): Promise<readonly RunResult[]> {
  return sandbox.run(job, options());
}

async function runOnly(sandbox: Sandbox, run: Partial<RunRequest>, changed: Partial<SandboxJob> = {}): Promise<RunResult> {
  const [result] = await runAll(sandbox, { ...jobOf({}, [{ name: 'only', argv: ['true'], limits, ...run }]), ...changed });
  if (result === undefined) throw new Error('no result');
  return result;
}

await describeReal((sandbox) => {
  describe('artifacts', () => {
    const artifact = { path: 'out/program', maxBytes: 200_000 };

    test.each([
      ['a file', 'mkdir /tmp/out; head -c 150000 /dev/zero > /tmp/out/program', 150_000],
      ['an empty file', 'mkdir /tmp/out; : > /tmp/out/program', 0],
      ['one that only its user may read', 'mkdir -m 700 /tmp/out; umask 077; echo 12345 > /tmp/out/program', 6],
    ])('%s is handed out whole', async (_, script, length) => {
      const result = await runOnly(sandbox, { argv: sh(script), artifact });
      expect(result).toMatchObject({ status: 'exited', exitCode: 0 });
      expect(result.artifact).toHaveLength(length);
    });

    test.each([
      ['nothing', 'true'],
      ['a larger file', 'mkdir /tmp/out; head -c 200001 /dev/zero > /tmp/out/program'],
      ['a link', 'mkdir /tmp/out; ln -s /etc/passwd /tmp/out/program'],
      ['a linked folder', 'mkdir /tmp/else; echo x > /tmp/else/program; ln -s /tmp/else /tmp/out'],
      ['a folder', 'mkdir -p /tmp/out/program'],
      ['a pipe', 'mkdir /tmp/out; mkfifo /tmp/out/program'],
      ['a run that fails', 'mkdir /tmp/out; echo x > /tmp/out/program; exit 1'],
    ])('%s gives none', async (_, script) => {
      expect((await runOnly(sandbox, { argv: sh(script), artifact })).artifact).toBeNull();
    });

    test('the next run finds nothing of it', async () => {
      const runs = [
        { name: 'makes', argv: sh('mkdir /tmp/out; echo x > /tmp/out/program'), limits, artifact },
        { name: 'looks', argv: ['ls', '-A', '/tmp'], limits },
      ];
      const [made, looked] = await runAll(sandbox, jobOf({}, runs));
      expect(made?.artifact?.toString()).toBe('x\n');
      expect(looked?.stdout.toString()).toBe('');
    });
  });

  describe('executing', () => {
    const program = { path: 'bin/hello', content: Buffer.from('#!/bin/sh\necho hello\n'), isExecutable: true };
    const copied = sh('cp /bin/true /tmp/true && /tmp/true && echo copied');

    test('what a job brings and makes, where it may', async () => {
      const runs = [
        { name: 'brought', argv: ['./bin/hello'], limits },
        { name: 'made', argv: copied, limits },
      ];
      const results = await runAll(sandbox, { ...jobOf({}, runs), files: [program], mayExecute: true });
      expect(results.map(({ stdout }) => stdout.toString())).toEqual(['hello\n', 'copied\n']);
    });

    const whenEnforced = sandbox.kind === 'docker' ? test : test.skip;
    whenEnforced('nothing else', async () => {
      const runs = [
        { name: 'brought', argv: ['./bin/hello'], limits },
        { name: 'made', argv: copied, limits },
      ];
      const results = await runAll(sandbox, { ...jobOf({}, runs), files: [program] });
      expect(results.map(({ exitCode, stderr }) => [exitCode, stderr.toString().includes('Permission denied')])).toEqual([
        [126, true],
        [126, true],
      ]);
    });

    test('a program that is not there is named', async () => {
      const result = await runOnly(sandbox, { argv: ['no-such-program', 'x'] });
      expect(result).toMatchObject({ status: 'exited', exitCode: 127 });
      expect(result.stderr.toString()).toBe('no-such-program: No such file or directory\n');
    });
  });

  describe('limits on processes and files', () => {
    const forks = python(
      'import os, time',
      'for i in range(40):',
      '    try:',
      '        if os.fork() == 0: time.sleep(60)',
      '    except OSError: pass',
      // Where nobody counts refusals, a run at its limit has to be seen there.
      'time.sleep(0.3)',
    );

    test('whoever wants more processes than allowed is told so', async () => {
      expect(await runOne(sandbox, forks, { processes: 20 })).toMatchObject({ status: 'exited', hitProcessLimit: true });
      expect(await runOne(sandbox, forks, { processes: 60 })).toMatchObject({ status: 'exited', hitProcessLimit: false });
    });

    test('each run has its own limit, whatever the others may', async () => {
      const runs = [
        { name: 'few', argv: forks, limits: { ...limits, processes: 20 } },
        { name: 'many', argv: forks, limits },
        { name: 'few again', argv: sh(': & : & : & : & : & wait; echo ok'), limits: { ...limits, processes: 3 } },
      ];
      const [few, many, again] = await runAll(sandbox, jobOf({}, runs));
      expect(few?.hitProcessLimit).toBe(true);
      expect(many?.hitProcessLimit).toBe(false);
      expect(again?.stderr.toString()).toMatch(/fork|Resource temporarily unavailable/);
    });

    test('a file is cut at the limit', async () => {
      const result = await runOne(sandbox, sh('head -c 3000000 /dev/zero > /tmp/x'), { diskBytes: 1_000_000 });
      expect(result.exitCode).not.toBe(0);
    });

    const whenEnforced = sandbox.kind === 'docker' ? test : test.skip;
    whenEnforced('only so many files can be made', async () => {
      const script = 'i=0; while : > /tmp/$i; do i=$((i+1)); done; echo $i';
      const result = await runOne(sandbox, sh(`(${script}) 2>/dev/null; ls /tmp | wc -l`), { fileCount: 50 });
      expect(result.stdout.toString().trim()).toBe('50');
    });
  });

  describe('while runs are made', () => {
    test('output comes before the end, and is all in the result', async () => {
      const heard: string[] = [];
      const stop = new AbortController();
      const script = 'echo first; echo second >&2; sleep 60';
      const running = sandbox.run(jobOf({}, [{ name: 'talks', argv: sh(script), limits: { ...limits, wallTimeMs: 60_000 } }]), {
        ...options(stop.signal),
        onOutput: (name, stream, bytes) => {
          heard.push(`${name} ${stream} ${bytes.toString().trim()}`);
          if (heard.length === 2) stop.abort(new Error('heard enough'));
        },
      });
      await expect(running).rejects.toThrow('heard enough');
      expect(heard.toSorted()).toEqual(['talks stderr second', 'talks stdout first']);
    });

    test('what was heard is what the result says', async () => {
      const heard: Buffer[] = [];
      const run = { name: 'talks', argv: sh('for i in 1 2 3; do echo $i; sleep 0.05; done'), limits };
      const [result] = await sandbox.run(jobOf({}, [run]), { ...options(), onOutput: (_, __, bytes) => heard.push(bytes) });
      expect(Buffer.concat(heard)).toEqual(result?.stdout);
    });

    test('the caller may leave out what follows', async () => {
      const runs = ['a', 'b', 'c'].map((name) => ({ name, argv: sh(`test ${name} != b`), limits }));
      const results = await sandbox.run(jobOf({}, runs), { ...options(), shouldGoOn: ({ exitCode }) => exitCode === 0 });
      expect(results.map(({ name, exitCode }) => [name, exitCode])).toEqual([
        ['a', 0],
        ['b', 1],
      ]);
    });
  });

  describe('two processes', () => {
    const answer = python(
      'import os, socket',
      'channel = socket.socket(fileno=3)',
      'print("peer heard", channel.recv(100).decode(), flush=True)',
      'channel.send(b"pong")',
      'channel.recv(100)',
    );
    const ask = python(
      'import os, socket, sys',
      'channel = socket.socket(fileno=3)',
      'channel.send(b"ping")',
      'print("tester heard", channel.recv(100).decode())',
      'print("tester warns", file=sys.stderr)',
      'os.write(4, b"report")',
    );

    test('talk to each other; result and report are those of the first', async () => {
      const result = await runOnly(sandbox, { argv: ask, peer: { argv: answer } });
      expect(result).toMatchObject({ status: 'exited', exitCode: 0, report: 'report' });
      expect(result.stdout.toString()).toBe('tester heard pong\n');
      expect(result.stderr.toString()).toBe('tester warns\npeer heard ping\n');
    });

    test('if the second dies the first sees the end, and goes on', async () => {
      const waits = python('import socket', 'print(socket.socket(fileno=3).recv(100))');
      const result = await runOnly(sandbox, { argv: waits, peer: { argv: sh('exit 7') } });
      expect(result).toMatchObject({ status: 'exited', exitCode: 0 });
      expect(result.stdout.toString()).toBe("b''\n");
    });

    test('the second dies with the first, and neither leaves anything', async () => {
      const runs = [
        {
          name: 'pair',
          argv: sh('echo x > /tmp/mine'),
          peer: { argv: sh('mkdir -p /tmp/d/e; echo y > /tmp/d/e/f; sleep 60') },
          limits,
        },
        { name: 'look', argv: sh('ls -A /tmp; cat /proc/[0-9]*/cmdline | tr "\\0" " "'), limits },
      ];
      const [pair, look] = await runAll(sandbox, jobOf({}, runs));
      expect(pair).toMatchObject({ status: 'exited', exitCode: 0 });
      expect(look?.stdout.toString()).not.toMatch(/mine|^d$|sleep/m);
    });

    test.each([
      ['CPU time', 'cpu-time-limit', 'while True: pass', { cpuTimeMs: 500 }],
      ['memory', 'memory-limit', 'a = []\nwhile True: a.append(bytearray(1 << 20))', { memoryBytes: 64 * 1024 * 1024 }],
      ['output', 'output-limit', 'while True: print("x" * 1000)', {}],
    ])('limits count both: %s', async (_, status, code, changed) => {
      const result = await runOnly(sandbox, {
        argv: python('import time', 'time.sleep(15)'),
        peer: { argv: ['python3', '-c', code] },
        limits: { ...limits, ...changed },
      });
      expect(result.status).toBe(status);
    });

    test("the second reads neither the first one's files, memory nor descriptors, and cannot signal it", async () => {
      const secret = 'the-hidden-expectation';
      const spy = python(
        'import glob, os, signal, socket, sys',
        'channel = socket.socket(fileno=3)',
        'channel.recv(100)',
        'tried = 0',
        'def attempt(what, act):',
        '    global tried',
        '    tried += 1',
        '    try: print("could", what, act(), flush=True)',
        '    except OSError: pass',
        'attempt("read", lambda: open("tests/hidden.txt").read())',
        'attempt("list", lambda: os.listdir("secret"))',
        'attempt("read deeper", lambda: open("secret/deep/hidden.txt").read())',
        'attempt("replace", lambda: os.unlink("tests/hidden.txt"))',
        'attempt("report", lambda: os.write(4, b"forged"))',
        'for path in glob.glob("/proc/[0-9]*"):',
        '    pid = int(path[6:])',
        '    if pid == os.getpid(): continue',
        '    for name in ("mem", "environ", "fd/0", "fd/1", "fd/3", "fd/4", "cwd/x", "root/x"):',
        '        attempt(f"open {name}", lambda: open(f"{path}/{name}", "rb"))',
        '    attempt("list descriptors", lambda: os.listdir(f"{path}/fd"))',
        '    attempt("signal", lambda: os.kill(pid, signal.SIGSTOP))',
        'print("tried", tried > 20, flush=True)',
        'channel.send(b"done")',
      );
      const tester = python(
        'import os, socket, sys',
        'secret = open("tests/hidden.txt").read() + open("secret/deep/hidden.txt").read()',
        'channel = socket.socket(fileno=3)',
        'channel.send(b"go")',
        'channel.recv(100)',
        'os.write(4, secret.encode())',
      );
      const result = await runOnly(
        sandbox,
        {
          argv: tester,
          peer: { argv: spy },
          files: [
            { path: 'tests/hidden.txt', content: Buffer.from(secret) },
            { path: 'secret/deep/hidden.txt', content: Buffer.from(secret) },
          ],
        },
        { files: [{ path: 'tests/visible.txt', content: Buffer.from('for all') }] },
      );
      expect(result).toMatchObject({ status: 'exited', exitCode: 0, report: secret + secret });
      expect(result.stderr.toString()).toBe('tried True\n');
    });
  });

  describe.each([
    {
      interpreter: 'node' as const,
      program: 'main.js',
      code: "const fs = require('node:fs'); console.log(JSON.stringify([process.argv.slice(1), require.main === module, fs.readFileSync(0, 'utf8'), fs.readFileSync('/proc/self/cmdline', 'utf8')]));",
      seen: [['/box/work/main.js', 'one', 'two words'], true],
    },
    {
      interpreter: 'node' as const,
      program: 'main.mjs',
      code: "import { readFileSync } from 'node:fs'; let read = ''; for await (const piece of process.stdin) read += piece; console.log(JSON.stringify([process.argv.slice(1), import.meta.main, read, readFileSync('/proc/self/cmdline', 'utf8')]));",
      seen: [['/box/work/main.mjs', 'one', 'two words'], true],
    },
    {
      interpreter: 'python' as const,
      program: 'main.py',
      code: 'import json, sys\nprint(json.dumps([[__file__, sys.path[0], *sys.argv], __name__ == "__main__", sys.stdin.read(), open("/proc/self/cmdline").read()]))',
      seen: [['/box/work/./main.py', '/box/work', './main.py', 'one', 'two words'], true],
    },
  ])('an interpreter that has booted before: $interpreter, $program', ({ interpreter, program, code, seen }) => {
    const command = interpreter === 'node' ? 'node' : 'python3';
    const make = (content: string, run: { readonly interpreter?: Interpreter; readonly stdin?: Buffer }) =>
      runOnly(
        sandbox,
        { argv: [command, `./${program}`, 'one', 'two words'], ...run },
        { files: [{ path: program, content: Buffer.from(content) }] },
      );

    test('is the same to the program, and was there before it', async () => {
      const stdin = Buffer.from('some input');
      const booted = await make(code, { interpreter, stdin });
      const plain = await make(code, { stdin });
      expect(booted).toMatchObject({ status: 'exited', exitCode: 0, signal: null });
      const common = [...seen, 'some input'];
      expect(JSON.parse(booted.stdout.toString())).toEqual([...common, expect.stringContaining('/opt/atelier/boot.')]);
      expect(JSON.parse(plain.stdout.toString())).toEqual([...common, expect.not.stringContaining('/opt/atelier/boot.')]);
    });

    test('ends and fails like any other', async () => {
      const exits = await make(interpreter === 'node' ? 'process.exit(3)' : 'raise SystemExit(3)', { interpreter });
      expect(exits).toMatchObject({ status: 'exited', exitCode: 3 });
      const throws = interpreter === 'node' ? "throw new RangeError('of mine')" : "raise IndexError('of mine')";
      const [booted, plain] = [await make(throws, { interpreter }), await make(throws, {})];
      expect(booted).toMatchObject({ status: 'exited', exitCode: 1 });
      expect(booted.stderr.toString()).toContain('of mine');
      expect(booted.stderr.toString()).not.toContain('boot.');
      const firstLines = ({ stderr }: RunResult) => stderr.toString().split('\n').slice(0, 6);
      expect(firstLines(booted)).toEqual(firstLines(plain));
      const broken = await make('(', { interpreter });
      expect(broken.stderr.toString()).toContain('SyntaxError');
      expect(broken.exitCode).toBe(1);
    });

    test('has its limits, and the run after it a fresh process', async () => {
      const spin = interpreter === 'node' ? 'for (;;);' : 'while True: pass';
      const argv = [command, `./${program}`];
      const runs = [
        { name: 'booted', argv, interpreter, limits: { ...limits, cpuTimeMs: 500 } },
        { name: 'plain', argv: sh('id -u; cat /proc/[0-9]*/cmdline | tr "\\0" " "'), limits },
      ];
      const job = { ...jobOf({}, runs), files: [{ path: program, content: Buffer.from(spin) }] };
      const [booted, plain] = await runAll(sandbox, job);
      expect(booted?.status).toBe('cpu-time-limit');
      expect(plain?.stdout.toString()).not.toContain('boot.');
    });
  });

  describe('exactness', () => {
    const mebibyte = 1024 * 1024;
    const whenExact = sandbox.kind === 'docker' ? test : test.skip;

    whenExact('memory that is used for a moment is seen, in the first run of a sandbox', async () => {
      const brief = python(`b = bytearray(${100 * mebibyte})`, 'del b');
      const { memoryPeakBytes } = await runOne(sandbox, brief);
      expect(memoryPeakBytes).toBeGreaterThan(100 * mebibyte);
      expect(memoryPeakBytes).toBeLessThan(115 * mebibyte);
    });

    test('memory just within the limit is granted, just beyond is not', async () => {
      const take = (bytes: number) => python('import time', `b = bytearray(${bytes})`, 'time.sleep(0.1)');
      const memoryBytes = 128 * mebibyte;
      const within = await runOne(sandbox, take(memoryBytes - 12 * mebibyte), { memoryBytes });
      expect(within).toMatchObject({ status: 'exited', exitCode: 0 });
      expect((await runOne(sandbox, take(memoryBytes), { memoryBytes })).status).toBe('memory-limit');
    });

    test('memory of several processes is added up, and what lies below /tmp', async () => {
      const memoryBytes = 96 * mebibyte;
      const children = python(
        'import os, time',
        'for i in range(4):',
        `    if os.fork() == 0: b = bytearray(${30 * mebibyte}); time.sleep(60)`,
        'time.sleep(10)',
      );
      expect((await runOne(sandbox, children, { memoryBytes })).status).toBe('memory-limit');
      const files = sh(`head -c ${110 * mebibyte} /dev/zero > /tmp/x; sleep 10`);
      expect((await runOne(sandbox, files, { memoryBytes, diskBytes: 128 * mebibyte })).status).toBe('memory-limit');
    });

    test('CPU time of children and of orphans is counted', async () => {
      const burn = 'import time\nwhile time.process_time() < 0.2: pass';
      const child = python('import subprocess, sys', `subprocess.run([sys.executable, "-c", ${JSON.stringify(burn)}])`);
      const orphan = sh(`(setsid sh -c "python3 -c '${burn}'; touch /tmp/done" &); until [ -e /tmp/done ]; do sleep 0.1; done`);
      for (const argv of [child, orphan]) {
        const { cpuTimeMs } = await runOne(sandbox, argv);
        expect(cpuTimeMs).toBeGreaterThanOrEqual(195);
        expect(cpuTimeMs).toBeLessThan(700);
      }
    });

    test('a run is ended close to its CPU time limit', async () => {
      const { status, cpuTimeMs } = await runOne(sandbox, python('while True: pass'), { cpuTimeMs: 300 });
      expect(status).toBe('cpu-time-limit');
      expect(cpuTimeMs).toBeGreaterThan(300);
      expect(cpuTimeMs).toBeLessThan(400);
    });
  });
});
