import { foldersAbove } from '../domain/file-paths.ts';
import type { RunLimits } from '../domain/exercises.ts';
import { filesOf, type Interpreter, type SandboxJob } from './sandbox.ts';

/** What a sandbox has to be made with: jobs of the same shape can be run in any sandbox of it. */
export interface SandboxShape {
  /** The largest of the job's runs; the agent holds each run to its own limits. */
  readonly memoryBytes: number;
  readonly processes: number;
  /** Size of /tmp and how many names may be made there. */
  readonly diskBytes: number;
  readonly fileCount: number;
  /** Size of the work folder and how many names it holds; rounded up, so that jobs of several sizes share a shape. */
  readonly workBytes: number;
  readonly workNames: number;
  readonly mayExecute: boolean;
  /** Booted before the job comes, for its first run. */
  readonly interpreter: Interpreter | null;
  /** Key of the dependency layer that it is made with. */
  readonly layerKey: string | null;
}

const pageBytes = 4096;
const minWorkBytes = 2 * 1024 * 1024;
const minWorkNames = 256;

function powerOfTwoFrom(least: number, value: number): number {
  let size = least;
  while (size < value) size *= 2;
  return size;
}

/** What the work folder takes on a memory file system: whole pages, and one name per file and folder. */
function workFolderNeeds(job: SandboxJob): { readonly bytes: number; readonly names: number } {
  const files = filesOf(job);
  const folders = new Set(files.flatMap(({ path }) => foldersAbove(path)));
  // The agent holds a run's input while it is read, which takes memory as the files do.
  let bytes = Math.max(0, ...job.runs.map(({ stdin }) => stdin?.length ?? 0));
  for (const { content } of files) bytes += Math.ceil(content.length / pageBytes) * pageBytes;
  // The root, the work folder, and some for the kernel's own accounting.
  return { bytes: bytes + 64 * pageBytes, names: files.length + folders.size + 16 };
}

/** The shape that `job` takes; it has a run at least. */
export function shapeOf(job: SandboxJob): SandboxShape {
  const largest = (limit: keyof RunLimits): number => Math.max(...job.runs.map((run) => run.limits[limit]));
  const work = workFolderNeeds(job);
  return {
    memoryBytes: largest('memoryBytes'),
    processes: largest('processes'),
    diskBytes: largest('diskBytes'),
    fileCount: largest('fileCount'),
    workBytes: powerOfTwoFrom(minWorkBytes, work.bytes),
    workNames: powerOfTwoFrom(minWorkNames, work.names),
    mayExecute: job.mayExecute ?? false,
    interpreter: job.runs[0]?.interpreter ?? null,
    layerKey: job.layer?.key ?? null,
  };
}
