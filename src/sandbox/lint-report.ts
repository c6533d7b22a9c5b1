import { z } from 'zod';
import type { LintFinding } from '../domain/check-runs.ts';
import { MalformedReportError } from './malformed-report.ts';
import { reportText } from './report-text.ts';

const maxFindings = 200;

const text = (maxLength: number) => z.string().transform((value) => reportText(value, maxLength));

const LintReport = z.array(
  z.object({
    file: text(1000),
    line: z.number().int().min(0),
    rule: text(200),
    severity: z.enum(['error', 'warning']),
    message: text(1000),
  }),
);

/**
 * Reads what `runner/lint.mjs` wrote to descriptor 3; no more than 200 findings, the first ones. Texts are cut and cleaned for the
 * database: they quote the student's source.
 *
 * @throws MalformedReportError where it is no such report.
 */
export function parseLintReport(json: string): readonly LintFinding[] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new MalformedReportError('the lint report is no JSON', { cause: error });
  }
  const report = LintReport.safeParse(value);
  if (!report.success) throw new MalformedReportError('the lint report has another shape', { cause: report.error });
  return report.data.slice(0, maxFindings);
}
