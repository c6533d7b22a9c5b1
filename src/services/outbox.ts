import { withTrace } from '../trace.ts';

/** A row whose workflow is to be started. */
interface OutboxRow {
  startedAt: Date | null;
  /** Of the request that it came with; what is started goes on in that trace. */
  readonly traceId: string | null;
}

/** Where so many starts fail it is not the rows: the rest is left for later, and its locks are let go. */
const maxFailures = 3;

/** What became of a batch; the failures are thrown after the transaction, so that the marks of the others stay. */
interface Batch {
  readonly started: number;
  readonly failures: readonly unknown[];
}

/** Starts rows one after the other and marks those that did start; in the caller's transaction, which holds their locks. */
export async function startEach<R extends OutboxRow>(rows: readonly R[], start: (row: R) => Promise<void>): Promise<Batch> {
  const failures: unknown[] = [];
  let started = 0;
  for (const row of rows) {
    try {
      await withTrace({ traceId: row.traceId }, () => start(row));
      row.startedAt = new Date();
      started += 1;
    } catch (error) {
      failures.push(error);
      if (failures.length === maxFailures) break;
    }
  }
  return { started, failures };
}

/** @throws the first failure. */
export function countStarted({ started, failures }: Batch): number {
  if (failures.length > 0) throw failures[0];
  return started;
}
