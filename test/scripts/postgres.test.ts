import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { RememberedPorts } from '../../src/embedded/ports.ts';
import { type EmbeddedPostgres, openPostgres } from '../../src/embedded/postgres.ts';
import { identify } from '../../src/embedded/process-identity.ts';
import { findProcess, makeFolder, until } from './fixture.ts';

const isRoot = process.getuid?.() === 0;
let folder: ReturnType<typeof makeFolder>;
let server: EmbeddedPostgres;
const said: string[] = [];

const open = (dataFolder = folder.path, systemFolder = join(folder.path, 'system')) =>
  openPostgres({
    dataFolder,
    systemFolder,
    durable: true,
    install: true,
    say: (text) => void said.push(text),
    ports: new RememberedPorts(join(dataFolder, 'ports.json')),
  });

async function query(sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: server.url('atelier') });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

beforeAll(async () => {
  folder = makeFolder();
  server = await open();
  await server.createDatabase('atelier');
});

afterAll(async () => {
  await server.stop();
  folder.remove();
});

test('a new data folder gets a cluster of its own, closed to others, with a password in a file only its owner reads', async () => {
  expect(server.state).toBe('created');
  expect(statSync(join(server.folder, 'password')).mode & 0o777).toBe(0o600);
  expect(statSync(server.folder).mode & 0o777).toBe(0o700);
  await server.createDatabase('atelier');
  expect(await query('select current_user as role')).toEqual([{ role: 'atelier' }]);
  const wrong = new pg.Client({ connectionString: server.url('atelier').replace(/:[^:@]+@/, ':wrong@') });
  await expect(wrong.connect()).rejects.toThrow('password authentication failed');
  const settings = await query("select name, setting from pg_settings where name in ('fsync', 'listen_addresses') order by name");
  expect(settings).toEqual([
    { name: 'fsync', setting: 'on' },
    { name: 'listen_addresses', setting: '127.0.0.1' },
  ]);
});

test('a server that still runs is adopted', async () => {
  const again = await open();
  expect(again.state).toBe('adopted');
  expect(again.port).toBe(server.port);
  expect(await again.pid()).toBe(await server.pid());
});

test('a killed server is started again on its port, with everything that was committed', async () => {
  await query('create table kept (id int)');
  await query('insert into kept select generate_series(1, 1000)');
  const pid = (await server.pid()) ?? 0;
  expect(await server.ensureRunning()).toBe(false);
  process.kill(pid, 'SIGKILL');
  await until(() => findProcess(pid) === undefined, 'the server is gone');
  expect(await server.pid()).toBeUndefined();
  expect(await server.ensureRunning()).toBe(true);
  expect(await query('select count(*)::int as rows from kept')).toEqual([{ rows: 1000 }]);
  expect(await server.pid()).not.toBe(pid);
});

test('a postmaster.pid whose number a foreign process got is no running server', async () => {
  await server.stop();
  const foreign = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  await once(foreign, 'spawn');
  try {
    const file = join(server.folder, 'data', 'postmaster.pid');
    writeFileSync(file, `${foreign.pid}\n${server.folder}/data\n0\n${server.port}\n\n127.0.0.1\n\nready\n`);
    expect(await server.pid()).toBeUndefined();
    server = await open();
    expect(server.state).toBe('started');
    expect(await query('select count(*)::int as rows from kept')).toEqual([{ rows: 1000 }]);
    expect(identify(foreign.pid ?? 0)).toBeDefined();
  } finally {
    foreign.kill('SIGKILL');
  }
});

test('the port stays the same, unless somebody else took it', async () => {
  const before = server.port;
  await server.stop();
  expect(await server.pid()).toBeUndefined();
  server = await open();
  expect(server.port).toBe(before);
  await server.stop();
  const foreign = createServer();
  await new Promise<void>((resolve) => foreign.listen(before, '127.0.0.1', resolve));
  try {
    server = await open();
    expect(server.port).not.toBe(before);
    expect(await query('select count(*)::int as rows from kept')).toEqual([{ rows: 1000 }]);
  } finally {
    foreign.close();
  }
});

test('an interrupted creation leaves nothing that looks like a cluster', async () => {
  const other = makeFolder();
  const half = await open(other.path);
  await half.stop();
  // As if it had been killed just before the last step.
  execFileSync('mv', [join(half.folder, 'data'), join(half.folder, 'data.new')]);
  rmSync(join(half.folder, 'data.new', 'global'), { recursive: true });
  const again = await open(other.path);
  expect(again.state).toBe('created');
  expect(existsSync(join(again.folder, 'data.new'))).toBe(false);
  await again.stop();
  other.remove();
});

(isRoot ? test : test.skip)(
  'root with a data folder that user postgres cannot reach keeps the database in the system folder (needs root)',
  async () => {
    const closed = makeFolder();
    chmodSync(closed.path, 0o700);
    const system = join(folder.path, 'system');
    const first = await open(closed.path, system);
    expect(first.folder.startsWith(system)).toBe(true);
    expect(said.at(-1)).toContain(`the database lives in ${first.folder}`);
    await first.stop();
    // Moved, it finds its database again; copied, it would share one with the original.
    const moved = makeFolder();
    moved.remove();
    execFileSync('cp', ['-a', closed.path, moved.path]);
    await expect(open(moved.path, system)).rejects.toThrow(`is a copy of ${closed.path}`);
    closed.remove();
    const second = await open(moved.path, system);
    expect(second.folder).toBe(first.folder);
    expect(second.state).toBe('started');
    expect(readFileSync(join(second.folder, 'data-folder'), 'utf8')).toBe(moved.path);
    await second.stop();
    moved.remove();
  },
);
