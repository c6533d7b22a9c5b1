import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { migrate } from '../../src/database/migrate.ts';
import { type Orm, openOrm } from '../../src/database/orm.ts';

const template = 'atelier_template';

function serverUrl(database: string): string {
  const url = new URL(process.env['TEST_DATABASE_URL'] ?? '');
  url.pathname = `/${database}`;
  return url.href;
}

async function withServer<T>(use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(serverUrl('postgres'));
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/** Migrates once per server: cloning a template takes some 30 ms, migrating five times that. */
async function ensureTemplate(client: pg.Client): Promise<void> {
  const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [template]);
  if (rowCount !== 0) return;
  const partial = `${template}_partial`;
  await client.query(`drop database if exists ${partial} with (force)`);
  await client.query(`create database ${partial}`);
  await migrate(serverUrl(partial));
  await client.query(`alter database ${partial} rename to ${template}`);
}

export interface TestDatabase {
  readonly url: string;
  readonly orm: Orm;
  close(): Promise<void>;
}

/** A migrated database of its own for one test file. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  await withServer(async (client) => {
    await client.query('select pg_advisory_lock(1)');
    await ensureTemplate(client);
    await client.query(`create database ${name} template ${template}`);
  });
  const url = serverUrl(name);
  const orm = await openOrm(url, { logger: () => undefined });
  return {
    url,
    orm,
    async close() {
      await orm.close();
      await withServer((client) => client.query(`drop database ${name} with (force)`));
    },
  };
}

/** An empty database, for tests of migrating itself. */
export async function createEmptyDatabase(): Promise<{ url: string; drop(): Promise<void> }> {
  const name = `empty_${randomBytes(6).toString('hex')}`;
  await withServer((client) => client.query(`create database ${name}`));
  return {
    url: serverUrl(name),
    async drop() {
      await withServer((client) => client.query(`drop database ${name} with (force)`));
    },
  };
}
