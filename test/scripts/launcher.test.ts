import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { findFreePort } from '../../src/embedded/ports.ts';
import { type Command, findProcess, makeFolder, node24, projectFolder, run, until } from './fixture.ts';

/** The real launcher, PostgreSQL and Temporal with processes that do nothing but answer: what the academy itself does is not told here. */
let folder: ReturnType<typeof makeFolder>;
let data: string;
let port: number;

const worker = `process.on('SIGTERM', () => { console.log('stopped in order'); process.exit(); }); setInterval(() => {}, 1000);`;
const programs: Record<string, string> = {
  'api/server.ts': `import { createServer } from 'node:http';
    const { DATABASE_URL, JWT_SECRET, ATELIER_ORIGIN, TEMPORAL_UI_ORIGIN, HELLO } = process.env;
    createServer((request, response) => response.end(JSON.stringify({ JWT_SECRET, ATELIER_ORIGIN, TEMPORAL_UI_ORIGIN, HELLO })))
      .listen(Number(process.env['PORT']), process.env['HOST']);
    ${worker}`,
  'workers/submissions.ts': worker,
  'workers/judging.ts': worker,
  'workers/notifications.ts': worker,
  'workers/migrate.ts': `import { appendFileSync, writeFileSync } from 'node:fs';
    const { ATELIER_ACCOUNTS_FILE = '', ATELIER_DATABASE_URL = '' } = process.env;
    appendFileSync(process.env['ATELIER_DATA'] + '/migrations', ATELIER_DATABASE_URL + '\\n');
    writeFileSync(ATELIER_ACCOUNTS_FILE, JSON.stringify([{ email: 'admin@example.org', password: 'made-by-the-seed', role: 'SUPER_ADMIN' }]));`,
};

beforeAll(async () => {
  folder = makeFolder();
  data = join(folder.path, 'data');
  port = await findFreePort();
  for (const [name, text] of Object.entries(programs)) {
    mkdirSync(dirname(join(folder.path, 'programs', name)), { recursive: true });
    writeFileSync(join(folder.path, 'programs', name), text);
  }
  mkdirSync(join(folder.path, 'bin'));
  symlinkSync(process.env['TEST_TEMPORAL_CLI'] ?? '', join(folder.path, 'bin', 'temporal'));
});

afterAll(async () => {
  for (const pid of existsSync(data) ? Object.values(processes()) : []) if (findProcess(pid)) process.kill(pid, 'SIGKILL');
  folder.remove();
});

function start(env: NodeJS.ProcessEnv = {}, ...args: string[]): Command {
  const base = {
    PATH: `${join(folder.path, 'bin')}:/usr/bin:/bin`,
    HOME: folder.path,
    ATELIER_DATA: data,
    ATELIER_PROGRAMS: join(folder.path, 'programs'),
    SANDBOX: 'none',
  };
  return run(node24, ['scripts/start.js', '--port', String(port), ...args], { ...base, ...env }, projectFolder);
}

async function open(academy: Command): Promise<string> {
  let ended = false;
  void academy.ended.then(() => (ended = true));
  await until(() => academy.output().includes('Stop:') || ended, 'the academy is open', 60_000);
  return academy.output();
}

const processes = () => JSON.parse(readFileSync(join(data, 'run', 'processes.json'), 'utf8')) as Record<string, number>;
const api = async () => (await (await fetch(`http://127.0.0.1:${port}/`)).json()) as Record<string, string>;

test('starts everything, says where it is, starts again what dies, and stops it all when asked', async () => {
  const academy = start({ HELLO: 'passed on' });
  const output = await open(academy);
  expect(output).toMatch(/PostgreSQL +embedded 18.*, new/);
  expect(output).toMatch(/Temporal +development server of CLI .*web UI http:\/\/127\.0\.0\.1:\d+/);
  expect(output).toContain(`The academy is open:  http://127.0.0.1:${port}\n`);
  expect(output).toMatch(/SUPER_ADMIN +admin@example\.org +made-by-the-seed/);
  expect(output).toContain('npm run demo');
  expect(statSync(join(data, 'secrets.json')).mode & 0o777).toBe(0o600);
  const first = await api();
  expect(first).toMatchObject({ HELLO: 'passed on', ATELIER_ORIGIN: `http://127.0.0.1:${port}` });
  expect((await fetch(first['TEMPORAL_UI_ORIGIN'] ?? '')).status).toBe(200);

  const second = start();
  expect(await second.ended).toBe(1);
  expect(second.output()).toMatch(
    new RegExp(`already runs with the data folder ${data}: http://127.0.0.1:${port} \\(process \\d+\\)`),
  );

  const before = processes();
  for (const name of ['postgres', 'temporal', 'judging']) process.kill(before[name] ?? 0, 'SIGKILL');
  await until(
    () => ['postgres', 'temporal', 'judging'].every((name) => ![undefined, before[name]].includes(processes()[name])),
    'all run again',
  );

  const running = Object.values(processes());
  academy.child.kill('SIGINT');
  expect(await academy.ended).toBe(0);
  expect(running.filter(findProcess)).toEqual([]);
  expect(readFileSync(join(data, 'logs', 'notifications.log'), 'utf8')).toContain('stopped in order');
  expect(existsSync(join(data, 'run', 'lock'))).toBe(false);
});

test('a launcher that is killed with its parent leaves nothing that hinders the next start, which keeps ports, secret and database', async () => {
  const killed = start();
  await open(killed);
  const secret = (await api())['JWT_SECRET'];
  const left = processes();
  killed.child.kill('SIGKILL');
  process.kill(left['launcher'] ?? 0, 'SIGKILL');
  await killed.ended;
  const again = start();
  const output = await open(again);
  expect(output).toContain('what it left running was stopped: ');
  expect(output).toMatch(/PostgreSQL +embedded 18.*, still running, taken over/);
  expect((await api())['JWT_SECRET']).toBe(secret);
  expect(findProcess(left['temporal'] ?? 0)).toBeUndefined();
  expect(new Set(readFileSync(join(data, 'migrations'), 'utf8').trim().split('\n')).size).toBe(1);

  // The same when only the launcher is killed: scripts/start.js cleans up after it.
  const running = processes();
  process.kill(running['launcher'] ?? 0, 'SIGKILL');
  expect(await again.ended).toBe(137);
  expect(again.output()).toContain('What it had started was stopped');
  expect(Object.values(running).filter(findProcess)).toEqual([]);
});

test('a port that is taken is named with a free one, before anything is started', async () => {
  const foreign = createServer();
  await new Promise<void>((resolve) => foreign.listen(port, '127.0.0.1', resolve));
  try {
    const refused = start();
    expect(await refused.ended).toBe(1);
    expect(refused.output()).toMatch(new RegExp(`Port ${port} on 127.0.0.1 is taken.*npm start -- --port \\d+`));
    expect(refused.output()).not.toContain('PostgreSQL');
  } finally {
    foreign.close();
  }
});

test('what cannot work is refused with one line, and what was started is stopped', async () => {
  const noTemporal = start({ TEMPORAL_ADDRESS: '127.0.0.1:1' });
  expect(await noTemporal.ended).toBe(1);
  expect(noTemporal.output()).toContain('Temporal at 127.0.0.1:1 (TEMPORAL_ADDRESS) was not reached');
  expect(noTemporal.output()).not.toContain('    at ');
  expect(processes()).toEqual({});

  const wrongPort = start({}, '--port', 'http');
  expect(await wrongPort.ended).toBe(1);
  expect(wrongPort.output()).toContain('PORT: must be a number');

  const wrongOption = start({}, '--prot', '1');
  expect(await wrongOption.ended).toBe(1);
  expect(wrongOption.output()).toMatch(/Unknown option '--prot'[^]*--data DIR/);
});
