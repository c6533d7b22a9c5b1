import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { migrate } from '../../src/database/migrate.ts';
import { type Orm, openOrm } from '../../src/database/orm.ts';
import { type Lock, takeLock } from '../../src/embedded/lock.ts';
import { RememberedPorts } from '../../src/embedded/ports.ts';
import { type EmbeddedPostgres, openPostgres } from '../../src/embedded/postgres.ts';
import { identify, signal, waitUntilGone } from '../../src/embedded/process-identity.ts';
import type { TestDatabase } from '../support/database.ts';

/** A PostgreSQL of its own, durable as the product's, which a test may end at any moment. */
export class OwnPostgres implements TestDatabase {
  readonly url: string;
  readonly orm: Orm;
  readonly #folder: string;
  readonly #server: EmbeddedPostgres;
  readonly #lock: Lock;

  private constructor(folder: string, server: EmbeddedPostgres, lock: Lock, orm: Orm) {
    this.#folder = folder;
    this.#server = server;
    this.#lock = lock;
    this.url = server.url('atelier');
    this.orm = orm;
  }

  static async start(): Promise<OwnPostgres> {
    // By its name and lock the next test run finds and ends what a killed one left.
    const folder = mkdtempSync(join(tmpdir(), 'atelier-test-chaos-'));
    // Passed through by user `postgres` where root runs this.
    chmodSync(folder, 0o711);
    const lock = takeLock(join(folder, 'run', 'lock'), 'chaos tests');
    const ports = new RememberedPorts(join(folder, 'ports.json'));
    const server = await openPostgres({ dataFolder: folder, durable: true, ports, install: true, say: () => undefined });
    await server.createDatabase('atelier');
    const url = server.url('atelier');
    await migrate(url);
    return new OwnPostgres(folder, server, lock, await openOrm(url, { logger: () => undefined }));
  }

  /** As `pg_ctl stop -m immediate` does: no connection is told, nothing is written down. */
  async stopImmediately(): Promise<void> {
    const pid = await this.#server.pid();
    const identity = pid === undefined ? undefined : identify(pid);
    if (pid === undefined || identity === undefined) return;
    signal(pid, 'SIGQUIT');
    if (!(await waitUntilGone(identity, 20_000))) throw new Error('PostgreSQL did not stop');
  }

  /** Cuts every connection but this one, those of the test itself too. */
  async cutConnections(): Promise<void> {
    await this.execute(
      'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
    );
  }

  /** On the same port; recovers from its log. */
  async startAgain(): Promise<void> {
    await this.#server.ensureRunning();
  }

  /** One statement on a connection of its own. */
  async execute(sql: string): Promise<void> {
    const client = new pg.Client(this.url);
    client.on('error', () => undefined);
    await client.connect();
    try {
      await client.query(sql);
    } finally {
      await client.end();
    }
  }

  async close(): Promise<void> {
    await this.orm.close();
    await this.#server.stop();
    this.#lock.release();
    rmSync(this.#server.folder, { recursive: true, force: true });
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
