import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { readRunnerSettings } from '../src/config.ts';
import { openSandbox } from '../src/sandbox/choose.ts';
import { containerOptions, dockerEngine, type DockerEngine, DockerSandbox } from '../src/sandbox/docker.ts';
import type { Sandbox, SandboxJob } from '../src/sandbox/sandbox.ts';
import { shapeOf } from '../src/sandbox/shape.ts';
import { BenchAcademy, type PushedWork, type ReadyTask } from './academy.ts';
import { jobOf, ours, runJobIn } from './atelier.ts';
import type { Contender } from './contenders.ts';
import { type FullPaths, measureFullPath } from './full-path.ts';
import { GoJudge } from './go-judge.ts';
import { bareProcess, hostPath, ProgramFolders, rawBubblewrap } from './host.ts';
import { measureLatencies } from './latency.ts';
import { firstLineOf, type Machine, Quiet, readMachine } from './machine.ts';
import { type Program, programs, suites } from './programs.ts';
import { dockerRun, liveOnce } from './raw-docker.ts';
import { type Measurements, renderFullPath, renderLatencies, renderRates, table, targets, toJson } from './report.ts';
import { bestRate, closedLoop, measureRates, type Work } from './throughput.ts';

const help = `npm run bench -- [options]

  --quick             fewer rounds and shorter loops: some two minutes, to see that it works
  --rounds N          samples of each program with each contender (default 21; quick 5)
  --only PARTS        of latency,throughput,full-path, with commas (default all)
  --go-judge ORIGIN   measures a running go-judge too, such as http://127.0.0.1:5050
  --json FILE         writes the figures there as well
  --help

Run it on a machine that does nothing else. docs/benchmark.md says how to read it.`;

const parts = ['latency', 'throughput', 'full-path'] as const;
type Part = (typeof parts)[number];

/** How much is measured. */
interface Extent {
  readonly rounds: number;
  readonly rateRounds: number;
  readonly rateForMs: number;
  readonly sharedForMs: number;
  readonly alone: number;
  readonly students: number;
  readonly warmUpMs: number;
  readonly pathForMs: number;
}

const whole: Extent = {
  rounds: 21,
  rateRounds: 3,
  rateForMs: 10_000,
  sharedForMs: 6_000,
  alone: 21,
  students: 16,
  warmUpMs: 10_000,
  pathForMs: 45_000,
};
const quick: Extent = {
  rounds: 5,
  rateRounds: 1,
  rateForMs: 2_000,
  sharedForMs: 2_000,
  alone: 5,
  students: 8,
  warmUpMs: 3_000,
  pathForMs: 10_000,
};

/** Above this load per core at the start, the figures are not worth much. */
const highLoadPerCore = 0.25;
const casesPerJob = 10;

const say = (text: string) => console.log(text);
const progress = (text: string) => process.stderr.write(`  ${text}\n`);

interface Engines {
  readonly engine: DockerEngine;
  readonly docker: Sandbox | null;
  /** The same, for jobs in interpreters that booted before. */
  readonly booted: Sandbox | null;
  readonly bubblewrap: Sandbox | null;
  readonly missing: readonly string[];
}

async function openEngines(): Promise<Engines> {
  const [docker, bubblewrap] = [
    await openSandbox('docker', { onMessage: progress, pool: 'auto', runner: readRunnerSettings(process.env) }),
    await openSandbox('bubblewrap', { onMessage: () => undefined, pool: 'auto' }),
  ];
  const missing = [docker, bubblewrap].flatMap(({ sandbox, probes }) =>
    sandbox === null ? probes.map(({ kind, reason, fix }) => `${kind}: ${reason}${fix === null ? '' : ` (${fix})`}`) : [],
  );
  const engine = dockerEngine();
  // A pool of its own, or the two kinds of job would take each other's places.
  const booted = docker.sandbox === null ? null : new DockerSandbox(engine, docker.sandbox.identity, { pool: 'auto' });
  return { engine, docker: docker.sandbox, booted, bubblewrap: bubblewrap.sandbox, missing };
}

function collectContenders(
  { docker, booted, bubblewrap }: Engines,
  goJudge: GoJudge | null,
  folders: ProgramFolders,
): Contender[] {
  const contenders = [bareProcess(folders)];
  if (bubblewrap !== null) contenders.push(rawBubblewrap(folders));
  if (docker !== null) contenders.push(dockerRun(folders, () => plainContainer(docker)));
  if (goJudge !== null) contenders.push(goJudge.contender());
  if (bubblewrap !== null)
    contenders.push(ours('atelierBubblewrap', bubblewrap, 'our sandbox with bubblewrap, a job of one run'));
  if (docker !== null) {
    contenders.push(ours('atelier', docker, 'our sandbox with Docker, a job of one run in a container of its own'));
  }
  if (booted !== null)
    contenders.push(ours('atelierPrebooted', booted, 'the same, in an interpreter that booted before the job came'));
  return contenders;
}

function trivial(): Program {
  const [program] = programs;
  if (program === undefined) throw new Error('no programs');
  return program;
}

const lifeMs = 10 * 60_000;

/** The container that a job of one small program gets; where the benchmark dies, the reaper finds it late. */
const plainContainer = ({ identity: image }: Sandbox) =>
  containerOptions({
    image,
    shape: shapeOf(jobOf(trivial())),
    runtime: undefined,
    poolId: 'bench',
    deadline: new Date(Date.now() + lifeMs),
  });

/** Containers of ours with one job each, and containers alone: the same whole life, counted in the same way. */
function containerWorks(engine: DockerEngine, docker: Sandbox): readonly Work[] {
  const raw = async () => {
    await liveOnce(engine, () => plainContainer(docker));
    return 1;
  };
  return [
    { name: 'raw', open: () => ({ once: raw, close: () => Promise.resolve() }) },
    jobsOf('jobs', engine, docker, () => jobOf(trivial())),
  ];
}

/** Jobs in a sandbox of their own; its pool is empty at the beginning, and what is left in it at the end is thrown away. */
function jobsOf(name: string, engine: DockerEngine, { identity }: Sandbox, job: () => SandboxJob): Work {
  return {
    name,
    open() {
      const sandbox = new DockerSandbox(engine, identity, { pool: 'auto' });
      return { once: async () => (await runJobIn(sandbox, job())).length, close: () => sandbox.close() };
    },
  };
}

/** Runs a second where ten runs share a container, as many containers at once as there are cores. */
async function measureShared(
  engine: DockerEngine,
  docker: Sandbox,
  cores: number,
  forMs: number,
): Promise<Record<string, number>> {
  const rates: Record<string, number> = {};
  for (const program of programs) {
    const work = jobsOf(program.name, engine, docker, () => jobOf(program, casesPerJob));
    rates[program.name] = (await closedLoop(work, cores, forMs)) / 60;
  }
  return rates;
}

/** What half of the students push, and what the others do. */
const pushed: Readonly<Record<keyof FullPaths, readonly [PushedWork, PushedWork]>> = {
  program: [
    { slug: 'sum', without: ['main.js'] },
    { slug: 'sum', without: ['main.py'] },
  ],
  project: [
    { slug: 'night-bus-board', without: [] },
    { slug: 'balcony-garden', without: [] },
  ],
};

async function runAcademy(sandbox: Sandbox['kind'], extent: Extent, quiet: Quiet, signal: AbortSignal): Promise<FullPaths> {
  const academy = new BenchAcademy();
  try {
    progress('starting an academy of its own');
    await academy.start(sandbox, signal);
    const measureKind = async (kind: keyof FullPaths) => {
      const tasks: ReadyTask[] = [];
      for (let index = 0; index < extent.students; index += 1) {
        const work = pushed[kind][index % 2];
        if (work !== undefined) tasks.push(...(await academy.student([work])));
      }
      const onProgress = (text: string) => progress(`${kind}: ${text}`);
      const { alone, warmUpMs, pathForMs: forMs } = extent;
      return measureFullPath({ academy, tasks, quiet, alone, warmUpMs, forMs, onProgress });
    };
    return { program: await measureKind('program'), project: await measureKind('project') };
  } catch (error) {
    progress(academy.log());
    throw error;
  } finally {
    await academy.stop();
  }
}

function introduce(
  machine: Machine,
  contenders: readonly Contender[],
  missing: readonly string[],
  goJudgeVersions: string,
): void {
  const { cores, processor, memoryGigabytes, kernel, loadPerCore } = machine;
  say(`Machine: ${cores} cores (${processor}), ${memoryGigabytes} GB, ${kernel}; load per core ${loadPerCore.toFixed(2)}`);
  if (loadPerCore > highLoadPerCore)
    say('WARNING: the machine is busy with something else. The ratios suffer, the rates even more.');
  const python = firstLineOf('python3', ['--version'], { PATH: hostPath });
  say(`Host: Node ${process.version}, ${python ?? 'no Python'}${goJudgeVersions === '' ? '' : `; go-judge: ${goJudgeVersions}`}`);
  for (const reason of missing) say(`Missing: ${reason}`);
  say('\nContenders:');
  for (const { name, method } of contenders) say(`  ${name.padEnd(18)} ${method}`);
  say('');
}

async function measure(
  extent: Extent,
  chosen: readonly Part[],
  goJudgeOrigin: string | undefined,
  signal: AbortSignal,
): Promise<Measurements> {
  const machine = readMachine();
  const engines = await openEngines();
  const goJudge = goJudgeOrigin === undefined ? null : new GoJudge(goJudgeOrigin);
  const folders = new ProgramFolders([...programs, ...suites]);
  const quiet = new Quiet();
  const onRound = (what: string) => (round: number, rounds: number) => {
    signal.throwIfAborted();
    progress(round < 0 ? `${what}: warm-up` : `${what}: round ${round + 1} of ${rounds}`);
  };
  try {
    const versions = goJudge === null ? '' : (await goJudge.open()).versions;
    const contenders = collectContenders(engines, goJudge, folders);
    introduce(machine, contenders, engines.missing, versions);
    const { engine, docker, booted, bubblewrap } = engines;
    const { rounds, rateRounds, rateForMs } = extent;
    const latencies = chosen.includes('latency')
      ? await measureLatencies({ programs: [...programs, ...suites], contenders, rounds, quiet, onRound: onRound('latency') })
      : {};
    // What they keep ready would be in the way of all that follows.
    for (const own of [docker, booted, bubblewrap]) await own?.close();
    const isRated = chosen.includes('throughput') && docker !== null;
    const rates = isRated
      ? await measureRates({
          works: containerWorks(engine, docker),
          rounds: rateRounds,
          forMs: rateForMs,
          onRound: onRound('throughput'),
        })
      : {};
    const testsPerSecond = isRated ? await measureShared(engine, docker, machine.cores, extent.sharedForMs) : {};
    const sandbox = docker ?? bubblewrap;
    const fullPath =
      chosen.includes('full-path') && sandbox !== null ? await runAcademy(sandbox.kind, extent, quiet, signal) : null;
    say(`Waited for quiet before ${quiet.asked} samples; the machine stayed busy before ${quiet.busy} of them.\n`);
    return { machine, latencies, rates, testsPerSecond, fullPath };
  } finally {
    goJudge?.close();
    for (const own of [engines.docker, engines.booted, engines.bubblewrap]) await own?.close();
    folders.remove();
  }
}

function show(measured: Measurements): void {
  const { latencies, rates, testsPerSecond, fullPath } = measured;
  if (Object.keys(latencies).length > 0) say(`${renderLatencies(latencies)}\n`);
  if (Object.keys(rates).length > 0) {
    say(`${renderRates(rates)}\n`);
    const shared = Object.entries(testsPerSecond).map(([name, rate]) => [name, rate.toFixed(1)]);
    say(`Tests a second where ${casesPerJob} share a container\n${table(['', 'a second'], shared)}\n`);
  }
  const ceiling = bestRate(rates['raw']);
  for (const [kind, path] of Object.entries(fullPath ?? {})) say(`${renderFullPath(kind, path, ceiling)}\n`);
  const rows = targets(measured).map(({ what, wanted, got }) => [what, wanted, got]);
  if (rows.length > 0) say(`What was to be reached\n${table(['', 'wanted', 'measured'], rows)}`);
}

function parsePart(text: string): Part {
  const part = parts.find((name) => name === text);
  if (part === undefined) throw new TypeError(`--only: no part ${text}`);
  return part;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      only: { type: 'string' },
      'go-judge': { type: 'string' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    say(help);
    return 0;
  }
  const extent = values.quick ? quick : whole;
  const rounds = values.rounds === undefined ? extent.rounds : Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new TypeError('--rounds takes a number');
  const chosen = values.only === undefined ? parts : values.only.split(',').map(parsePart);
  const stop = new AbortController();
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  process.once('disconnect', () => stop.abort());
  process.channel?.unref();
  const measured = await measure({ ...extent, rounds }, chosen, values['go-judge'], stop.signal);
  show(measured);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(toJson(measured), null, 2)}\n`);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof TypeError ? `${error.message}\n\n${help}` : error);
  process.exitCode = 1;
}
// The channel to scripts/bench.js is no reason to stay.
if (process.connected) process.disconnect();
