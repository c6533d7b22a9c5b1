import pg from 'pg';
import { type Orm, openOrm } from './orm.ts';

/** Any fixed number; all processes of an installation agree on it. */
const migrationLock = 4_812_557;

/**
 * Brings the database of `url` to the newest version. Safe to call from several processes at once: the migrator takes no lock of its
 * own, so an advisory lock on a connection apart lets one run while the others wait and then find nothing to do.
 */
export async function migrate(url: string): Promise<void> {
  const lock = new pg.Client(url);
  await lock.connect();
  try {
    await lock.query('select pg_advisory_lock($1)', [migrationLock]);
    const orm: Orm = await openOrm(url);
    try {
      await orm.migrator.up();
    } finally {
      await orm.close();
    }
  } finally {
    // Ending the connection releases the lock.
    await lock.end();
  }
}
