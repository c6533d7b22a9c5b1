import type { Outcome } from './world.ts';

const columns = ['acknowledged', 'came out', 'crashes', 'duplicates', 'leaks', 'mails twice', 'slowest recovery'] as const;

function cellsOf(outcome: Outcome): string[] {
  const { acknowledged, cameOut, crashes, duplicates, leaks, repeatedMails, slowestRecoveryMs } = outcome;
  const recovery = slowestRecoveryMs === null ? '–' : `${(slowestRecoveryMs / 1000).toFixed(1)} s`;
  return [...[acknowledged, cameOut, crashes, duplicates, leaks, repeatedMails].map(String), recovery];
}

/** One line as soon as a scenario is over, and each broken promise below it. */
export function reportLine(outcome: Outcome): string {
  const figures = cellsOf(outcome).map((cell, index) => `${columns[index]} ${cell}`);
  const verdict = outcome.violations.length === 0 ? 'holds ' : 'BROKEN';
  const note = outcome.note === undefined ? '' : ` (${outcome.note})`;
  return [
    `${verdict} ${outcome.scenario}: ${figures.join(', ')}${note}`,
    ...outcome.violations.map((text) => `       ${text}`),
  ].join('\n');
}

/** The whole run as one table. */
export function reportTable(outcomes: readonly Outcome[]): string {
  const rows = [['scenario', ...columns, 'verdict'], ...outcomes.map(rowOf)];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = rows.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`);
  lines.splice(1, 0, `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`);
  return lines.join('\n');
}

const rowOf = (outcome: Outcome) => [
  outcome.scenario,
  ...cellsOf(outcome),
  outcome.violations.length === 0 ? 'holds' : `BROKEN: ${outcome.violations.length}`,
];
