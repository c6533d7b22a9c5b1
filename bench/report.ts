import type { ContenderName } from './contenders.ts';
import type { FullPath, FullPaths } from './full-path.ts';
import type { Latencies } from './latency.ts';
import type { Machine } from './machine.ts';
import { programNames, suiteNames } from './programs.ts';
import { ratioOfMedians, type Summary } from './statistics.ts';
import { bestRate, concurrencies, type Rates } from './throughput.ts';

/** All that one run of the benchmark measured. */
export interface Measurements {
  readonly machine: Machine;
  readonly latencies: Latencies;
  /** `jobs`: our containers, one job each; `raw`: hardened containers and nothing else. */
  readonly rates: Rates;
  /** Runs a second of one program where ten share a container. */
  readonly testsPerSecond: Readonly<Record<string, number>>;
  readonly fullPath: FullPaths | null;
}

const columns: readonly { readonly name: ContenderName; readonly title: string }[] = [
  { name: 'bare', title: 'bare process' },
  { name: 'bubblewrap', title: 'bwrap' },
  { name: 'dockerRun', title: 'docker run' },
  { name: 'goJudge', title: 'go-judge' },
  { name: 'atelierBubblewrap', title: 'Atelier, bwrap' },
  { name: 'atelier', title: 'Atelier' },
  { name: 'atelierPrebooted', title: 'Atelier, booted' },
];

const rows = [...programNames, ...suiteNames];

/** Three significant digits: more would be noise. */
const figure = (value: number | null) => (value === null ? '' : String(Number(value.toPrecision(3))));
const spread = ({ median, p10, p90 }: Summary) => `${figure(median)} (${figure(p10)}–${figure(p90)})`;

/** Markdown, so that it can be pasted; the columns line up. */
export function table(head: readonly string[], body: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...body.map((row) => (row[column] ?? '').length)));
  const line = (cells: readonly string[]) =>
    `| ${widths.map((width, column) => (cells[column] ?? '').padEnd(width)).join(' | ')} |`;
  return [line(head), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...body.map(line)].join('\n');
}

/** Ratios first: they hold on another machine, the milliseconds do not. */
export function renderLatencies(latencies: Latencies): string {
  const shown = columns.filter(({ name }) => rows.some((row) => latencies[row]?.[name] !== undefined));
  const head = ['', ...shown.map(({ title }) => title)];
  const cells = (cell: (row: (typeof rows)[number], name: ContenderName) => string) =>
    rows.filter((row) => latencies[row] !== undefined).map((row) => [row, ...shown.map(({ name }) => cell(row, name))]);
  const ratios = cells((row, name) => figure(ratioOfMedians(latencies[row]?.[name], latencies[row]?.bare)));
  const times = cells((row, name) => {
    const summary = latencies[row]?.[name];
    return summary === undefined ? '' : spread(summary);
  });
  return [
    'Latency of one job: ratio of medians to the bare process',
    table(head, ratios),
    '',
    'The same in ms: median (p10–p90)',
    table(head, times),
  ].join('\n');
}

export function renderRates(rates: Rates): string {
  const head = ['a minute, at concurrency', ...concurrencies.map(String), 'best'];
  const body = Object.entries(rates).map(([name, byConcurrency]) => [
    name,
    ...concurrencies.map((concurrency) => figure(byConcurrency[`${concurrency}`]?.median ?? null)),
    figure(bestRate(byConcurrency)),
  ]);
  const [ceiling, best] = [bestRate(rates['raw']), bestRate(rates['jobs'])];
  const share = ceiling === null || best === null ? [] : [`Ours at best: ${figure((100 * best) / ceiling)} % of the ceiling.`];
  return ['Sustained jobs, the whole life of every container counted', table(head, body), ...share].join('\n');
}

export function renderFullPath(kind: string, path: FullPath, ceiling: number | null): string {
  const { perMinute, overheadMs, phases, cpuMsPerVerdict } = path;
  const share = ceiling === null ? '' : `, ${figure((100 * perMinute) / ceiling)} % of the ceiling`;
  return [
    `Full path, POST to verdict, of a ${kind}: ${figure(perMinute)} a minute sustained${share}`,
    `Overhead of one submission alone, ms without the runs themselves: ${spread(overheadMs)}, n = ${overheadMs.n}`,
    table(
      ['of which', 'ms: median (p10–p90)'],
      Object.entries(phases).map(([name, summary]) => [name, spread(summary)]),
    ),
    ...(cpuMsPerVerdict === null
      ? []
      : [
          '',
          'Processor time of one submission under load',
          table(
            ['', 'ms'],
            Object.entries(cpuMsPerVerdict).map(([name, ms]) => [name, figure(ms)]),
          ),
        ]),
  ].join('\n');
}

/** The ratios that were to be reached, each with what was measured. */
export function targets(
  measured: Measurements,
): readonly { readonly what: string; readonly wanted: string; readonly got: string }[] {
  const { latencies, rates, fullPath } = measured;
  const ratio = (row: (typeof rows)[number], name: ContenderName, to: ContenderName) =>
    ratioOfMedians(latencies[row]?.[name], latencies[row]?.[to]);
  const known = (what: string, wanted: string, value: number | null, unit = '') =>
    value === null ? [] : [{ what, wanted, got: figure(value) + unit }];
  const ceiling = bestRate(rates['raw']);
  const best = bestRate(rates['jobs']);
  const programRatios = programNames.flatMap((row) => [
    ...(row === 'trivial' ? [] : known(`${row}: Atelier to the bare process`, '≤ 1.2', ratio(row, 'atelier', 'bare'))),
    ...known(`${row}: booted interpreter to the bare process`, '< 1', ratio(row, 'atelierPrebooted', 'bare')),
    ...known(`${row}: docker run to Atelier`, '≥ 5', ratio(row, 'dockerRun', 'atelier')),
    ...known(`${row}: Atelier to go-judge`, '< 1', ratio(row, 'atelier', 'goJudge')),
  ]);
  const share = (part: number | null, whole: number | null) => (part === null || whole === null ? null : (100 * part) / whole);
  return [
    ...programRatios,
    ...known('jobs a minute, of the ceiling', '≥ 85 %', share(best, ceiling), ' %'),
    ...known('full path a minute, of the ceiling', '≥ 50 %', share(fullPath?.program.perMinute ?? null, ceiling), ' %'),
    ...known('overhead of a submission', '< 150 ms', fullPath?.program.overheadMs.median ?? null, ' ms'),
  ];
}

const rounded = (value: number | null | undefined) =>
  value === null || value === undefined ? null : Math.round(value * 100) / 100;

/** What `--json` writes. Figures that could not be measured are null, contenders that were not there are missing. */
export function toJson(measured: Measurements): object {
  const { latencies, rates, fullPath, machine, testsPerSecond } = measured;
  const named = ['bare', 'bubblewrap', 'dockerRun', 'atelier', 'atelierPrebooted', 'goJudge'] as const;
  const medians = (row: (typeof rows)[number]) =>
    Object.fromEntries(
      named.flatMap((name) => {
        const summary = latencies[row]?.[name];
        return summary === undefined ? [] : [[name, rounded(summary.median)] as const];
      }),
    );
  return {
    latencyMs: Object.fromEntries(programNames.map((row) => [row, medians(row)])),
    jobsPerMinute: Object.fromEntries(
      concurrencies.map((concurrency) => [concurrency, rounded(rates['jobs']?.[`${concurrency}`]?.median)]),
    ),
    containerCeilingPerMinute: rounded(bestRate(rates['raw'])),
    fullPathPerMinute: rounded(fullPath?.program.perMinute),
    submitToVerdictOverheadMs: rounded(fullPath?.program.overheadMs.median),
    fullPathProjectPerMinute: rounded(fullPath?.project.perMinute),
    suiteLatencyMs: Object.fromEntries(suiteNames.map((row) => [row, medians(row)])),
    testsPerSecond,
    details: { machine, latencies, rates, fullPath },
  };
}
