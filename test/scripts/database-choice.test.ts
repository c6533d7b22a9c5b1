import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { chooseDatabase } from '../../src/embedded/database-choice.ts';

const adminUrl = process.env['TEST_DATABASE_URL'] ?? '';
const names = { empty: '', foreign: '', ours: '' };

function urlOf(database: string): string {
  const url = new URL(adminUrl);
  url.pathname = `/${database}`;
  return url.href;
}

async function execute(url: string, ...statements: string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

beforeAll(async () => {
  for (const kind of ['empty', 'foreign', 'ours'] as const) {
    names[kind] = `choice_${kind}_${randomBytes(4).toString('hex')}`;
    await execute(adminUrl, `create database ${names[kind]}`);
  }
  // An extension brings objects of its own; they are nobody's data.
  await execute(urlOf(names.empty), 'create extension pg_stat_statements', 'create schema leftover');
  await execute(urlOf(names.foreign), 'create schema shop', 'create table shop.orders (id int)');
  await execute(
    urlOf(names.ours),
    'create schema operations',
    'create table operations.installation (id int)',
    'create table public.users (id int)',
  );
});

afterAll(async () => {
  for (const name of Object.values(names)) await execute(adminUrl, `drop database ${name} with (force)`);
});

test('without an address the embedded database is used', async () => {
  expect(await chooseDatabase({})).toEqual({ kind: 'embedded' });
});

test.each(['empty', 'ours'] as const)('DATABASE_URL may name a database that is %s', async (kind) => {
  const url = urlOf(names[kind]);
  expect(await chooseDatabase({ common: url })).toMatchObject({
    kind: 'given',
    url,
    description: expect.stringContaining(`/${names[kind]} (DATABASE_URL)`),
  });
});

test('DATABASE_URL with tables of another application is refused, and nothing is told but what to do', async () => {
  const refusal = chooseDatabase({ common: urlOf(names.foreign) });
  await expect(refusal).rejects.toThrow(/holds 1 tables of another application[^]*Unset DATABASE_URL/);
  await expect(refusal).rejects.not.toThrow(new URL(adminUrl).password);
});

test('ATELIER_DATABASE_URL comes first and is taken as it is', async () => {
  const url = urlOf(names.foreign);
  expect(await chooseDatabase({ own: url, common: urlOf(names.empty) })).toMatchObject({ kind: 'given', url });
});

test('an address where nothing answers, or that is none, is refused with its name', async () => {
  await expect(chooseDatabase({ common: 'postgres://a:secret@127.0.0.1:1/x' })).rejects.toThrow(
    /127\.0\.0\.1:1\/x \(DATABASE_URL\) was not reached: .*ECONNREFUSED/,
  );
  await expect(chooseDatabase({ own: 'postgres://a:secret@127.0.0.1:nonsense/x' })).rejects.toThrow(
    'ATELIER_DATABASE_URL is no PostgreSQL address',
  );
});
