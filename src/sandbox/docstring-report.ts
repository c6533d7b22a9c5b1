import { z } from 'zod';
import type { Documentation } from '../domain/score.ts';
import { MalformedReportError } from './malformed-report.ts';
import { reportText } from './report-text.ts';

const text = (maxLength: number) => z.string().transform((value) => reportText(value, maxLength));

const DocstringReport = z.object({
  things: z
    .array(z.object({ file: text(1000), line: z.number().int().min(1), name: text(200), isDocumented: z.boolean() }))
    .max(500),
  hasOverview: z.boolean(),
});

/** Reads what `runner/find_docstrings.py` wrote to descriptor 3. @throws MalformedReportError where it is no such report. */
export function parseDocstringReport(json: string): Documentation {
  try {
    return DocstringReport.parse(JSON.parse(json));
  } catch (error) {
    throw new MalformedReportError('no report of docstrings', { cause: error });
  }
}
