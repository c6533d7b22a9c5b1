import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { Orm } from '../../src/database/orm.ts';

// The migrator says what it does, by the console as it was when MikroORM was loaded.
jest.spyOn(console, 'log').mockImplementation(() => undefined);
const { migrate } = await import('../../src/database/migrate.ts');
const { migrationsList } = await import('../../src/database/migrations/index.ts');
const { openOrm } = await import('../../src/database/orm.ts');
const { createEmptyDatabase } = await import('../support/database.ts');

let database: Awaited<ReturnType<typeof createEmptyDatabase>>;
let orm: Orm;

beforeEach(async () => {
  database = await createEmptyDatabase();
  orm = await openOrm(database.url, { logger: () => undefined });
});

afterEach(async () => {
  await orm.close();
  await database.drop();
});

describe('migrate', () => {
  it('brings an empty database to what the entities describe, with one schema per domain', async () => {
    await migrate(database.url);
    expect(await orm.migrator.checkSchema()).toBe(false);
    const rows = await orm.em.execute<{ nspname: string }[]>(
      "select nspname from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'public') order by nspname",
    );
    expect(rows.map(({ nspname }) => nspname)).toEqual([
      'accounts',
      'catalogue',
      'learning',
      'notifications',
      'operations',
      'progress',
      'reviews',
      'submissions',
    ]);
  });

  it('runs each migration once, however many processes start at the same time', async () => {
    await Promise.all([migrate(database.url), migrate(database.url), migrate(database.url)]);
    const executed = await orm.migrator.getExecuted();
    expect(executed.map(({ name }) => name)).toEqual(migrationsList.map((migration) => migration.name));
    expect(await orm.migrator.getPending()).toEqual([]);
  });

  it('changes nothing in a database that is up to date', async () => {
    await migrate(database.url);
    const before = await orm.migrator.getExecuted();
    await migrate(database.url);
    expect(await orm.migrator.getExecuted()).toEqual(before);
  });

  it('lets the next process migrate after one that failed', async () => {
    await orm.em.execute('create schema "accounts"; create table "accounts"."users" ("in_the_way" int)');
    await expect(migrate(database.url)).rejects.toThrow('already exists');
    await orm.em.execute('drop table "accounts"."users"');
    await migrate(database.url);
    expect(await orm.migrator.getPending()).toEqual([]);
  });
});
