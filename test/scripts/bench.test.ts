import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from '@jest/globals';
import { jobOf } from '../../bench/atelier.ts';
import { checkOutcome } from '../../bench/contenders.ts';
import { cpuPerThing, readCpuUse } from '../../bench/cpu-use.ts';
import { GoJudge } from '../../bench/go-judge.ts';
import { withRunnerAt } from '../../bench/host.ts';
import { type Program, programs, suites } from '../../bench/programs.ts';
import { dockerRunFlags, withoutAgent } from '../../bench/raw-docker.ts';
import { type Measurements, renderLatencies, table, targets, toJson } from '../../bench/report.ts';
import { perMinute, quantile, ratioOfMedians, rotated, summarise } from '../../bench/statistics.ts';
import { bestRate, closedLoop, measureRates } from '../../bench/throughput.ts';
import { containerOptions } from '../../src/sandbox/docker.ts';
import { shapeOf } from '../../src/sandbox/shape.ts';

const of = (median: number) => ({ n: 3, median, p10: median - 1, p90: median + 1 });

function program(name: Program['name']): Program {
  const found = [...programs, ...suites].find((entry) => entry.name === name);
  if (found === undefined) throw new Error(`no program ${name}`);
  return found;
}

describe('statistics', () => {
  test.each([
    { samples: [7], share: 0.1, value: 7 },
    { samples: [3, 1, 2], share: 0.5, value: 2 },
    { samples: [4, 1, 3, 2], share: 0.5, value: 2.5 },
    { samples: [10, 20, 30, 40, 50], share: 0.1, value: 14 },
    { samples: [50, 40, 30, 20, 10], share: 0.9, value: 46 },
    { samples: [100, 9, 10], share: 0.5, value: 10 },
    { samples: [1, 2], share: 1, value: 2 },
  ])('the value at $share of $samples is $value', ({ samples, share, value }) => {
    expect(quantile(samples, share)).toBeCloseTo(value, 10);
  });

  test('there is no figure without samples, and no share above one', () => {
    expect(() => summarise([])).toThrow(RangeError);
    expect(() => quantile([1], 1.1)).toThrow(RangeError);
    expect(ratioOfMedians(of(1), undefined)).toBeNull();
  });

  test('a summary leaves its samples as they were', () => {
    const samples = [3, 1, 2];
    expect(summarise(samples)).toEqual({ n: 3, median: 2, p10: 1.2, p90: 2.8 });
    expect(samples).toEqual([3, 1, 2]);
  });

  test('rates and ratios', () => {
    expect(perMinute(50, 10_000)).toBe(300);
    expect(ratioOfMedians(of(6), of(4))).toBe(1.5);
  });

  test('each round takes every entry once and begins with the next', () => {
    expect([0, 1, 2, 3].map((round) => rotated(['a', 'b', 'c'], round).join(''))).toEqual(['abc', 'bca', 'cab', 'abc']);
    expect(rotated([], 3)).toEqual([]);
  });
});

describe('rates', () => {
  test('never more callers than asked for, and all is finished before it is cleared away', async () => {
    let [open, most, closed] = [0, 0, 0];
    const step = async () => {
      open += 1;
      most = Math.max(most, open);
      await new Promise((resolve) => setImmediate(resolve));
      open -= 1;
      return 2;
    };
    const close = async () => {
      expect(open).toBe(0);
      closed += 1;
    };
    expect(await closedLoop({ name: 'work', open: () => ({ once: step, close }) }, 3, 20)).toBeGreaterThan(0);
    expect({ most, closed }).toEqual({ most: 3, closed: 1 });
  });

  test('counts what all callers have done', async () => {
    let made = 0;
    const step = async () => {
      await new Promise((resolve) => setImmediate(resolve));
      made += 2;
      return 2;
    };
    const startedAt = performance.now();
    const rate = await closedLoop({ name: 'work', open: () => ({ once: step, close: async () => undefined }) }, 8, 20);
    // Its own clock ran no longer than ours.
    expect(rate * ((performance.now() - startedAt) / 60_000)).toBeGreaterThanOrEqual(made);
  });

  test('a caller that fails ends the measurement with its error', async () => {
    let isClosed = false;
    const close = async () => void (isClosed = true);
    const work = { name: 'work', open: () => ({ once: () => Promise.reject(new Error('gone')), close }) };
    await expect(closedLoop(work, 2, 20)).rejects.toThrow('gone');
    expect(isClosed).toBe(true);
  });

  test('works take turns at every concurrency', async () => {
    const order: string[] = [];
    const workOf = (name: string) => ({
      name,
      open: () => {
        order.push(name);
        return { once: async () => 1, close: () => Promise.resolve() };
      },
    });
    const rates = await measureRates({ works: [workOf('a'), workOf('b')], rounds: 2, forMs: 1, onRound: () => undefined });
    expect(order.join('')).toBe('ab'.repeat(8));
    expect(Object.keys(rates['a'] ?? {})).toEqual(['1', '2', '4', '8']);
    expect(rates['a']?.['8']?.n).toBe(2);
  });

  test('the best concurrency counts', () => {
    expect(bestRate({ '1': of(100), '4': of(300), '8': of(250) })).toBe(300);
    expect(bestRate(undefined)).toBeNull();
  });
});

describe('processor time', () => {
  // Only Linux tells it.
  const onLinux = process.platform === 'linux' ? test : test.skip;

  onLinux('of a process counts with that of its children, also of those that have ended', () => {
    const roots = { jest: process.pid };
    const before = readCpuUse(roots);
    execFileSync(process.execPath, [
      '-e',
      'const end = process.cpuUsage().user + 200000; while (process.cpuUsage().user < end);',
    ]);
    const used = cpuPerThing(before, readCpuUse(roots), 2);
    expect(used?.['jest']).toBeGreaterThanOrEqual(100);
  });

  test('of nothing is unknown', () => {
    expect(cpuPerThing({ a: 1 }, { a: 2 }, 0)).toBeNull();
  });
});

describe('report', () => {
  const fullPath = {
    perMinute: 640,
    cpuMsPerVerdict: null,
    openAtOnce: 16,
    overheadMs: of(120),
    phases: { 'POST answered': of(40), 'judging begins': of(60), runs: of(300), 'judging without runs': of(50) },
  };
  const measured: Measurements = {
    machine: { cores: 2, processor: 'some', memoryGigabytes: 8, kernel: 'linux 6', loadPerCore: 0.01 },
    latencies: {
      trivial: { bare: of(2), dockerRun: of(270), atelier: of(1.8), goJudge: of(3.8) },
      node: { bare: of(27), bubblewrap: of(31), dockerRun: of(300), atelier: of(31.0567), atelierPrebooted: of(5.8) },
      javascriptSuite: { bare: of(100), atelier: of(110) },
    },
    rates: {
      raw: { '1': of(600), '2': of(1000), '4': of(1200), '8': of(1100) },
      jobs: { '1': of(500), '2': of(900), '4': of(1000), '8': of(1080) },
    },
    testsPerSecond: { trivial: 160 },
    fullPath: { program: fullPath, project: { ...fullPath, perMinute: 200 } },
  };

  test('the figures of the agreed form, null where nothing was measured', () => {
    expect(toJson(measured)).toMatchObject({
      latencyMs: {
        trivial: { bare: 2, dockerRun: 270, atelier: 1.8, goJudge: 3.8 },
        node: { bare: 27, bubblewrap: 31, dockerRun: 300, atelier: 31.06, atelierPrebooted: 5.8 },
        python: {},
      },
      jobsPerMinute: { '1': 500, '2': 900, '4': 1000, '8': 1080 },
      containerCeilingPerMinute: 1200,
      fullPathPerMinute: 640,
      fullPathProjectPerMinute: 200,
      submitToVerdictOverheadMs: 120,
    });
    expect(toJson({ ...measured, rates: {}, fullPath: null })).toMatchObject({
      jobsPerMinute: { '1': null, '2': null, '4': null, '8': null },
      containerCeilingPerMinute: null,
      fullPathPerMinute: null,
      submitToVerdictOverheadMs: null,
    });
  });

  test('ratios come first, and contenders that were not there have no column', () => {
    const [title, head, , trivial] = renderLatencies(measured.latencies).split('\n');
    expect(title).toContain('ratio');
    expect(head).not.toContain('Atelier, bwrap');
    expect(trivial?.split('|').map((cell) => cell.trim())).toEqual(['', 'trivial', '1', '', '135', '1.9', '0.9', '', '']);
  });

  test('what was to be reached is compared with what was measured, and nothing else is listed', () => {
    expect(targets(measured)).toEqual([
      { what: 'trivial: docker run to Atelier', wanted: '≥ 5', got: '150' },
      { what: 'trivial: Atelier to go-judge', wanted: '< 1', got: '0.474' },
      { what: 'node: Atelier to the bare process', wanted: '≤ 1.2', got: '1.15' },
      { what: 'node: booted interpreter to the bare process', wanted: '< 1', got: '0.215' },
      { what: 'node: docker run to Atelier', wanted: '≥ 5', got: '9.66' },
      { what: 'jobs a minute, of the ceiling', wanted: '≥ 85 %', got: '90 %' },
      { what: 'full path a minute, of the ceiling', wanted: '≥ 50 %', got: '53.3 %' },
      { what: 'overhead of a submission', wanted: '< 150 ms', got: '120 ms' },
    ]);
  });

  test('a table lines up', () => {
    expect(table(['', 'b'], [['long', '1']])).toBe('|      | b |\n| ---- | - |\n| long | 1 |');
  });
});

describe('contenders', () => {
  const settings = {
    image: 'an-image',
    shape: shapeOf(jobOf(program('node'))),
    runtime: 'runsc',
    poolId: 'bench',
    deadline: new Date(),
  };

  test('the flags of docker run are those of our own container, less its agent', () => {
    const options = withoutAgent(containerOptions(settings), ['true']);
    const flags = dockerRunFlags(options).join(' ');
    for (const flag of [
      '--read-only',
      '--cap-drop ALL',
      '--security-opt no-new-privileges',
      '--log-driver none',
      '--runtime runsc',
      '--user 10001:10001',
    ]) {
      expect(flags).toContain(flag);
    }
    expect(flags).toMatch(/--security-opt seccomp=\S+seccomp\.json --/);
    expect(flags).toMatch(/--network none .*--memory \d+ --memory-swap \d+/);
    expect(flags).not.toContain('--cap-add');
  });

  test('a setting without a flag is refused: the comparison would be with a softer container', () => {
    expect(() => dockerRunFlags({ HostConfig: { UsernsMode: 'host' } })).toThrow('UsernsMode');
  });

  test('the runner is found wherever a contender has it', () => {
    expect(withRunnerAt('/elsewhere', program('pythonSuite')).slice(0, 2)).toEqual(['python3', '/elsewhere/run_tests.py']);
    expect(withRunnerAt('/elsewhere', program('node'))).toEqual(['node', './main.js']);
  });

  test('a run that did not do the work is no sample', () => {
    const check = (outcome: { exitCode: number | null; stdout: string }) =>
      checkOutcome('somebody', program('node'), { ...outcome, stderr: '' });
    expect(() => check({ exitCode: 0, stdout: '1 4 9\n' })).not.toThrow();
    expect(() => check({ exitCode: 0, stdout: '' })).toThrow('somebody did not run node rightly');
    expect(() => check({ exitCode: null, stdout: '1 4 9\n' })).toThrow('exit code null');
  });
});

describe('go-judge', () => {
  let server: Server | undefined;
  afterEach(() => {
    server?.close();
    server?.closeAllConnections();
  });

  /** Answers as go-judge does, with what `answer` gives for a command line. */
  async function fake(answer: (args: readonly string[]) => { exitStatus?: number; stdout?: string }, seen: unknown[] = []) {
    const reply = async (request: IncomingMessage, response: ServerResponse) => {
      const { cmd } = JSON.parse(await text(request)) as { cmd: { args: string[] }[] };
      seen.push(cmd[0]);
      const { exitStatus = 0, stdout = '' } = answer(cmd[0]?.args ?? []);
      response.end(JSON.stringify([{ status: 'Accepted', exitStatus, time: 1, memory: 1, files: { stdout, stderr: '' } }]));
    };
    server = createServer((request, response) => void reply(request, response)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new GoJudge(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  }

  test('is asked for its interpreters, and given the program with its files', async () => {
    const seen: { args: readonly string[]; copyIn: unknown; files: readonly unknown[] }[] = [];
    const goJudge = await fake((args) => {
      const wanted = /^command -v (\w+)$/.exec(args[2] ?? '')?.[1];
      if (wanted !== undefined) return { stdout: wanted === 'python3' ? '' : `/bin/${wanted}\n` };
      if (args[2]?.startsWith('test -f')) return { exitStatus: 1 };
      return { stdout: args.includes('--version') ? 'v24.1.0\n' : '1 4 9\n' };
    }, seen);
    expect(await goJudge.open()).toEqual({ versions: 'Node v24.1.0, no Python' });
    const contender = goJudge.contender();
    expect(
      ['trivial', 'node', 'python', 'javascriptSuite'].map((name) => contender.can(program(name as Program['name']))),
    ).toEqual([true, true, false, false]);
    const outcome = await contender.run(program('node'));
    expect(outcome).toMatchObject({ exitCode: 0, stdout: '1 4 9\n' });
    expect(seen.at(-1)).toMatchObject({
      args: ['/bin/node', './main.js'],
      copyIn: { 'main.js': { content: expect.stringContaining('console.log') } },
      files: [{ content: '' }, { name: 'stdout' }, { name: 'stderr' }],
    });
    goJudge.close();
  });

  test('something else at that address is said to be none', async () => {
    server = createServer((_request, response) => response.writeHead(404).end()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const goJudge = new GoJudge(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    await expect(goJudge.open()).rejects.toThrow('go-judge answers 404');
    goJudge.close();
  });
});
