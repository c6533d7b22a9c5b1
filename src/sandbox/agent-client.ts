import { randomInt } from 'node:crypto';
import type { Readable } from 'node:stream';
import { z } from 'zod';
import { findPathProblem, foldersAbove } from '../domain/file-paths.ts';
import {
  filesOf,
  maxReportBytes,
  type RunOptions,
  type RunRequest,
  type RunResult,
  SandboxError,
  type SandboxFile,
  type SandboxJob,
} from './sandbox.ts';

/** Standard input and output of the agent (runner/agent.mjs) of one sandbox; `output` ends when the sandbox does. */
export interface AgentConnection {
  readonly input: NodeJS.WritableStream;
  readonly output: Readable;
}

/** A sandbox starts in a fraction of a second; a machine under load gets this long. */
const startTimeoutMs = 30_000;
/** Beyond the wall time limit, which the agent enforces: for killing, for emptying folders, for a machine under load. */
const resultSlackMs = 15_000;
/** Output twice and the report, as base64 in JSON, with room to spare; more is no answer of our agent. */
const maxFrameBytes = 64 * 1024 * 1024;

const Base64 = z.string().transform((text) => Buffer.from(text, 'base64'));

const Frame = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ready') }),
  z.object({ type: z.literal('started') }),
  z.object({ type: z.literal('error'), message: z.string() }),
  z.object({
    type: z.literal('result'),
    status: z.enum(['exited', 'signalled', 'wall-time-limit', 'cpu-time-limit', 'memory-limit', 'output-limit']),
    exitCode: z.number().int().nullable(),
    signal: z.string().nullable(),
    wallTimeMs: z.number(),
    cpuTimeMs: z.number(),
    memoryPeakBytes: z.number(),
    stdout: Base64,
    stderr: Base64,
    report: Base64.nullable(),
  }),
]);

type Frame = z.output<typeof Frame>;
type FrameOf<T extends Frame['type']> = Extract<Frame, { type: T }>;

function isFrameOf<T extends Frame['type']>(frame: Frame, type: T): frame is FrameOf<T> {
  return frame.type === type;
}

/**
 * Every run has a user of its own, also across the sandboxes of a machine: the kernel counts a user's processes machine-wide. Within
 * the 65,536 users that a rootless engine maps, above those of people and services.
 */
const firstUid = 20_000;
const uidCount = 40_000;
let nextUidOffset = randomInt(uidCount);

function takeUid(): number {
  nextUidOffset = (nextUidOffset + 1) % uidCount;
  return firstUid + nextUidOffset;
}

/**
 * Refuses files that could land outside the work folder, or that cannot be written there side by side.
 *
 * @throws SandboxError, not transient: whoever collects files filters them before, by the same rule.
 */
export function checkFiles(job: SandboxJob): void {
  const refused = findPathProblem(filesOf(job).map(({ path }) => path));
  if (refused === null) return;
  throw new SandboxError(`the file path ${JSON.stringify(refused.path)} ${refused.problem}`, { transient: false });
}

/** What the work folder takes on a memory file system: whole pages, and one name per file and folder. */
export function workFolderNeeds(job: SandboxJob): { readonly bytes: number; readonly names: number } {
  const pageBytes = 4096;
  const files = filesOf(job);
  const folders = new Set(files.flatMap(({ path }) => foldersAbove(path)));
  let bytes = 0;
  for (const { content } of files) bytes += Math.ceil(content.length / pageBytes) * pageBytes;
  // The root, the work folder, and some for the kernel's own accounting.
  return { bytes: bytes + 256 * pageBytes, names: files.length + folders.size + 16 };
}

/** Rejects with the signal's reason when it is aborted; never unhandled, as often nobody waits at that moment. */
export function abortOf(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => undefined);
  signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  if (signal.aborted) reject(signal.reason);
  return promise;
}

function encodeFrame(message: object): Buffer {
  const body = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  return Buffer.concat([head, body]);
}

async function* decodeFrames(output: Readable): AsyncGenerator<Frame, undefined> {
  let chunks: Buffer[] = [];
  let length = 0;
  let awaited = 4;
  for await (const chunk of output as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    // Joined only when a whole frame may be there, so that a large one is not copied once per chunk.
    while (length >= awaited) {
      const pending = Buffer.concat(chunks);
      const end = 4 + pending.readUInt32BE(0);
      if (end > maxFrameBytes) throw new Error('the frame is too large');
      const isWhole = length >= end;
      if (isWhole) yield Frame.parse(JSON.parse(pending.subarray(4, end).toString()));
      const rest = isWhole ? pending.subarray(end) : pending;
      chunks = [rest];
      length = rest.length;
      awaited = isWhole ? 4 : end;
    }
  }
  return undefined;
}

/** The agent's answers, each awaited with a deadline. */
class Answers {
  readonly #frames: AsyncGenerator<Frame, undefined>;
  readonly #aborted: Promise<never>;

  constructor(output: Readable, signal: AbortSignal) {
    this.#frames = decodeFrames(output);
    this.#aborted = abortOf(signal);
  }

  async next<T extends Frame['type']>(type: T, timeoutMs: number): Promise<FrameOf<T>> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new SandboxError(`the sandbox gave no answer (${type})`, { transient: true })),
      timeoutMs,
    );
    try {
      const { value: frame } = await Promise.race([this.#read(), late.promise, this.#aborted]);
      if (frame === undefined) throw new SandboxError(`the sandbox ended before its answer (${type})`, { transient: true });
      if (frame.type === 'error') throw new SandboxError(`the sandbox's agent failed: ${frame.message}`, { transient: true });
      if (!isFrameOf(frame, type))
        throw new SandboxError(`the sandbox answered ${frame.type} instead of ${type}`, { transient: true });
      return frame;
    } finally {
      clearTimeout(timer);
    }
  }

  async #read(): Promise<IteratorResult<Frame, undefined>> {
    try {
      return await this.#frames.next();
    } catch (error) {
      throw new SandboxError('the connection to the sandbox broke', { cause: error, transient: true });
    }
  }
}

function sendFiles(input: NodeJS.WritableStream, files: readonly SandboxFile[]): void {
  for (const { path, content } of files) input.write(encodeFrame({ type: 'file', path, content: content.toString('base64') }));
}

/** The run's own files are sent now and not before: what the agent does not have, no earlier run can steal. */
async function makeRun(input: NodeJS.WritableStream, answers: Answers, run: RunRequest, options: RunOptions): Promise<RunResult> {
  const { argv, limits, stdin } = run;
  sendFiles(input, run.files ?? []);
  const sentInput = stdin === undefined ? {} : { stdin: stdin.toString('base64') };
  input.write(encodeFrame({ type: 'run', argv, uid: takeUid(), limits, reportBytes: maxReportBytes, ...sentInput }));
  await answers.next('started', startTimeoutMs);
  options.onRunStart?.(run.name);
  const { type: _, report, ...result } = await answers.next('result', limits.wallTimeMs + resultSlackMs);
  return { name: run.name, ...result, report: report?.toString() ?? null, artifact: null, hitProcessLimit: false };
}

/**
 * Makes the runs of `job` through the agent of a fresh sandbox. The caller destroys the sandbox in every case.
 *
 * @throws SandboxError, transient, where the sandbox ends or falls silent before its answer: never a verdict, even if student code did
 * it. The signal's reason where `options.signal` is aborted.
 */
export async function runJob(connection: AgentConnection, job: SandboxJob, options: RunOptions): Promise<readonly RunResult[]> {
  const { input, output } = connection;
  const answers = new Answers(output, options.signal);
  // A sandbox that ends also ends its output, which is where that is noticed.
  input.on('error', () => undefined);
  await answers.next('ready', startTimeoutMs);
  sendFiles(input, job.files);
  const results: RunResult[] = [];
  for (const run of job.runs) results.push(await makeRun(input, answers, run, options));
  return results;
}
