import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { RunLimits } from '../../src/domain/exercises.ts';
import { dockerEngine } from '../../src/sandbox/docker.ts';
import type { RunRequest, RunResult, Sandbox } from '../../src/sandbox/sandbox.ts';
import { bombs, falseResults, hogs, leavers, mark, node, program, python, sleepers, spinners } from './attack-programs.ts';
import { describeReal, jobOf, limits, options } from './real-sandboxes.ts';

/*
 * Attacks on the sandbox and, through it, on this machine. After each the same sandbox makes an honest run, which must be as if there had
 * been no attack; at the end nothing of any of them may be left here. What is tested as part of a feature is not repeated.
 */

const mebibyte = 1024 * 1024;
const tight: RunLimits = { ...limits, cpuTimeMs: 500, wallTimeMs: 1500, memoryBytes: 128 * mebibyte, processes: 32 };
const roomy: RunLimits = { ...tight, cpuTimeMs: 10_000, wallTimeMs: 20_000 };

const timeLimits = ['cpu-time-limit', 'wall-time-limit'];

/** Says what the runs before have left: files, processes, queues; and whether work can be done at all. */
const canary: RunRequest = {
  name: 'canary',
  argv: python(
    'import os',
    'folders = [folder for folder in ("/tmp", "/dev/shm", "/dev/mqueue") if os.path.isdir(folder)]',
    'left = [name for folder in folders for name in os.listdir(folder)]',
    'others = [name for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, os.getpid())]',
    'open("/tmp/new", "w").write("x" * 100000)',
    'print(left, others, sum(range(1000)), len(bytearray(50000000)))',
  ),
  limits: roomy,
};

/** Containers whose job was one of ours; of bubblewrap there is nothing that could be listed but processes. */
async function containersOf({ kind }: Sandbox, submissionIds: readonly string[]): Promise<readonly string[]> {
  if (kind === 'bubblewrap') return [];
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

type Files = Readonly<Record<string, string>>;
type Run = Partial<RunRequest> & { readonly argv: readonly string[] };

await describeReal((sandbox) => {
  const submissionIds: string[] = [];

  /** Makes the runs in one fresh sandbox, and the canary after each; returns the results without the canary's. */
  async function attack(runs: readonly Run[], files: Files = {}): Promise<readonly RunResult[]> {
    const pairs = runs.map((run, index): RunRequest[] => [{ name: `attack ${index}`, limits: tight, ...run }, canary]);
    const job = jobOf(files, pairs.flat());
    submissionIds.push(job.label.submissionId);
    const results = await sandbox.run(job, options());
    const honest = results.filter(({ name }) => name === canary.name);
    expect(honest).toHaveLength(runs.length);
    for (const { status, exitCode, hitProcessLimit, stdout } of honest) {
      expect({ status, exitCode, hitProcessLimit }).toEqual({ status: 'exited', exitCode: 0, hitProcessLimit: false });
      expect(stdout.toString()).toBe('[] [] 499500 50000000\n');
    }
    return results.filter(({ name }) => name !== canary.name);
  }

  async function attackOnce(run: Run, files: Files = {}): Promise<RunResult> {
    const [result] = await attack([run], files);
    if (result === undefined) throw new Error('no result');
    return result;
  }

  afterAll(async () => {
    await sandbox.close();
    expect(processesLeft()).toEqual([]);
    expect(await containersOf(sandbox, submissionIds)).toEqual([]);
  });

  describe('takes too much', () => {
    test.each(bombs)('a bomb of %s', async (_what, argv) => {
      const result = await attackOnce({ argv });
      expect([...timeLimits, 'memory-limit']).toContain(result.status);
      expect(result.hitProcessLimit).toBe(true);
    });

    test.each(hogs)('memory: %s', async (_what, argv) => {
      const result = await attackOnce({ argv, limits: { ...roomy, wallTimeMs: 8_000 } });
      expect(result.status).toBe('memory-limit');
    });

    test('time: all that spin', async () => {
      const results = await attack(spinners.map(([name, argv]) => ({ name, argv })));
      for (const { name, status } of results) expect([name, timeLimits.includes(status)]).toEqual([name, true]);
    });

    test('time: all that wait', async () => {
      const results = await attack(sleepers.map(([name, argv]) => ({ name, argv })));
      expect(results.map(({ status }) => status)).toEqual(sleepers.map(() => 'wall-time-limit'));
    });

    test('disk: more names than there may be, where names take no memory that is not counted', async () => {
      const argv = python('for i in range(10**6): open(f"/tmp/{i}", "w").close()');
      const result = await attackOnce({ argv, limits: { ...roomy, memoryBytes: 64 * mebibyte } });
      // bubblewrap cannot say how many names there may be.
      const expected = { docker: ['exited', 1], bubblewrap: ['memory-limit', null] }[sandbox.kind];
      expect([result.status, result.exitCode]).toEqual(expected);
    });

    test.each([
      ['a large sparse file', ['with open("/tmp/x", "wb") as file: file.seek(1 << 40); file.write(b"x")'], 'File too large'],
      [
        'what a small archive unpacks to',
        ['import zlib', 'packed = zlib.compress(bytes(40 << 20), 1)', 'open("/tmp/x", "wb").write(zlib.decompress(packed))'],
        'File too large',
      ],
      ['shared memory', ['for i in range(1000): open(f"/dev/shm/{i}", "wb").write(b"x" * 1000000)'], 'No space left on device'],
    ])('disk: %s', async (_what, lines, expected) => {
      const result = await attackOnce({ argv: python(...lines), limits: roomy });
      expect(result).toMatchObject({ status: 'exited', exitCode: 1 });
      expect(result.stderr.toString()).toContain(expected);
    });

    test('floods of every channel at once', async () => {
      const argv = python('import os', 'while True:', '  for descriptor in (1, 2, 3): os.write(descriptor, b"x" * 65536)');
      const result = await attackOnce({ argv });
      expect(result.status).toBe('output-limit');
      expect(Math.max(result.stdout.length, result.stderr.length)).toBe(tight.outputBytes);
    });
  });

  test('does not want to go: nothing that a run leaves outlives it, nor holds up its end', async () => {
    const stdin = Buffer.alloc(8 * mebibyte, 'x');
    const results = await attack(leavers.map(([name, argv]) => ({ name, argv, limits: roomy, stdin })));
    const ends = results.map(({ name, status }) => [name, ['exited', 'signalled'].includes(status)]);
    expect(ends).toEqual(leavers.map(([what]) => [what, true]));
  });

  describe('reaches out', () => {
    let server: Server;
    let hidden: Server;
    let connections = 0;
    beforeAll(async () => {
      server = createServer(() => (connections += 1)).listen(0, '0.0.0.0');
      hidden = createServer(() => (connections += 1)).listen({ path: `\0${mark}` });
      await Promise.all([once(server, 'listening'), once(hidden, 'listening')]);
    });
    afterAll(() => {
      server.close();
      hidden.close();
    });

    test('no door into the kernel is open', async () => {
      const { files, argv } = program('doors.py');
      const result = await attackOnce({ argv, limits: roomy }, files);
      expect(result.stdout.toString()).toBe('');
      expect(result).toMatchObject({ status: 'exited', exitCode: 0 });
      // Not that it tried none.
      expect(result.stderr.toString()).toMatch(/^\d{2,} tried\n$/);
    });

    test('no network, wherever it leads: PostgreSQL, api, engine, metadata, gateway, name server', async () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      const database = new URL(process.env['TEST_DATABASE_URL'] ?? 'postgres://127.0.0.1:5432');
      const hosts = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).filter(({ family }) => family === 'IPv4'));
      const services = hosts.flatMap((host) => [port, database.port, 53, 2375].map((each) => `${host.address}:${each}`));
      const { files, argv } = program('network.py', ...services, mark);
      const result = await attackOnce({ argv, limits: roomy }, files);
      expect(result.stdout.toString()).toBe('devices: lo\n');
      expect(result).toMatchObject({ status: 'exited', exitCode: 0 });
      expect(connections).toBe(0);
    });

    test.each(['fresh', 'booted'])(
      'forged answers of the agent, from a %s interpreter, are output of a run that failed',
      async (how) => {
        const { files, argv } = program('forge.py');
        const result = await attackOnce({ argv, limits: roomy, ...(how === 'booted' && { interpreter: 'python' }) }, files);
        expect(result).toMatchObject({ status: 'exited', exitCode: 7, signal: null });
        expect(result.stdout.toString('latin1')).toMatch(/and the exit code is 7\n$/);
        expect(result.stdout.toString('latin1')).not.toMatch(/opened|connected/);
      },
    );

    test('a run holds no descriptor but its own', async () => {
      const list =
        'import os\nprint([os.readlink(f"/proc/self/fd/{n}").split(":")[0] for n in range(64) if os.path.exists(f"/proc/self/fd/{n}")])';
      expect((await attackOnce({ argv: python(list) })).stdout.toString()).toBe("['/dev/null', 'pipe', 'pipe', 'pipe']\n");
      const inNode = "console.log(require('node:fs').readdirSync('/tmp').length, process.ppid)";
      expect((await attackOnce({ argv: node(inNode), limits: roomy })).stdout.toString()).toBe('0 1\n');
    });
  });

  describe('looks for what is not its own', () => {
    test('what the host knows, and what an earlier run of the same sandbox was given', async () => {
      const secret = `secret-${randomUUID()}`;
      const keep = python(
        'import os, subprocess, sys',
        'secret = sys.stdin.read()',
        'for path in ("/tmp/a", "/dev/shm/a", "/tmp/.cache/a"):',
        '    os.makedirs(os.path.dirname(path), exist_ok=True)',
        '    open(path, "w").write(secret)',
        `subprocess.Popen(["sleep", "1000"], start_new_session=True, env={"SECRET": secret, "MARK": "${mark}"})`,
        'print(secret)',
      );
      // Turned round, or it would find itself.
      const search = program('search.py', secret.split('').toReversed().join(''));
      process.env['ATELIER_ATTACK_SECRET'] = secret;
      try {
        const runs = [
          { argv: keep, stdin: Buffer.from(secret), limits: roomy },
          { argv: search.argv, limits: roomy },
        ];
        const [kept, found] = await attack(runs, search.files);
        expect(kept?.stdout.toString()).toBe(`${secret}\n`);
        expect(found?.stdout.toString()).toBe('');
        expect(found).toMatchObject({ status: 'exited', exitCode: 0 });
      } finally {
        delete process.env['ATELIER_ATTACK_SECRET'];
      }
    });

    test('its cgroup is the topmost that it can see', async () => {
      const { stdout } = await attackOnce({ argv: ['cat', '/proc/self/cgroup'], limits: roomy });
      expect(stdout.toString()).toMatch(/^(\d+:[^:]*:\/\n)+$/);
    });

    test('two submissions at the same time see nothing of each other', async () => {
      const places = '("/tmp/a", "/dev/shm/a", "/dev/mqueue/a", "/var/tmp/a", "/run/a", "/run/lock/a", "/box/a", "/box/work/a")';
      const leave = python(
        'import os, socket, time',
        `for path in ${places}:`,
        '    try: open(path, "w").write("left"); os.chmod(path, 0o666)',
        '    except OSError: pass',
        `server = socket.socket(socket.AF_UNIX); server.bind("\\0${mark}-between"); server.listen()`,
        'print("ready", flush=True)',
        'time.sleep(60)',
      );
      const look = python(
        'import glob, os, socket',
        `print([path for path in ${places} if os.path.exists(path)])`,
        `for name in ("${mark}-between", "${mark}"):`,
        '    try: socket.socket(socket.AF_UNIX).connect("\\0" + name); print("connected")',
        '    except OSError: print("refused")',
        'print([name for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, os.getpid())])',
        'groups = glob.glob("/sys/fs/cgroup/**/cgroup.procs", recursive=True)',
        'print([path for path in groups if len(open(path).read().split()) > 2])',
      );
      const ready = Promise.withResolvers<void>();
      const stop = new AbortController();
      const leaving = jobOf({}, [{ name: 'leave', argv: leave, limits: { ...limits, wallTimeMs: 60_000 } }]);
      submissionIds.push(leaving.label.submissionId);
      const left = sandbox.run(leaving, { signal: stop.signal, onOutput: () => ready.resolve() });
      const ended = left.catch((error: unknown) => error);
      await ready.promise;
      const seen = await attackOnce({ argv: look, limits: roomy });
      stop.abort(new Error('seen'));
      expect(await ended).toMatchObject({ message: 'seen' });
      expect(seen.stderr.toString()).toBe('');
      expect(seen.stdout.toString()).toBe('[]\nrefused\nrefused\n[]\n[]\n');
    });
  });

  test('leaves something else than its result: none of it is read', async () => {
    const artifact = { path: 'out', maxBytes: 1000 };
    const runOf = (name: string, lines: readonly string[]) => ({
      name,
      argv: python('import os, socket', 'os.chdir("/tmp")', ...lines),
      artifact,
      limits: roomy,
    });
    const honest = runOf('honest', ['open("out", "w").write("result\\n\\0")']);
    const results = await attack([honest, ...Object.entries(falseResults).map(([name, lines]) => runOf(name, lines))]);
    const read = results.map(({ name, exitCode, artifact: bytes }) => [name, exitCode, bytes?.toString() ?? null]);
    expect(read).toEqual([['honest', 0, 'result\n\0'], ...Object.keys(falseResults).map((name) => [name, 0, null])]);
  });
});
