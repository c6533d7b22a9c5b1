import { Migrator } from '@mikro-orm/migrations';
import { defineConfig, type EntityManager, MikroORM, type Options } from '@mikro-orm/postgresql';
import type { Pool, PoolClient } from 'pg';
import { CheckRun, TestCaseResult } from './entities/check-runs.ts';
import { Course } from './entities/courses.ts';
import { Cohort, Enrolment } from './entities/enrolments.ts';
import { Exercise, ExerciseRevision, ReferenceMeasure, RevisionFile } from './entities/exercises.ts';
import { Delivery, Notification } from './entities/notifications.ts';
import { Activity, AuditEntry, IdempotencyKey, Installation, StreamTicket } from './entities/operations.ts';
import { XpEntry } from './entities/progress.ts';
import { Override, Review, SubmissionRequest } from './entities/reviews.ts';
import { AccessToken, RefreshToken, Session } from './entities/sessions.ts';
import { Submission } from './entities/submissions.ts';
import { Task } from './entities/tasks.ts';
import { TrialRun } from './entities/trial-runs.ts';
import { User } from './entities/users.ts';
import { migrationsList } from './migrations/index.ts';

export type Orm = MikroORM;
export type Em = EntityManager;

const entities = [
  AccessToken,
  Activity,
  AuditEntry,
  CheckRun,
  Cohort,
  Course,
  Delivery,
  Enrolment,
  Exercise,
  ExerciseRevision,
  IdempotencyKey,
  Installation,
  Notification,
  Override,
  RefreshToken,
  Review,
  ReferenceMeasure,
  RevisionFile,
  Session,
  StreamTicket,
  Submission,
  SubmissionRequest,
  Task,
  TestCaseResult,
  TrialRun,
  User,
  XpEntry,
];

/**
 * Gives the place of a connection that ends while it is taken back to the pool. Kysely (0.29) never releases a connection whose BEGIN
 * or ROLLBACK failed, so without this each transaction that PostgreSQL's restart meets would cost a place, until none is left.
 */
function releaseDeadConnections(pool: Pool): void {
  const taken = new Set<PoolClient>();
  pool.on('acquire', (client) => taken.add(client));
  pool.on('release', (_error, client) => taken.delete(client));
  pool.on('connect', (client) => {
    client.once('end', () => {
      if (!taken.has(client)) return;
      client.release(true);
      // Who holds it may release it as well, which the pool would take for a mistake.
      client.release = () => undefined;
    });
  });
}

/** Connects to the database of `url` (`postgres://…`). Fork `orm.em` for each request, activity and test. */
export function openOrm(url: string, extra: Partial<Options> = {}): Promise<Orm> {
  return MikroORM.init(
    defineConfig({
      clientUrl: url,
      entities,
      extensions: [Migrator],
      forceUtcTimezone: true,
      migrations: {
        path: 'src/database/migrations',
        emit: 'ts',
        // One fixed name: by default it is the database's, which differs between an academy, a test and a checkout.
        snapshotName: '.snapshot-atelier',
        migrationsList,
      },
      pool: { min: 0, max: 10 },
      // Without a limit, a PostgreSQL that takes connections and never answers would hold every request for ever.
      driverOptions: { onPoolCreated: releaseDeadConnections, connectionTimeoutMillis: 10_000 },
      ...extra,
    }),
  );
}
