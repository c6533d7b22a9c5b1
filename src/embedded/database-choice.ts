import pg from 'pg';
import { messageOf, Refusal } from './errors.ts';

/** Which PostgreSQL the academy uses: one the user named, or our embedded one. */
export type DatabaseChoice =
  | { readonly kind: 'given'; readonly url: string; readonly description: string }
  | { readonly kind: 'embedded' };

/**
 * Chooses the database: ATELIER_DATABASE_URL, then DATABASE_URL, else the embedded one.
 *
 * DATABASE_URL is a name many programs use: a database that holds somebody else's tables is refused, so that an address that
 * happens to be in the environment never gets our tables. ATELIER_DATABASE_URL can only mean us.
 *
 * @throws Refusal when the named database is not reached, or is a foreign one
 */
export async function chooseDatabase(addresses: {
  own?: string | undefined;
  common?: string | undefined;
}): Promise<DatabaseChoice> {
  const [name, url] = addresses.own
    ? (['ATELIER_DATABASE_URL', addresses.own] as const)
    : (['DATABASE_URL', addresses.common] as const);
  if (!url) return { kind: 'embedded' };
  const found = await inspect(name, url);
  if (name === 'DATABASE_URL' && !found.isOurs && found.foreignTables > 0) {
    throw new Refusal(
      `DATABASE_URL names ${found.place}, which holds ${found.foreignTables} tables of another application: nothing was touched.\n` +
        'Unset DATABASE_URL to use the embedded PostgreSQL, or set ATELIER_DATABASE_URL to a database for Atelier.',
    );
  }
  return { kind: 'given', url, description: `PostgreSQL ${found.version} at ${found.place} (${name})` };
}

interface Inspection {
  readonly place: string;
  readonly version: string;
  readonly isOurs: boolean;
  readonly foreignTables: number;
}

async function inspect(name: string, url: string): Promise<Inspection> {
  let client: pg.Client;
  try {
    client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  } catch {
    throw new Refusal(`${name} is no PostgreSQL address. It looks like postgres://user:password@host:5432/database`);
  }
  // The address without its password.
  const place = `${client.host}:${client.port}/${client.database}`;
  try {
    await client.connect();
  } catch (error) {
    throw new Refusal(
      `PostgreSQL at ${place} (${name}) was not reached: ${messageOf(error)}\nCorrect ${name}, or unset it to use the embedded PostgreSQL.`,
    );
  }
  try {
    const { rows } = await client.query<{ version: string; is_ours: boolean; tables: number }>(`
      select current_setting('server_version') as version,
             to_regclass('operations.installation') is not null as is_ours,
             (select count(*)::int from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
                 and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
             ) as tables`);
    const row = rows[0];
    return { place, version: row?.version ?? '', isOurs: row?.is_ours ?? false, foreignTables: row?.tables ?? 0 };
  } finally {
    await client.end();
  }
}
