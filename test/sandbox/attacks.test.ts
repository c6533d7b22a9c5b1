import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import type { RunLimits } from '../../src/domain/exercises.ts';
import { dockerEngine } from '../../src/sandbox/docker.ts';
import type { RunRequest, RunResult, Sandbox } from '../../src/sandbox/sandbox.ts';
import { isRequired, jobOf, limits, openReal, options } from './real-sandboxes.ts';

/**
 * Attacks on the sandbox and, through it, on this machine. After each the same sandbox makes an honest run, which must be as if there had
 * been no attack; at the end nothing of any of them may be left here. What sandbox.test.ts has as part of a feature is not repeated.
 */
const real = [await openReal('docker'), await openReal('bubblewrap')];

/** Part of every command line here, and so of every process that an attack leaves. */
const mark = `attack-${randomUUID()}`;
const mebibyte = 1024 * 1024;
const tight: RunLimits = { ...limits, cpuTimeMs: 700, wallTimeMs: 2500, memoryBytes: 128 * mebibyte, processes: 32 };

const python = (code: string): readonly string[] => ['python3', '-c', `# ${mark}\n${code}`];
const node = (code: string): readonly string[] => ['node', '-e', `// ${mark}\n${code}`];
const payload = (name: string) => readFileSync(join(import.meta.dirname, 'attacks', name), 'utf8');

const time = ['cpu-time-limit', 'wall-time-limit'];

/** Its output tells what the run before has left: files, processes, shared memory, and whether work can be done at all. */
const canary: RunRequest = {
  name: 'canary',
  argv: python(
    [
      'import os',
      'left = [name for folder in ("/tmp", "/dev/shm") for name in os.listdir(folder)]',
      'others = [name for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, os.getpid())]',
      'open("/tmp/new", "w").write("x" * 100000)',
      'print(left, others, sum(range(1000)), len(bytearray(50000000)))',
    ].join('\n'),
  ),
  limits: { ...tight, cpuTimeMs: 10_000, wallTimeMs: 20_000 },
};

/** Containers whose job was one of ours; for bubblewrap there is nothing that could be listed but processes. */
async function containersOf(submissionIds: readonly string[]): Promise<readonly string[]> {
  const containers = await dockerEngine().listContainers({ all: true });
  return containers.flatMap(({ Names }) => Names).filter((name) => submissionIds.some((id) => name.includes(id)));
}

/** Processes of this machine, wherever they run, that an attack has started. */
function processesLeft(): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(mark);
    } catch {
      return false;
    }
  });
}

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
  const sandbox: Sandbox = opened;
  const submissionIds: string[] = [];

  /** Makes the runs and then the canary, all in one fresh sandbox; returns the results without the canary's. */
  async function attack(
    runs: readonly (Partial<RunRequest> & { readonly argv: readonly string[] })[],
    files: Readonly<Record<string, string>> = {},
  ): Promise<readonly RunResult[]> {
    const named = runs.map((run, index) => ({ name: `attack ${index}`, limits: tight, ...run }));
    const job = jobOf(files, [...named, canary]);
    submissionIds.push(job.label.submissionId);
    const results = await sandbox.run(job, options());
    expect(results.at(-1)).toMatchObject({ status: 'exited', exitCode: 0, hitProcessLimit: false });
    expect(results.at(-1)?.stdout.toString()).toBe('[] [] 499500 50000000\n');
    return results.slice(0, -1);
  }

  async function attackOnce(argv: readonly string[], changed: Partial<RunLimits> = {}): Promise<RunResult> {
    const [result] = await attack([{ argv, limits: { ...tight, ...changed } }]);
    if (result === undefined) throw new Error('no result');
    return result;
  }

  /** Runs one of the programs beside this file. */
  async function attackBy(file: string, ...args: readonly string[]): Promise<RunResult> {
    const argv = ['python3', `./${file}`, ...args, mark];
    const [result] = await attack([{ argv, limits: canary.limits }], { [file]: payload(file) });
    if (result === undefined) throw new Error('no result');
    return result;
  }

  afterAll(async () => {
    await sandbox.close();
    expect(processesLeft()).toEqual([]);
    if (kind === 'docker') expect(await containersOf(submissionIds)).toEqual([]);
  });

  describe('takes too much', () => {
    test.each([
      ['fork bomb', python('import os\nwhile True:\n  try: os.fork()\n  except OSError: pass')],
      [
        'fork bomb that runs from its killer',
        python('import os\nwhile True:\n  try:\n    if os.fork(): os._exit(0)\n    os.setsid()\n  except OSError: pass'),
      ],
      [
        'bomb of child processes',
        node(`const { spawn } = require('node:child_process');
          const bomb = () => { const child = spawn(process.execPath, ['-e', 'for(;;);']); child.on('error', () => {}); setImmediate(bomb); };
          bomb();`),
      ],
      [
        'thread bomb',
        python(
          'import threading, time\nwhile True:\n  try: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n  except RuntimeError: pass',
        ),
      ],
    ])('%s', async (name, argv) => {
      const result = await attackOnce(argv);
      // The first process of the one that runs away ends at once, and its run with it.
      const expected = name.includes('runs from') ? ['exited', ...time] : [...time, 'memory-limit'];
      expect(expected).toContain(result.status);
      if (!name.includes('runs from')) expect(result.hitProcessLimit).toBe(true);
    });

    test.each([
      [
        'forty children of 20 MB',
        'import os, time\nfor _ in range(28):\n  if os.fork() == 0: held = b"x" * 20000000; time.sleep(60)\ntime.sleep(60)',
      ],
      [
        'files and memory together',
        'held = bytearray(b"x" * 80000000)\nfor i in range(7):\n  open(f"/tmp/{i}", "wb").write(b"x" * 1000000)\nwhile True: held += b"x" * 1000000',
      ],
      [
        'shared memory',
        'import mmap\nheld = []\nwhile True:\n  held.append(mmap.mmap(-1, 1 << 20)); held[-1].write(b"x" * (1 << 20))',
      ],
      [
        'memory behind a descriptor',
        'import os\nheld = []\nwhile True:\n  try: held.append(os.memfd_create("x")); os.write(held[-1], b"x" * 7000000)\n  except OSError: held.append(bytearray(b"x" * 7000000))',
      ],
      [
        'a child whose parent goes on',
        'import subprocess, sys\nsubprocess.run([sys.executable, "-c", "a = []\\nwhile True: a.append(bytearray(1 << 20))"])',
      ],
    ])('memory: %s', async (_name, code) => {
      const result = await attackOnce(python(code), { cpuTimeMs: 20_000, wallTimeMs: 20_000, diskBytes: 8 * mebibyte });
      expect(result.status).toBe('memory-limit');
    });

    test.each([
      ['infinite loop', python('while True: pass'), time],
      ['infinite loop in Node', node('for(;;);'), time],
      ['sixteen processes that spin', python('import os\nfor _ in range(4): os.fork()\nwhile True: pass'), time],
      [
        'a spinning orphan of a session of its own',
        python(
          'import os, time\nif os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0:\n    while True: pass\n  os._exit(0)\ntime.sleep(60)',
        ),
        time,
      ],
      ['sleep', python('import time; time.sleep(60)'), ['wall-time-limit']],
      ['stopping itself', python('import os, signal; os.kill(os.getpid(), signal.SIGSTOP)'), ['wall-time-limit']],
      [
        'all signals ignored',
        python(
          'import signal\nfor number in range(1, 65):\n  try: signal.signal(number, signal.SIG_IGN)\n  except (OSError, ValueError): pass\nwhile True: pass',
        ),
        time,
      ],
      ['all descriptors closed', python('import os, time\nos.closerange(0, 1024)\ntime.sleep(60)'), ['wall-time-limit']],
      [
        'the timers of its limits set back',
        python(
          'import resource, time\ntry: resource.setrlimit(resource.RLIMIT_CPU, (-1, -1))\nexcept (OSError, ValueError): pass\nwhile True: pass',
        ),
        time,
      ],
    ])('time: %s', async (_name, argv, expected) => {
      expect(expected).toContain((await attackOnce(argv)).status);
    });

    test.each([
      [
        'more names than may be made',
        'import os\nfor i in range(10**6): open(f"/tmp/{i}", "w").close()',
        'No space left on device',
      ],
      ['one large sparse file', 'with open("/tmp/x", "wb") as file: file.seek(1 << 40); file.write(b"x")', 'File too large'],
      [
        'what a small archive unpacks to',
        'import io, zlib\npacked = zlib.compressobj()\ndata = b"".join(packed.compress(bytes(1 << 20)) for _ in range(64)) + packed.flush()\nopen("/tmp/x", "wb").write(zlib.decompress(data))',
        'File too large',
      ],
      [
        'shared memory of the file system',
        'for i in range(1000): open(f"/dev/shm/{i}", "wb").write(b"x" * 1000000)',
        'No space left on device',
      ],
    ])('disk: %s', async (_name, code, expected) => {
      const result = await attackOnce(python(code), { cpuTimeMs: 10_000, wallTimeMs: 20_000, memoryBytes: 256 * mebibyte });
      expect(result).toMatchObject({ status: 'exited', exitCode: 1 });
      expect(result.stderr.toString()).toContain(expected);
    });

    test('floods of every channel at once', async () => {
      const code = 'import os\nwhile True:\n  for descriptor in (1, 2, 3): os.write(descriptor, b"x" * 65536)';
      const result = await attackOnce(python(code));
      expect(result).toMatchObject({ status: 'output-limit' });
      expect(Math.max(result.stdout.length, result.stderr.length)).toBe(tight.outputBytes);
    });
  });

  describe('does not want to go', () => {
    test.each([
      [
        'a tree deeper than any path',
        'import os\nos.chdir("/tmp")\nfor _ in range(3000): os.mkdir("d" * 200); os.chdir("d" * 200)\nopen("x", "w").close()',
      ],
      [
        'folders that nobody may enter',
        'import os\nfor i in range(20):\n  os.makedirs(f"/tmp/{i}/in/side"); open(f"/tmp/{i}/in/x", "w").close(); os.chmod(f"/tmp/{i}/in", 0); os.chmod(f"/tmp/{i}", 0)',
      ],
      [
        'odd names',
        'import os\nfor name in (b"a\\nb", b"-rf", b"\\xff\\xfe", b" ", b"\\x1b[31m", b"...", b"$(id)", b"n" * 255): open(b"/tmp/" + name, "w").close(); os.symlink(b"/", b"/dev/shm/" + name)',
      ],
      [
        'links and odd files',
        'import os, socket\nos.mkfifo("/tmp/fifo"); os.symlink("/tmp", "/tmp/loop"); os.symlink("/", "/tmp/root"); open("/tmp/a", "w").close(); os.link("/tmp/a", "/tmp/b")\nsocket.socket(socket.AF_UNIX).bind("/tmp/socket")',
      ],
      [
        'a file that is held open',
        'import os\nif os.fork() == 0:\n  held = open("/tmp/held", "w"); os.remove("/tmp/held")\n  while True: held.write("x"); held.seek(0)',
      ],
      [
        'daemons that hold the output',
        'import os, time\nfor _ in range(5):\n  if os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n    while True: time.sleep(0.01)',
      ],
      [
        'an output that hides in flight between two sockets',
        'import array, os, socket\na, b = socket.socketpair()\nfor end in (a, b): end.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [1, 2, 3, a.fileno(), b.fileno()]))])',
      ],
      [
        'killing all that it may',
        'import os, signal\nif os.fork() == 0: os.kill(-1, signal.SIGKILL)\nelse: os.wait()',
        [0, null],
      ],
      ['input of which nothing is read', 'import sys; sys.exit(0)'],
    ])('%s', async (_name, code, exitCodes: readonly (number | null)[] = [0]) => {
      const stdin = Buffer.alloc(8 * mebibyte, 'x');
      const roomy = { ...tight, cpuTimeMs: 10_000, wallTimeMs: 20_000 };
      const [result] = await attack([{ argv: python(code), limits: roomy, stdin }]);
      expect(['exited', 'signalled']).toContain(result?.status);
      expect(exitCodes).toContain(result?.exitCode);
    });
  });

  describe('reaches out', () => {
    let server: Server;
    let hidden: Server;
    let connections = 0;
    const abstractName = `\0${mark}`;
    beforeAll(async () => {
      server = createServer(() => (connections += 1)).listen(0, '0.0.0.0');
      hidden = createServer(() => (connections += 1)).listen({ path: abstractName });
      await Promise.all([once(server, 'listening'), once(hidden, 'listening')]);
    });
    afterAll(() => {
      server.close();
      hidden.close();
    });

    test('no door into the kernel is open', async () => {
      const result = await attackBy('doors.py');
      expect(result).toMatchObject({ status: 'exited', exitCode: 0 });
      expect(result.stdout.toString()).toBe('');
    });

    test('no network, wherever it leads: PostgreSQL, api, engine, metadata, gateway, name server', async () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      const hosts = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).filter(({ family }) => family === 'IPv4'));
      const database = new URL(process.env['TEST_DATABASE_URL'] ?? 'postgres://127.0.0.1:5432');
      const services = hosts.flatMap((host) => [
        `${host.address}:${port}`,
        `${host.address}:${database.port}`,
        `${host.address}:53`,
      ]);
      const result = await attackBy('network.py', ...services, `${database.hostname}:${database.port}`);
      expect(result).toMatchObject({ status: 'exited', exitCode: 0 });
      expect(result.stdout.toString()).toBe('devices: lo\n');
      expect(connections).toBe(0);
    });

    test('a socket of the host that has no place in the file system', async () => {
      const code = `import socket\ntry: socket.socket(socket.AF_UNIX).connect("\\0${mark}"); print("connected")\nexcept OSError: print("refused")`;
      expect((await attackOnce(python(code))).stdout.toString()).toBe('refused\n');
      expect(connections).toBe(0);
    });

    test('what would be a good result, written wherever it can be, is the output of a run that failed', async () => {
      const result = await attackBy('forge.py');
      expect(result).toMatchObject({ status: 'exited', exitCode: 7, signal: null });
      expect(result.stdout.toString('latin1').endsWith('and the exit code is 7\n')).toBe(true);
      expect(result.stdout.toString()).not.toMatch(/opened|connected/);
      expect(result.report).toContain('R');
    });
  });

  describe('looks for what is not its own', () => {
    test('what the host knows and an earlier run of the same sandbox was given', async () => {
      const secret = `secret-${randomUUID()}`;
      process.env['ATELIER_ATTACK_SECRET'] = secret;
      const keep = [
        'import os, subprocess, sys, time',
        'secret = sys.stdin.read()',
        'for path in ("/tmp/a", "/dev/shm/a", "/tmp/.cache/a"):',
        '    os.makedirs(os.path.dirname(path), exist_ok=True)',
        '    open(path, "w").write(secret)',
        'os.environ["SECRET"] = secret',
        'subprocess.Popen(["sleep", "1000"], start_new_session=True)',
        'print(secret)',
      ].join('\n');
      const reversed = secret.split('').toReversed().join('');
      const search: RunRequest = { name: 'search', argv: ['python3', './search.py', reversed, mark], limits: canary.limits };
      try {
        const [kept, found] = await attack([{ argv: python(keep), stdin: Buffer.from(secret), limits: canary.limits }, search], {
          'search.py': payload('search.py'),
        });
        expect(kept?.stdout.toString()).toBe(`${secret}\n`);
        expect(found).toMatchObject({ status: 'exited', exitCode: 0 });
        expect(found?.stdout.toString()).toBe('');
      } finally {
        delete process.env['ATELIER_ATTACK_SECRET'];
      }
    });

    test('two submissions at the same time see nothing of each other', async () => {
      const shared = `\\0${mark}-between`;
      const leave = [
        'import os, socket, time',
        'for path in ("/tmp/shared", "/dev/shm/shared", "/var/tmp/shared", "/run/shared", "/box/shared", "/var/lock/shared"):',
        '    try: open(path, "w").write("left"); os.chmod(path, 0o666)',
        '    except OSError: pass',
        `server = socket.socket(socket.AF_UNIX); server.bind("${shared}"); server.listen()`,
        'print("ready", flush=True)',
        'time.sleep(60)',
      ].join('\n');
      const look = [
        'import glob, os, socket',
        'places = ("/tmp/shared", "/dev/shm/shared", "/var/tmp/shared", "/run/shared", "/box/shared", "/var/lock/shared")',
        'print([path for path in places if os.path.exists(path)])',
        `try: socket.socket(socket.AF_UNIX).connect("${shared}"); print("connected")`,
        'except OSError: print("refused")',
        'print([name for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, os.getpid())])',
        'print(os.popen("cat /proc/sysvipc/* | grep -c -v key").read().strip())',
        'print([path for path in glob.glob("/sys/fs/cgroup/**/cgroup.procs", recursive=True) if len(open(path).read().split()) > 3])',
      ].join('\n');
      const ready = Promise.withResolvers<void>();
      const stop = new AbortController();
      const leaving = jobOf({}, [{ name: 'leave', argv: python(leave), limits: { ...limits, wallTimeMs: 60_000 } }]);
      submissionIds.push(leaving.label.submissionId);
      const left = sandbox.run(leaving, { signal: stop.signal, onOutput: () => ready.resolve() });
      const ended = left.catch((error: unknown) => error);
      await ready.promise;
      const [seen] = await attack([{ argv: python(look), limits: canary.limits }]);
      stop.abort(new Error('seen'));
      expect(await ended).toMatchObject({ message: 'seen' });
      expect(seen?.stderr.toString()).toBe('');
      expect(seen?.stdout.toString()).toBe('[]\nrefused\n[]\n0\n[]\n');
    });
  });

  describe('leaves something else than its result', () => {
    const read = async (code: string, path = 'out') => {
      const artifact = { path, maxBytes: 1000 };
      const [result] = await attack([
        { argv: python(`import os, socket\nos.chdir("/tmp")\n${code}`), artifact, limits: canary.limits },
      ]);
      expect(result).toMatchObject({ status: 'exited', exitCode: 0 });
      return result?.artifact?.toString() ?? null;
    };

    test('what is there is taken as it is', async () => {
      expect(await read('open("out", "w").write("result\\n\\0")')).toBe('result\n\0');
    });

    test.each([
      ['a link to a file of the system', 'os.symlink("/etc/passwd", "out")'],
      ["a link to the agent's environment", 'os.symlink("/proc/1/environ", "out")'],
      ['a link to its own file', 'open("x", "w").write("x"); os.symlink("x", "out")'],
      ['a named pipe', 'os.mkfifo("out")'],
      ['a folder', 'os.mkdir("out")'],
      ['a socket', 'socket.socket(socket.AF_UNIX).bind("out")'],
      ['a sparse file over the limit', 'open("out", "wb").truncate(7000000)'],
      ['a link below a link', 'os.symlink("/etc", "folder")', 'folder/passwd'],
      [
        'a file in a folder that nobody may enter',
        'os.mkdir("folder"); open("folder/out", "w").close(); os.chmod("folder", 0)',
        'folder/out',
      ],
      ['a name with a line end', 'open("out\\n", "w").write("x")'],
    ])('%s counts as nothing', async (_name, code, path = 'out') => {
      expect(await read(code, path)).toBeNull();
    });

    test('files of the system cannot be linked into its own folder', async () => {
      const code = 'try: os.link("/etc/passwd", "out"); print("linked")\nexcept OSError: print("refused")';
      expect(await read(code)).toBeNull();
    });

    test('nothing of this machine was changed', () => {
      expect(statSync('/etc/passwd').mode & 0o777).toBe(0o644);
    });
  });
});
