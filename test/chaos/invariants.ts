import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Conclusion } from '../../src/domain/submissions.ts';
import { removeStaleFetches } from '../../src/git/stale-fetches.ts';
import { dockerEngine } from '../../src/sandbox/docker.ts';
import { createTemporalClient } from '../../src/temporal/client.ts';
import type { Academy } from '../end-to-end/academy.ts';
import type { MailServer } from '../support/mail-server.ts';

/** What must be true of an academy after anything whatever, in figures and sentences. */
export interface Findings {
  /** Submissions that were answered with 202. */
  readonly acknowledged: number;
  /** Of those, the ones that are where they must be. */
  readonly cameOut: number;
  /** Second effects: workflows, reviews, XP, notices, mails with another Message-ID. */
  readonly duplicates: number;
  /** Sandboxes, folders and workflows that nobody needs any more. */
  readonly leaks: number;
  /** Mails that came more than once under one Message-ID, which mail clients show once. */
  readonly repeatedMails: number;
  /** Each a broken promise. */
  readonly violations: readonly string[];
}

/** How a submission must have ended; `open` where it must still wait. */
export type Expected = Conclusion | 'open';

export interface Check {
  readonly academy: Academy;
  /** Each submission that was acknowledged, and how it must have ended. */
  readonly acknowledged: ReadonlyMap<string, Expected>;
  readonly mail: MailServer;
  /** Addresses to which nothing can be delivered. */
  readonly bouncing: ReadonlySet<string>;
  /** Workflows whose history was deleted on purpose. */
  readonly forgotten: readonly string[];
}

/** How long what goes by itself may take: deliveries above all, whose tries are up to 15 s apart at first. */
const settleMs = 90_000;

/** Looks until nothing is wrong any more, or all that can come by itself has had its time. */
export async function examine(check: Check): Promise<Findings> {
  const deadline = Date.now() + settleMs;
  for (;;) {
    const findings = await look(check).catch((error: unknown) => ({
      ...{ acknowledged: check.acknowledged.size, cameOut: 0, duplicates: 0, leaks: 0, repeatedMails: 0 },
      violations: [`could not look: ${String(error)}`],
    }));
    if (findings.violations.length === 0 || Date.now() > deadline) return findings;
    await delay(500);
  }
}

interface SubmissionRow {
  readonly id: string;
  readonly workflow_id: string;
  readonly conclusion: Conclusion | null;
  readonly status: string;
  readonly started_at: Date | null;
  readonly reviews: number;
  readonly current_reviews: number;
  readonly overrides: number;
  readonly check_runs: number;
  readonly events: number;
  readonly last_sequence: number;
  readonly decided_notices: number;
}

async function look({ academy, acknowledged, mail, bouncing, forgotten }: Check): Promise<Findings> {
  const violations: string[] = [];
  let duplicates = 0;
  const twice = (count: number, what: string) => {
    if (count <= 1) return;
    duplicates += count - 1;
    violations.push(`${count} times: ${what}`);
  };

  const rows = await academy.query<SubmissionRow>(`
    select s.id, s.workflow_id, s.conclusion, s.status, s.started_at, s.last_sequence,
      (select count(*)::int from reviews.reviews r where r.submission_id = s.id) as reviews,
      (select count(*)::int from reviews.reviews r where r.submission_id = s.id and r.superseded_by_id is null) as current_reviews,
      (select count(*)::int from reviews.reviews r join reviews.overrides o on o.id::text = r.request_id
        where r.submission_id = s.id) as overrides,
      (select count(*)::int from submissions.check_runs c where c.submission_id = s.id) as check_runs,
      (select count(*)::int from operations.activity a where a.submission_id = s.id) as events,
      (select count(*)::int from notifications.notifications n where n.submission_id = s.id and n.user_id = s.student_id
        and n.kind in ('approved', 'rejected') and n.cause_id = s.id) as decided_notices
    from submissions.submissions s`);
  const byId = new Map(rows.map((row) => [row.id, row]));

  let cameOut = 0;
  for (const [id, expected] of acknowledged) {
    const row = byId.get(id);
    const end = row === undefined ? 'lost' : (row.conclusion ?? 'open');
    if (end === expected) cameOut += 1;
    else violations.push(`${id} is ${end}, not ${expected}`);
  }
  for (const row of rows) {
    const isDecided = row.conclusion === 'approved' || row.conclusion === 'rejected';
    if (isDecided && row.current_reviews !== 1)
      violations.push(`${row.id} is decided with ${row.current_reviews} current reviews`);
    if (!isDecided && row.reviews > 0) violations.push(`${row.id} is not decided and has a review`);
    twice(row.reviews - row.overrides, `a decision on ${row.id}`);
    twice(row.check_runs, `a check run of ${row.id}`);
    twice(row.decided_notices, `a notice of the decision on ${row.id}`);
    if (row.events !== row.last_sequence) violations.push(`${row.id} has ${row.events} events, counted ${row.last_sequence}`);
  }

  violations.push(...(await ledgerViolations(academy)));
  const workflows = await workflowFindings(academy, rows, forgotten);
  violations.push(...workflows.violations);
  duplicates += workflows.duplicates;

  const deliveries = await academy.query<{ id: string; email: string; isDelivered: boolean; isFailed: boolean }>(
    `select d.id, u.email, d.delivered_at is not null as "isDelivered", d.failed_at is not null as "isFailed"
     from notifications.deliveries d join notifications.notifications n on n.id = d.notification_id
     join accounts.users u on u.id = n.user_id`,
  );
  const ordered = new Set(deliveries.map(({ id }) => id));
  const messageIds = mail.messageIds.map((messageId) => messageId.slice(1, messageId.indexOf('@')));
  const received = new Set(messageIds);
  for (const { id, email, isDelivered, isFailed } of deliveries) {
    if (bouncing.has(email) ? !isFailed : !isDelivered) violations.push(`delivery ${id} has not ended as it must`);
    else if (isDelivered && !received.has(id)) violations.push(`mail ${id} was lost`);
  }
  for (const id of received) {
    if (ordered.has(id)) continue;
    duplicates += 1;
    violations.push(`a mail ${id} that nobody ordered`);
  }
  const repeatedMails = messageIds.length - received.size;

  const leaks = [...workflows.leaks, ...(await leftovers(academy, rows))];
  violations.push(...leaks);
  return { acknowledged: acknowledged.size, cameOut, duplicates, leaks: leaks.length, repeatedMails, violations };
}

/** XP is the sum over the approved tasks, and each cause's entries are numbered without a gap. */
async function ledgerViolations(academy: Academy): Promise<string[]> {
  const wrong = await academy.query<{ id: string; ledger: number; owed: number }>(`
    with ledger as (select student_id, sum(amount)::int as total from progress.xp_entries group by 1),
      owed as (select t.assignee_id, sum(r.xp)::int as total from learning.tasks t
        join catalogue.exercise_revisions r on r.id = t.revision_id where t.status = 'APPROVED' group by 1)
    select u.id, coalesce(ledger.total, 0) as ledger, coalesce(owed.total, 0) as owed from accounts.users u
      left join ledger on ledger.student_id = u.id left join owed on owed.assignee_id = u.id
      where coalesce(ledger.total, 0) <> coalesce(owed.total, 0)`);
  const gaps = await academy.query<{ cause_id: string }>(`
    select cause_id from progress.xp_entries group by student_id, cause_kind, cause_id
      having max(sequence) <> count(*) or min(sequence) <> 1`);
  return [
    ...wrong.map(({ id, ledger, owed }) => `student ${id} has ${ledger} XP and is owed ${owed}`),
    ...gaps.map(({ cause_id }) => `the ledger of ${cause_id} has a gap`),
  ];
}

/** Each submission has its one workflow: running while it is open, ended when it is closed. */
async function workflowFindings(academy: Academy, rows: readonly SubmissionRow[], forgotten: readonly string[]) {
  const client = createTemporalClient(academy.temporalAddress, 'default');
  const violations: string[] = [];
  const leaks: string[] = [];
  let duplicates = 0;
  try {
    const executions = new Map<string, string[]>();
    for await (const { workflowId, status } of client.workflow.list({ query: "WorkflowType = 'submissionWorkflow'" })) {
      executions.set(workflowId, [...(executions.get(workflowId) ?? []), status.name]);
    }
    for (const row of rows) {
      const found = executions.get(row.workflow_id) ?? [];
      executions.delete(row.workflow_id);
      if (row.status === 'IN_PROGRESS' || forgotten.includes(row.workflow_id)) continue;
      duplicates += Math.max(0, found.length - 1);
      const wanted = row.conclusion === null ? 'RUNNING' : 'COMPLETED';
      if (found.join() !== wanted) violations.push(`${row.id}: its workflow is ${found.join() || 'not there'}, not ${wanted}`);
    }
    for (const [workflowId, statuses] of executions) {
      const isOfSubmission = rows.some(({ id }) => workflowId.includes(id));
      if (!isOfSubmission) leaks.push(`workflow ${workflowId} has no submission`);
      else if (statuses.includes('RUNNING')) leaks.push(`an older workflow ${workflowId} still runs`);
    }
  } finally {
    await client.connection.close();
  }
  return { violations, leaks, duplicates };
}

/** Sandboxes and folders that are left although nothing is being checked. */
async function leftovers(academy: Academy, rows: readonly SubmissionRow[]): Promise<string[]> {
  const left: string[] = [];
  const isChecking = await academy.query("select 1 from submissions.submissions where stage = 'CHECKING'");
  if (isChecking.length === 0) {
    for (const folder of ['scratch', 'fetches']) {
      const path = join(academy.dataFolder, folder);
      // What killed workers left is what the workers' own cleaning finds, if later: nothing else may be there.
      await removeStaleFetches(path, new Date()).catch(() => 0);
      for (const name of await readdir(path).catch(() => [])) left.push(`${folder}/${name} is left`);
    }
    left.push(...sandboxProcesses(academy).map((pid) => `a sandbox runs for nobody: process ${pid}`));
  }
  if (academy.sandbox === 'docker') left.push(...(await containersLeft(rows)));
  return left;
}

/** How many sandboxes a judging worker keeps ready at the most: src/sandbox/pool.ts. */
const maxReady = 2 * availableParallelism();

/** Processes of bubblewrap that have lost their judging worker, and what this academy's has beyond those that it may keep ready. */
function sandboxProcesses(academy: Academy): number[] {
  if (process.platform !== 'linux') return [];
  const judge = academy.pid('judging');
  const parents = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => ({ pid: Number(pid), parent: parentOfBubblewrap(pid) }));
  const own = parents.filter(({ parent }) => parent === judge);
  const orphans = parents.filter(({ parent }) => parent === 1);
  return [...orphans, ...own.slice(maxReady)].map(({ pid }) => pid);
}

/** The parent of a living process of bubblewrap; null for any other. */
function parentOfBubblewrap(pid: string): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return stat.includes('(bwrap)') && state !== 'Z' ? Number(parent) : null;
  } catch {
    return null;
  }
}

/** The reaper looks once a minute for what a killed worker left. */
const reapedWithinMs = 90_000;

/** Containers of jobs that nobody removes; what waits in a pool has no job's name. */
async function containersLeft(rows: readonly SubmissionRow[]): Promise<string[]> {
  const prefixes = rows.map(({ id }) => `/atelier-${id}-`);
  const deadline = Date.now() + reapedWithinMs;
  for (;;) {
    const containers = await dockerEngine().listContainers({ all: true, filters: { label: ['atelier.pool'] } });
    const left = containers.filter(({ Names }) => Names.some((name) => prefixes.some((prefix) => name.startsWith(prefix))));
    if (left.length === 0 || Date.now() > deadline) {
      return left.map(({ Id, State }) => `container ${Id.slice(0, 12)} (${State}) is left`);
    }
    await delay(1_000);
  }
}
