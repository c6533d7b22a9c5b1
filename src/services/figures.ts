import type { Em } from '../database/orm.ts';

/** A figure of the whole academy, as Prometheus shows it. */
export interface Figure {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter';
  /** A column of the query that tells its rows apart; its values are few and known. */
  readonly label?: string;
  /** One row a series: `value`, where null is no series, and the label. */
  readonly query: string;
}

/** A value of a figure, with its label. */
export interface FigureValue {
  readonly value: number;
  readonly labels: Readonly<Record<string, string>>;
}

/** A query that takes longer than this is given up: looking must not be what slows the academy down. */
const timeoutMs = 2_000;

const ageInSeconds = (instant: string) => `coalesce(extract(epoch from now() - min(${instant})), 0)::float8`;

/** What is worth an alarm or a graph and only the database knows; each read by one cheap query. */
export const figures: readonly Figure[] = [
  {
    name: 'outbox_oldest_age_seconds',
    help: 'How long the oldest row waits for its workflow to be started; 0 where none waits.',
    type: 'gauge',
    label: 'kind',
    query: `
      select 'submission' as kind, ${ageInSeconds('submitted_at')} as value from submissions.submissions
      where started_at is null and closed_at is null and status = 'SUBMITTED'
      union all
      select 'delivery', ${ageInSeconds('created_at')} from notifications.deliveries where started_at is null
      union all
      select 'override', ${ageInSeconds('created_at')} from reviews.overrides where started_at is null`,
  },
  {
    name: 'submissions_open',
    help: 'Submissions that are not closed.',
    type: 'gauge',
    label: 'stage',
    query: `
      select stages.stage, count(s.id)::int as value
      from unnest(array['QUEUED', 'CHECKING', 'AWAITING_REVIEW', 'UNDER_REVIEW', 'PARKED']) stages (stage)
      left join submissions.submissions s on s.stage = stages.stage and s.closed_at is null and s.status = 'SUBMITTED'
      group by stages.stage`,
  },
  {
    name: 'submissions_parked',
    help: 'Submissions that wait for an admin because of our own trouble.',
    type: 'gauge',
    query: `select count(*)::int as value from submissions.submissions where stage = 'PARKED'`,
  },
  {
    name: 'awaiting_review_oldest_age_seconds',
    help: 'How long ago the oldest submission that waits for its review was submitted; 0 where none waits.',
    type: 'gauge',
    query: `
      select ${ageInSeconds('submitted_at')} as value from submissions.submissions
      where stage in ('AWAITING_REVIEW', 'UNDER_REVIEW')`,
  },
  {
    name: 'deliveries_failed',
    help: 'Deliveries that were tried for a day and given up.',
    type: 'gauge',
    query: `
      select count(*)::int as value from notifications.deliveries
      where delivered_at is null and (failed_at is not null or started_at < now() - interval '25 hours')`,
  },
  {
    name: 'xp_ledger_mismatch',
    help: 'Tasks whose XP entries do not sum to what their status is worth to their assignee: must be 0.',
    type: 'gauge',
    query: `
      select count(distinct task_id)::int as value from (
        select task_id from (
          select task_id, student_id, amount from progress.xp_entries
          union all
          select t.id, t.assignee_id, -r.xp from learning.tasks t
          join catalogue.exercise_revisions r on r.id = t.revision_id where t.status = 'APPROVED'
        ) entries group by task_id, student_id having sum(amount) <> 0
      ) mismatches`,
  },
  {
    name: 'refresh_reuse_detected_total',
    help: 'Sessions that were ended because a refresh token was used twice: somebody has a copy.',
    type: 'counter',
    query: `select count(*)::int as value from operations.audit where action = 'session.reused'`,
  },
  {
    name: 'reconcile_repairs_total',
    help: 'Workflows that were lost and started again: each is a bug or an incident.',
    type: 'counter',
    query: `select count(*)::int as value from operations.audit where action = 'submission.restarted'`,
  },
  {
    name: 'check_duration_seconds',
    help: 'From the start of a check run to its verdict, of the last hour.',
    type: 'gauge',
    label: 'quantile',
    query: `
      select unnest(array['0.5', '0.95']) as quantile,
        unnest(percentile_cont(array[0.5, 0.95]) within group (order by extract(epoch from finished_at - started_at)::float8)) as value
      from submissions.check_runs where finished_at > now() - interval '1 hour'`,
  },
];

/** Reads one figure. @throws Error where PostgreSQL does not answer in 2 s. */
export async function readFigure(em: Em, { query, label }: Figure): Promise<FigureValue[]> {
  const rows = await em.transactional(async (tx) => {
    await tx.execute(`set local statement_timeout = ${timeoutMs}`);
    return tx.execute<Record<string, string | number | null>[]>(query);
  });
  return rows.flatMap(({ value, ...rest }) =>
    typeof value === 'number' ? [{ value, labels: label === undefined ? {} : { [label]: String(rest[label]) } }] : [],
  );
}
