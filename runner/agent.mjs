/**
 * First program of a sandbox: takes files and runs from its standard input, answers on its standard output. Frames in both directions
 * are `[length u32 BE][JSON]`. In: `{type: 'file', path, content (base64)}`, before a run or between two,
 * `{type: 'run', argv, uid, limits, reportBytes, stdin? (base64)}`. Out: `ready`, `started`, `result` (bytes as base64), `error` (the
 * agent's own trouble: the sandbox is then of no more use).
 *
 * It runs as the sandbox's root with only SETUID, SETGID and KILL; every run has a user of its own, so student code can neither signal
 * nor read it, nor open its descriptors. Where only one user is mapped (bubblewrap started by an ordinary user) agent and student
 * share it: the student's code can then stop the agent or forge its answer, as it could forge a report of tests in its own process.
 */
import { spawn } from 'node:child_process';
import { closeSync, constants, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openMeter, runProcesses } from './meters.mjs';

const workFolder = '/box/work';
const writableFolders = ['/tmp', '/dev/shm'];
const maxFrameBytes = 64 * 1024 * 1024;
const watchIntervalMs = 20;
/**
 * A net below the meter where there is no cgroup. Node reserves over 500 MB that it never touches; less room than this and V8 aborts
 * before the meter sees a program reach its limit.
 */
const dataLimitSlackBytes = 2 * 1024 * 1024 * 1024;
const environment = {
  PATH: '/opt/atelier/bin:/usr/local/bin:/usr/bin:/bin',
  HOME: '/tmp',
  LANG: 'C.UTF-8',
  PYTHONDONTWRITEBYTECODE: '1',
};

const capSetuid = 1n << 7n;
const effectiveCapabilities = BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(readFileSync('/proc/self/status', 'latin1'))[1]}`);
const canSwitchUser = (effectiveCapabilities & capSetuid) !== 0n;
const { startMeter, hasCgroup } = openMeter(writableFolders);

function send(message) {
  const body = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  process.stdout.write(Buffer.concat([head, body]));
}

async function* frames(stream) {
  let chunks = [];
  let length = 0;
  let awaited = 4;
  for await (const chunk of stream) {
    chunks.push(chunk);
    length += chunk.length;
    // Joined only when a whole frame may be there, so that a large one is not copied once per chunk.
    while (length >= awaited) {
      const pending = Buffer.concat(chunks);
      const end = 4 + pending.readUInt32BE(0);
      if (end > maxFrameBytes) throw new Error('frame too large');
      const isWhole = length >= end;
      if (isWhole) yield JSON.parse(pending.subarray(4, end).toString());
      chunks = [isWhole ? pending.subarray(end) : pending];
      length = chunks[0].length;
      awaited = isWhole ? 4 : end;
    }
  }
}

/**
 * Files belong to root, and so does every folder below the work folder: nothing there can have been prepared by a student, also where
 * runs came before. Where agent and student share a user it can, and what lies at the path gives way.
 */
function writeFile({ path, content }) {
  const segments = path.split('/');
  if (path.includes('\0') || segments.some((segment) => ['', '.', '..'].includes(segment))) throw new Error('refused path');
  const target = `${workFolder}/${path}`;
  mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
  if (!canSwitchUser) rmSync(target, { recursive: true, force: true });
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const descriptor = openSync(target, flags, 0o644);
  const bytes = Buffer.from(content, 'base64');
  for (let offset = 0; offset < bytes.length; ) offset += writeSync(descriptor, bytes, offset);
  closeSync(descriptor);
}

/** One call of the kernel reaches every process except the first one and the caller, so a fork bomb cannot outrun it. */
function killRun() {
  try {
    process.kill(-1, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

async function killRunCompletely() {
  for (let attempt = 0; attempt < 200; attempt++) {
    killRun();
    if (runProcesses().every((pid) => /^State:\s+[ZX]/m.test(statusOf(pid)))) return;
    await sleep(10);
  }
  throw new Error('processes of the run survive SIGKILL');
}

function statusOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/status`, 'latin1');
  } catch {
    return 'State: X';
  }
}

const asUser = (uid) => (canSwitchUser ? { uid, gid: uid } : {});
const leftovers = () => writableFolders.flatMap((folder) => readdirSync(folder));

/** Removed by the run's own user: the agent is root without the right to enter other users' folders. */
async function emptyWritableFolders(uid) {
  if (leftovers().length === 0) return;
  const script = 'chmod -R u+rwx "$@" 2>/dev/null; find "$@" -mindepth 1 -delete';
  const child = spawn('/bin/sh', ['-c', script, 'sh', ...writableFolders], { ...asUser(uid), env: environment, stdio: 'ignore' });
  await new Promise((resolve) => child.once('exit', resolve).once('error', resolve));
  if (leftovers().length > 0) throw new Error('files of the run cannot be removed');
}

/** Collects up to `limit` bytes; what comes after is read and dropped, so that a writer is not blocked. */
function collect(stream, limit, onOverflow) {
  const chunks = [];
  let length = 0;
  stream.on('data', (chunk) => {
    const room = limit - length;
    length += chunk.length;
    if (room > 0) chunks.push(chunk.subarray(0, room));
    if (length > limit) onOverflow();
  });
  stream.on('error', () => {}); // Ends like a closed stream.
  return { bytes: () => Buffer.concat(chunks), isCut: () => length > limit };
}

const limit = (name, value) => `--${name}=${value}:${value}`;

/** `choom` makes the kernel's out-of-memory killer take the student's processes before the agent; `prlimit` sets the net below it. */
function limitedCommand(argv, limits) {
  const flags = [
    limit('core', 0),
    limit('nproc', limits.processes),
    limit('fsize', limits.diskBytes),
    limit('nofile', 512),
    // Whole seconds, rounded up and one more: the meter decides, this only holds if the agent cannot.
    limit('cpu', Math.ceil(limits.cpuTimeMs / 1000) + 1),
    ...(hasCgroup ? [] : [limit('data', limits.memoryBytes + dataLimitSlackBytes)]),
  ];
  return ['-n', '1000', '--', 'prlimit', ...flags, '--', ...argv];
}

async function run({ argv, uid, limits, reportBytes, stdin }) {
  const meter = startMeter();
  const startedAt = performance.now();
  const child = spawn('choom', limitedCommand(argv, limits), {
    ...asUser(uid),
    cwd: workFolder,
    env: environment,
    detached: true,
    stdio: [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', 'pipe'],
  });
  // A run that ends, or closes its input, before it has read all of it is no trouble.
  child.stdin?.on('error', () => {}).end(Buffer.from(stdin, 'base64'));
  // `close` comes when no process holds the pipes any more; all that could are killed when the run's first process ends.
  const closed = new Promise((resolve) => child.once('close', resolve));
  const exited = new Promise((resolve, reject) => {
    child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }));
    child.once('error', reject);
  });
  send({ type: 'started' });

  let limitHit = null;
  const stop = (status) => {
    limitHit ??= status;
    killRun();
  };
  const stdout = collect(child.stdout, limits.outputBytes, () => stop('output-limit'));
  const stderr = collect(child.stderr, limits.outputBytes, () => stop('output-limit'));
  const report = collect(child.stdio[3], reportBytes, () => {});

  let memoryPeakBytes = 0;
  const watch = setInterval(() => {
    memoryPeakBytes = Math.max(memoryPeakBytes, meter.memoryBytes());
    if (memoryPeakBytes > limits.memoryBytes) stop('memory-limit');
    else if (meter.cpuMs() > limits.cpuTimeMs) stop('cpu-time-limit');
  }, watchIntervalMs);
  const wallTimer = setTimeout(() => stop('wall-time-limit'), limits.wallTimeMs);

  let end;
  try {
    end = await exited;
  } finally {
    clearInterval(watch);
    clearTimeout(wallTimer);
  }
  const wallTimeMs = performance.now() - startedAt;
  await killRunCompletely();
  await closed;
  const cpuTimeMs = meter.cpuMs();
  // The kernel may have killed a child only, and the first process ended as if nothing had happened.
  if (meter.oomKills() > 0) limitHit = 'memory-limit';
  else if (cpuTimeMs > limits.cpuTimeMs) limitHit ??= 'cpu-time-limit';
  await emptyWritableFolders(uid);

  const reported = report.bytes();
  send({
    type: 'result',
    status: limitHit ?? (end.signal === null ? 'exited' : 'signalled'),
    exitCode: end.exitCode,
    signal: end.signal,
    wallTimeMs: Math.round(wallTimeMs),
    cpuTimeMs: Math.round(cpuTimeMs),
    memoryPeakBytes,
    stdout: stdout.bytes().toString('base64'),
    stderr: stderr.bytes().toString('base64'),
    report: report.isCut() || reported.length === 0 ? null : reported.toString('base64'),
  });
}

process.umask(0o022);
mkdirSync(workFolder, { recursive: true });
send({ type: 'ready' });
try {
  for await (const frame of frames(process.stdin)) {
    if (frame.type === 'file') writeFile(frame);
    else await run(frame);
  }
} catch (error) {
  send({ type: 'error', message: error.message });
}
