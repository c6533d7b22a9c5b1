import { randomInt } from 'node:crypto';
import type { Readable } from 'node:stream';
import { findPathProblem } from '../domain/file-paths.ts';
import { type Answer, bootFrame, fileFrame, type OutputStream, readAnswers, runFrame } from './agent-protocol.ts';
import { runnerFolder } from './languages.ts';
import {
  filesOf,
  type Interpreter,
  maxReportBytes,
  type RunOptions,
  type RunRequest,
  type RunResult,
  SandboxError,
  type SandboxJob,
} from './sandbox.ts';
import type { SandboxShape } from './shape.ts';

/** Standard input and output of the agent (runner/agent) of one sandbox; `output` ends when the sandbox does. */
export interface AgentConnection {
  readonly input: NodeJS.WritableStream;
  readonly output: Readable;
  /** What the sandbox said outside the protocol, for the message where it fails. */
  lastWords(): string;
}

/** A sandbox starts in a fraction of a second; a machine under load gets this long. */
const startTimeoutMs = 30_000;
/** Beyond the wall time limit, which the agent enforces: for killing, for emptying folders, for a machine under load. */
const resultSlackMs = 15_000;

/**
 * Node by itself takes half of the memory that it sees for its heap, and aborts where that is full: it shall be the limit that a program
 * reaches, whatever sandbox it is in.
 */
const nodeHeap = ({ memoryBytes }: { readonly memoryBytes: number }) =>
  `--max-old-space-size=${Math.ceil(memoryBytes / (1024 * 1024))}`;

const bootPrograms: Readonly<Record<Interpreter, (shape: SandboxShape) => string[]>> = {
  node: (shape) => ['node', nodeHeap(shape), `${runnerFolder}/boot.mjs`],
  python: () => ['python3', `${runnerFolder}/boot.py`],
};

/**
 * Every process of a run has a user of its own, also across the sandboxes of a machine: the kernel counts a user's processes
 * machine-wide. Within the 65,536 users that a rootless engine maps, above those of people and services.
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

/** Rejects with the signal's reason when it is aborted; never unhandled, as often nobody waits at that moment. */
export function abortOf(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => undefined);
  signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  if (signal.aborted) reject(signal.reason);
  return promise;
}

/** A sandbox has ended in the middle of a job. Why is not known here. */
export class SandboxEnded extends SandboxError {
  /** Of the runs that were made. */
  readonly results: readonly RunResult[];
  /** How long the run that was being made had taken, in ms. */
  readonly wallTimeMs: number;

  constructor(cause: SandboxError, results: readonly RunResult[], wallTimeMs: number) {
    super(cause.message, { cause, transient: cause.transient });
    this.results = results;
    this.wallTimeMs = wallTimeMs;
  }
}

/** The agent of one sandbox, from its first word on. The caller destroys the sandbox in every case. */
export class Agent {
  readonly #connection: AgentConnection;
  readonly #answers: AsyncGenerator<Answer, undefined>;
  #hasBooted = false;
  #hasEnded = false;

  constructor(connection: AgentConnection) {
    this.#connection = connection;
    this.#answers = readAnswers(connection.output);
    // A sandbox that ends also ends its output, which is where that is noticed.
    connection.input.on('error', () => undefined);
  }

  /** Waits until the agent, and the interpreter that the shape asks for, are there. @throws SandboxError, transient. */
  async prepare(shape: SandboxShape): Promise<void> {
    await this.#within(startTimeoutMs, 'started', null, async () => {
      const answer = await this.#next();
      if (answer.type !== 'started') throw this.#unexpected(answer);
      if (shape.interpreter === null) return;
      this.#connection.input.write(bootFrame(takeUid(), shape, bootPrograms[shape.interpreter](shape)));
      const booted = await this.#next();
      if (booted.type !== 'booted') throw this.#unexpected(booted);
      this.#hasBooted = booted.isWaiting;
    });
  }

  /**
   * Makes the runs of `job`.
   *
   * @throws SandboxEnded, transient, where the sandbox ends before its answer, another SandboxError where it falls silent or makes no
   * sense; the signal's reason where `options.signal` is aborted.
   */
  async runJob(job: SandboxJob, options: RunOptions): Promise<readonly RunResult[]> {
    const aborted = abortOf(options.signal);
    const results: RunResult[] = [];
    for (const [index, run] of job.runs.entries()) {
      const files = index === 0 ? job.files : [];
      const startedAt = performance.now();
      const result = await this.#makeRun(
        run,
        files.map((file) => fileFrame(file, null)),
        options,
        aborted,
      ).catch((error: unknown) => {
        if (error instanceof SandboxError && this.#hasEnded)
          throw new SandboxEnded(error, results, performance.now() - startedAt);
        throw error;
      });
      results.push(result);
      if (options.shouldGoOn?.(result) === false) break;
    }
    return results;
  }

  /** The run's own files are sent now and not before: what the agent does not have, no earlier run can steal. */
  async #makeRun(run: RunRequest, jobFiles: readonly Buffer[], options: RunOptions, aborted: Promise<never>): Promise<RunResult> {
    const { name, argv, peer, limits, artifact, stdin, files = [], interpreter } = run;
    const uid = takeUid();
    const onlyFor = peer === undefined ? null : uid;
    const usesBooted = interpreter !== undefined && this.#hasBooted;
    this.#hasBooted = false;
    const command = argv[0] === 'node' && !usesBooted ? ['node', nodeHeap(limits), ...argv.slice(1)] : argv;
    const sent = { argv: command, peerArgv: peer?.argv ?? [], uid, peerUid: takeUid(), usesBooted, limits, artifact, stdin };
    const frames = [...jobFiles, ...files.map((file) => fileFrame(file, onlyFor)), runFrame(sent)];
    this.#connection.input.write(Buffer.concat(frames));
    options.onRunStart?.(name);
    return this.#within(limits.wallTimeMs + resultSlackMs, 'result', aborted, () => this.#collect(run, options));
  }

  async #collect({ name, artifact, limits }: RunRequest, { onOutput }: RunOptions): Promise<RunResult> {
    const written: Record<OutputStream, Buffer[]> = { stdout: [], stderr: [], report: [], peer: [] };
    const pieces: Buffer[] = [];
    // The agent keeps to the limits. Where student code shares its user, an answer may be forged.
    let room = 3 * limits.outputBytes + maxReportBytes + (artifact?.maxBytes ?? 0);
    for (;;) {
      const answer = await this.#next();
      if ('bytes' in answer) room -= answer.bytes.length;
      if (room < 0) throw this.#unexpected(answer);
      if (answer.type === 'output') {
        written[answer.stream].push(answer.bytes);
        if (answer.stream !== 'report') onOutput?.(name, answer.stream === 'peer' ? 'stderr' : answer.stream, answer.bytes);
      } else if (answer.type === 'artifact') {
        pieces.push(answer.bytes);
      } else if (answer.type === 'result') {
        const { isReportCut, hasArtifact, ...result } = answer.result;
        const report = Buffer.concat(written.report);
        return {
          name,
          ...result,
          stdout: Buffer.concat(written.stdout),
          stderr: Buffer.concat([...written.stderr, ...written.peer]),
          report: isReportCut || report.length === 0 ? null : report.toString(),
          artifact: artifact !== undefined && hasArtifact ? Buffer.concat(pieces) : null,
        };
      } else {
        throw this.#unexpected(answer);
      }
    }
  }

  async #next(): Promise<Answer> {
    let read: IteratorResult<Answer, undefined>;
    try {
      read = await this.#answers.next();
    } catch (error) {
      throw new SandboxError('the connection to the sandbox broke', { cause: error, transient: true });
    }
    if (read.value === undefined) {
      this.#hasEnded = true;
      const words = this.#connection.lastWords().trim();
      throw new SandboxError(`the sandbox ended before its answer${words === '' ? '' : `: ${words}`}`, { transient: true });
    }
    if (read.value.type === 'error')
      throw new SandboxError(`the sandbox's agent failed: ${read.value.message}`, { transient: true });
    return read.value;
  }

  #unexpected(answer: Answer): SandboxError {
    return new SandboxError(`the sandbox's agent answered ${answer.type} out of turn`, { transient: true });
  }

  /** A deadline for what the agent should answer in any case, so that a sandbox that hangs holds nobody up for ever. */
  async #within<T>(timeoutMs: number, what: string, aborted: Promise<never> | null, wait: () => Promise<T>): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new SandboxError(`the sandbox gave no answer (${what})`, { transient: true })),
      timeoutMs,
    );
    const waited = wait();
    // Where the deadline or the signal was first.
    waited.catch(() => undefined);
    try {
      return await Promise.race([waited, late.promise, ...(aborted === null ? [] : [aborted])]);
    } finally {
      clearTimeout(timer);
    }
  }
}
