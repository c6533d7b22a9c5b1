import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import type { RunStatus } from '../domain/check-runs.ts';
import type { RunLimits } from '../domain/exercises.ts';
import { maxReportBytes, type SandboxFile } from './sandbox.ts';

/**
 * Frames between this process and the agent of a sandbox; their layout is in runner/agent/protocol.h. Bytes of student code are never
 * anything but payload, so no output of theirs is taken for an answer of the agent.
 */
export type Answer =
  | { readonly type: 'started' }
  | { readonly type: 'booted'; readonly isWaiting: boolean }
  | { readonly type: 'output'; readonly stream: OutputStream; readonly bytes: Buffer }
  | { readonly type: 'artifact'; readonly bytes: Buffer }
  | { readonly type: 'result'; readonly result: AgentResult }
  | { readonly type: 'error'; readonly message: string };

const outputStreams = { 1: 'stdout', 2: 'stderr', 3: 'report', 4: 'peer' } as const;
/** `peer`: all that the second process of a run writes. */
export type OutputStream = (typeof outputStreams)[keyof typeof outputStreams];

/** The agent's word on a run, without what it wrote. */
export interface AgentResult {
  readonly status: RunStatus;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly wallTimeMs: number;
  readonly cpuTimeMs: number;
  readonly memoryPeakBytes: number;
  readonly hitProcessLimit: boolean;
  readonly isReportCut: boolean;
  readonly hasArtifact: boolean;
}

export interface AgentRun {
  readonly argv: readonly string[];
  readonly peerArgv: readonly string[];
  /** User of each process; that of a peer counts only where there is one. */
  readonly uid: number;
  readonly peerUid: number;
  readonly usesBooted: boolean;
  readonly limits: RunLimits;
  readonly artifact: { readonly path: string; readonly maxBytes: number } | undefined;
  readonly stdin: Buffer | undefined;
}

/** Where programs are looked up inside a sandbox: the agent's own environment, of which its runs inherit this and `PYTHONPATH` alone. */
export const searchPath = '/opt/atelier/bin:/usr/local/bin:/usr/bin:/bin';

/** The agent sends pieces of 64 KiB; more is no answer of ours. */
const maxAnswerBytes = 128 * 1024;
const statuses = ['exited', 'signalled', 'wall-time-limit', 'cpu-time-limit', 'memory-limit', 'output-limit'] as const;
const fileFlags = { executable: 1, forGroup: 2 } as const;
const runFlags = { booted: 1 } as const;
const resultFlags = { reportCut: 1, artifactSent: 2, processLimitHit: 4 } as const;

const u8 = (value: number): Buffer => Buffer.from([value]);

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

const block = (bytes: Buffer): Buffer => Buffer.concat([u32(bytes.length), bytes]);
const text = (value: string): Buffer => block(Buffer.from(value));
const list = (values: readonly string[]): Buffer => text(values.map((value) => `${value}\0`).join(''));

function frame(type: string, parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.from(type), u32(length), ...parts]);
}

/** @param onlyFor gid of the one group that may read it; null: everybody may. */
export function fileFrame({ path, content, isExecutable = false }: SandboxFile, onlyFor: number | null): Buffer {
  const flags = (isExecutable ? fileFlags.executable : 0) | (onlyFor === null ? 0 : fileFlags.forGroup);
  return frame('F', [u8(flags), u32(onlyFor ?? 0), text(path), content]);
}

export function bootFrame(
  uid: number,
  limits: Pick<RunLimits, 'processes' | 'diskBytes' | 'memoryBytes'>,
  argv: string[],
): Buffer {
  return frame('B', [u32(uid), u32(limits.processes), u64(limits.diskBytes), u64(limits.memoryBytes), list(argv)]);
}

export function runFrame({ argv, peerArgv, uid, peerUid, usesBooted, limits, artifact, stdin }: AgentRun): Buffer {
  return frame('R', [
    u32(uid),
    u32(peerUid),
    u8(usesBooted ? runFlags.booted : 0),
    u32(limits.wallTimeMs),
    u32(limits.cpuTimeMs),
    u64(limits.memoryBytes),
    u32(limits.processes),
    u32(limits.outputBytes),
    u64(limits.diskBytes),
    u32(maxReportBytes),
    u32(artifact?.maxBytes ?? 0),
    list(argv),
    list(peerArgv),
    text(artifact?.path ?? ''),
    block(stdin ?? Buffer.alloc(0)),
  ]);
}

function nameOfSignal(number: number): string {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `SIG${number}`;
}

function parseResult(payload: Buffer): AgentResult {
  const status = statuses[payload.readUInt8(0)];
  if (status === undefined) throw new Error('unknown status');
  const flags = payload.readUInt8(1);
  const signal = payload.readUInt32BE(6);
  const number64 = (offset: number) => Number(payload.readBigUInt64BE(offset));
  return {
    status,
    exitCode: signal === 0 ? payload.readUInt32BE(2) : null,
    signal: signal === 0 ? null : nameOfSignal(signal),
    wallTimeMs: Math.round(number64(10) / 1000),
    cpuTimeMs: Math.round(number64(18) / 1000),
    memoryPeakBytes: number64(26),
    hitProcessLimit: (flags & resultFlags.processLimitHit) !== 0,
    isReportCut: (flags & resultFlags.reportCut) !== 0,
    hasArtifact: (flags & resultFlags.artifactSent) !== 0,
  };
}

function isStream(value: number): value is keyof typeof outputStreams {
  return value in outputStreams;
}

function parseAnswer(type: string, payload: Buffer): Answer {
  switch (type) {
    case 'S':
      return { type: 'started' };
    case 'B':
      return { type: 'booted', isWaiting: payload.readUInt8(0) === 1 };
    case 'O': {
      const stream = payload.readUInt8(0);
      if (!isStream(stream)) throw new Error('unknown stream');
      return { type: 'output', stream: outputStreams[stream], bytes: payload.subarray(1) };
    }
    case 'A':
      return { type: 'artifact', bytes: payload };
    case 'R':
      return { type: 'result', result: parseResult(payload) };
    case 'E':
      return { type: 'error', message: payload.toString() };
    default:
      throw new Error('unknown type of answer');
  }
}

/** The answers of one agent until its output ends. @throws Error for bytes that are no answer. */
export async function* readAnswers(output: Readable): AsyncGenerator<Answer, undefined> {
  const headBytes = 5;
  let pending: Buffer = Buffer.alloc(0);
  for await (const chunk of output as AsyncIterable<Buffer>) {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    while (pending.length >= headBytes) {
      const end = headBytes + pending.readUInt32BE(1);
      if (end > maxAnswerBytes) throw new Error('the answer is too large');
      if (pending.length < end) break;
      yield parseAnswer(pending.toString('latin1', 0, 1), pending.subarray(headBytes, end));
      pending = pending.subarray(end);
    }
  }
  return undefined;
}
