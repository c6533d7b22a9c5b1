#!/usr/bin/env node
/**
 * Proves docker-compose.yml on this machine with the images of deploy/local/build.sh: brings a stack of its own up (its own project name,
 * ports, volumes and secrets, in a temporary folder), drives it as a student and a reviewer would, takes parts away while submissions
 * are judged, looks at what is open and who may do what, and removes everything again. Exit code 0: all of it held.
 *
 *   node deploy/local/prove.js [--keep]      --keep leaves the stack running
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const project = resolve(import.meta.dirname, '../..');
const home = mkdtempSync(join(tmpdir(), 'atelier-proof-'));
const [apiPort, uiPort] = [3900, 8933];
const origin = `http://127.0.0.1:${apiPort}`;
const started = Date.now();

const seconds = (since) => `${((Date.now() - since) / 1000).toFixed(1)} s`;
const say = (text) => console.log(`${((Date.now() - started) / 1000).toFixed(0).padStart(5)} s  ${text}`);
let held = 0;

/** One thing that has to hold. */
function holds(isRight, what) {
  if (!isRight) throw new Error(`does not hold: ${what}`);
  held += 1;
  say(`ok: ${what}`);
}

function tryRun(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: home, encoding: 'utf8', maxBuffer: 1 << 26, ...options });
  if (result.error) throw result.error;
  return { status: result.status, stdout: result.stdout, output: result.stdout + result.stderr };
}

function run(command, args, options) {
  const result = tryRun(command, args, options);
  if (result.status !== 0) throw new Error(`${command} ${args.join(' ')}\n${result.output}`);
  return result.stdout.trim();
}

const composeArgs = (args) => [
  'compose',
  '-p',
  'atelier-proof',
  '-f',
  'docker-compose.yml',
  '-f',
  'docker-compose.local.yml',
  ...args,
];
const compose = (...args) => run('docker', composeArgs(args));
const docker = (...args) => run('docker', args);
const containersOf = (service) => compose('ps', '-a', '-q', service).split('\n').filter(Boolean);
const inspect = (id) => JSON.parse(docker('inspect', id))[0];
const query = (sql) => compose('exec', '-T', 'postgres', 'psql', '-U', 'postgres', '-d', 'atelier', '-At', '-c', sql);

const up = () => compose('up', '-d', '--scale', 'judging=2', '--scale', 'submissions=2');

async function until(isTrue, what, withinMs = 120_000) {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const answer = await Promise.resolve()
      .then(isTrue)
      .catch(() => undefined);
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`not within ${withinMs / 1000} s: ${what}`);
    await sleep(250);
  }
}

/** A client for one account: repeats while a part is away, with one key for all tries of one request. */
function createClient(token) {
  const call = async (method, path, body) => {
    const key = randomBytes(16).toString('hex');
    const headers = {
      'content-type': 'application/json',
      'idempotency-key': key,
      ...(token && { authorization: `Bearer ${token}` }),
    };
    const deadline = Date.now() + 90_000;
    for (;;) {
      const response = await fetch(`${origin}${path}`, {
        method,
        headers,
        ...(body && { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(20_000),
      }).catch(() => undefined);
      if (response?.ok) return response.json();
      const isAway = response === undefined || response.status >= 500;
      if (!isAway || Date.now() > deadline) throw new Error(`${method} ${path}: ${response?.status} ${await response?.text()}`);
      await sleep(500);
    }
  };
  return { get: (path) => call('GET', path), post: (path, body) => call('POST', path, body ?? {}) };
}

async function login(email, password) {
  return createClient((await createClient().post('/api/auth/login', { email, password })).accessToken);
}

/** Addresses on which Docker listens for containers. */
const published = () =>
  run('ss', ['-Hltnp'])
    .split('\n')
    .filter((line) => line.includes('docker-proxy'))
    .map((line) => line.split(/\s+/)[3]);

const isReady = async () =>
  (await (await fetch(`${origin}/health/ready`, { signal: AbortSignal.timeout(5_000) })).json()).status === 'ok';

// --------------------------------------------------------------------------------------------------------------- the steps

function prepare() {
  for (const name of ['docker-compose.yml', 'docker-compose.local.yml', 'deploy'])
    cpSync(join(project, name), join(home, name), { recursive: true });
  run('sh', ['deploy/prepare.sh']);
  appendFileSync(
    join(home, '.env'),
    `ATELIER_LISTEN=127.0.0.1:${apiPort}\nTEMPORAL_UI_PORT=${uiPort}\nATELIER_ORIGIN=${origin}\nTEMPORAL_UI_ORIGIN=http://127.0.0.1:${uiPort}\n`,
  );
}

/** With each of these nothing but the step that refuses may have run. */
function refuseBadSecrets() {
  const hex = (length) => randomBytes(length).toString('hex').slice(0, length);
  const url = (password) => `postgres://atelier:${password}@postgres:5432/atelier`;
  const bad = [
    ['jwt_secret', 'missing', null],
    ['jwt_secret', 'empty', ''],
    ['jwt_secret', 'short', hex(31)],
    ['jwt_secret', 'a sample', `change-me-${hex(40)}`],
    ['jwt_secret', 'not random', 'a'.repeat(64)],
    ['postgres_password', 'missing', null],
    ['postgres_password', 'the usual sample', 'postgres'],
    ['temporal_password', 'the usual sample', 'temporal'],
    ['database_url', 'with a short password', url('atelier')],
    ['database_url', 'with a sample', url(`example-password-${hex(32)}`)],
    ['database_url', 'for another server', `postgres://atelier:${hex(64)}@elsewhere:5432/atelier`],
    ['temporal_password', 'the same as another', readFileSync(join(home, 'secrets/postgres_password'), 'utf8')],
  ];
  for (const [name, how, value] of bad) {
    const file = join(home, 'secrets', name);
    const right = readFileSync(file, 'utf8');
    rmSync(file);
    if (value !== null) writeFileSync(file, value, { mode: 0o444 });
    const { status, output } = tryRun('docker', composeArgs(['up', '-d']));
    const running = compose('ps', '-q').split('\n').filter(Boolean);
    holds(status !== 0 && running.length === 0, `${name} ${how}: nothing starts`);
    if (value !== null && value.length > 8 && output.includes(value)) throw new Error(`the refusal prints the secret: ${output}`);
    compose('down', '-v');
    rmSync(file, { force: true });
    writeFileSync(file, right, { mode: 0o444 });
  }
}

async function bringUp() {
  const before = new Set(published());
  const since = Date.now();
  up();
  await until(isReady, 'ready');
  say(`up from nothing, ready to judge: ${seconds(since)}`);
  const opened = published()
    .filter((address) => !before.has(address))
    .toSorted();
  holds(
    JSON.stringify(opened) === JSON.stringify([`127.0.0.1:${apiPort}`, `127.0.0.1:${uiPort}`]),
    `the host listens for the api and the web UI alone: ${opened.join(', ')}`,
  );
}

function lookAtContainers() {
  const ids = compose('ps', '-a', '-q').split('\n').filter(Boolean);
  for (const id of ids) {
    const { Name, Config, HostConfig, Mounts } = inspect(id);
    const isHardened =
      HostConfig.ReadonlyRootfs &&
      HostConfig.CapDrop?.includes('ALL') &&
      !HostConfig.CapAdd?.length &&
      !HostConfig.Privileged &&
      HostConfig.SecurityOpt?.includes('no-new-privileges:true') &&
      HostConfig.Memory > 0 &&
      !['', '0', 'root', '0:0'].includes(Config.User);
    if (!isHardened) throw new Error(`${Name} is not hardened: user "${Config.User}" ${JSON.stringify(HostConfig)}`);
    const hasSocket = Mounts.some((mount) => mount.Source.includes('docker.sock') || mount.Destination.includes('docker.sock'));
    if (hasSocket !== /-judging-/.test(Name)) throw new Error(`${Name}: Docker socket ${hasSocket}`);
    const secrets = ['postgres_password', 'temporal_password', 'jwt_secret'].map((name) =>
      readFileSync(join(home, 'secrets', name), 'utf8'),
    );
    if (secrets.some((secret) => JSON.stringify(inspect(id)).includes(secret)))
      throw new Error(`${Name} shows a secret in its settings`);
  }
  holds(true, `${ids.length} containers: not root, read-only, no capabilities, memory limits, no secret in their settings`);
  holds(true, 'the Docker socket is in the judging workers alone');
}

/** Who reaches whom, as tried out from inside. */
function lookAtNetworks() {
  const tryFrom = (service, host, port) => {
    const code = `require('net').connect({host:'${host}',port:${port},timeout:2000}).on('connect',()=>process.exit(0)).on('error',()=>process.exit(1)).on('timeout',()=>process.exit(1))`;
    return tryRun('docker', composeArgs(['exec', '-T', service, '/app/node_modules/.bin/node', '-e', code])).status === 0;
  };
  const reach = (service, host, port) => holds(tryFrom(service, host, port), `${service} reaches ${host}:${port}`);
  const refused = (service, host, port) => holds(!tryFrom(service, host, port), `${service} does not reach ${host}:${port}`);
  reach('api', 'postgres', 5432);
  reach('api', 'temporal', 7233);
  reach('judging', 'api', 3000);
  // The roles of one Temporal server talk to each other on its own loopback.
  for (const port of [7234, 7235, 7239, 6934]) refused('api', 'temporal', port);
  holds(
    tryRun('docker', composeArgs(['exec', '-T', 'temporal-ui', 'nc', '-z', '-w', '2', 'postgres', '5432'])).status !== 0,
    'temporal-ui does not reach postgres:5432',
  );
  for (const name of ['database', 'temporal-database', 'temporal', 'git']) {
    const { Id, Internal } = JSON.parse(docker('network', 'inspect', `atelier-proof_${name}`))[0];
    const addresses = run('ip', ['-4', 'addr', 'show', `br-${Id.slice(0, 12)}`]);
    holds(Internal && !addresses.includes('inet '), `${name} is an internal network, on which the host has no address`);
  }
  const networksOf = (service) =>
    Object.keys(inspect(containersOf(service)[0]).NetworkSettings.Networks).map((name) => name.replace('atelier-proof_', ''));
  const open = ['postgres', 'temporal', 'temporal-ui', 'api', 'submissions', 'judging', 'notifications'].filter((service) =>
    networksOf(service).some((name) => ['public', 'outgoing', 'temporal-ui'].includes(name)),
  );
  holds(open.join() === 'temporal-ui,api,submissions,notifications', `on a network with a way out: ${open.join(', ')}`);
  const sql = (role, database) =>
    tryRun(
      'docker',
      composeArgs([
        'exec',
        '-T',
        'postgres',
        'psql',
        '-U',
        'postgres',
        '-d',
        'postgres',
        '-At',
        '-c',
        `SELECT has_database_privilege('${role}', '${database}', 'CONNECT')`,
      ]),
    ).stdout.trim();
  holds(
    sql('atelier', 'temporal') === 'f' && sql('temporal', 'atelier') === 'f',
    "neither role may connect to the other's database",
  );
  holds(query('SELECT count(*) FROM pg_roles WHERE rolsuper AND rolcanlogin') === '1', 'one superuser, whom no process uses');
}

async function lookAtUi() {
  const list = await (await fetch(`http://127.0.0.1:${uiPort}/api/v1/namespaces`)).json();
  holds(
    list.namespaces?.some(({ namespaceInfo }) => namespaceInfo.name === 'default'),
    'the web UI shows the namespace',
  );
  const page = await fetch(`http://127.0.0.1:${uiPort}/`);
  holds((await page.text()).includes('<html'), 'the web UI has its pages');
  const csrf = /_csrf=([^;]+)/.exec(page.headers.get('set-cookie'))[1];
  const response = await fetch(`http://127.0.0.1:${uiPort}/api/v1/namespaces/default/workflows/none/terminate`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-csrf-token': csrf, cookie: `_csrf=${csrf}` },
    body: '{}',
  });
  holds(response.status === 405, `the web UI refuses to write (${response.status})`);
}

function lookAtTemporal() {
  const temporal = (...args) => compose('run', '--rm', '--no-deps', '--entrypoint', 'temporal', 'temporal-namespace', ...args);
  const { config } = JSON.parse(temporal('operator', 'namespace', 'describe', '--namespace', 'default', '--output', 'json'));
  holds(
    config.workflowExecutionRetentionTtl === '2592000s',
    `the retention is 30 days (${config.workflowExecutionRetentionTtl})`,
  );
  const attributes = JSON.parse(temporal('operator', 'search-attribute', 'list', '--output', 'json'));
  holds(
    'SubmissionStatus' in attributes.customAttributes,
    `search attributes are registered: ${Object.keys(attributes.customAttributes).join(', ')}`,
  );
  const { historyShardCount, persistenceStore, visibilityStore } = JSON.parse(
    temporal('operator', 'cluster', 'describe', '--output', 'json'),
  );
  holds(historyShardCount === 512, `${historyShardCount} shards, ${persistenceStore}, ${visibilityStore}`);
}

/** Slow on purpose; its tests pass only where it reached nothing and found no secret. */
const lookAround = (addresses) => `

def _look_around() -> list[str]:
    """What can be reached from in here."""
    import contextlib
    import os
    import socket
    import time

    found = [name for name in os.environ if "SECRET" in name or "PASSWORD" in name]
    for host, port in (
${addresses.map(([host, port]) => `        ("${host}", ${port}),`).join('\n')}
    ):
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            found.append(host)
    for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/secrets", "/app", "/data"):
        if os.path.exists(path):
            found.append(path)
    time.sleep(6)
    return found


if _look_around():
    raise SystemExit("something was reached")
`;

function createStudentWork(token, task, slug) {
  const folder = mkdtempSync(join(home, 'work-'));
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_COUNT: '3',
    GIT_CONFIG_KEY_0: 'http.extraHeader',
    GIT_CONFIG_VALUE_0: `Authorization: Basic ${Buffer.from(`student:${token}`).toString('base64')}`,
    GIT_CONFIG_KEY_1: 'user.name',
    GIT_CONFIG_VALUE_1: 'Proof',
    GIT_CONFIG_KEY_2: 'user.email',
    GIT_CONFIG_VALUE_2: 'proof@example.test',
  };
  const git = (...args) => run('git', ['-C', folder, ...args], { env });
  git('clone', '--quiet', task.cloneUrl, '.');
  cpSync(join(project, 'content/demo/exercises', slug, 'solution'), folder, { recursive: true });
  return {
    folder,
    push() {
      git('add', '--all');
      git('commit', '--quiet', '-m', 'Solve it');
      git('push', '--quiet', 'origin', 'HEAD:main');
    },
  };
}

/** A new student with the garden exercise solved slowly and pushed, not yet submitted. */
async function newStudent(name, addresses) {
  const email = `${name}-${randomBytes(4).toString('hex')}@example.test`;
  const password = randomBytes(12).toString('base64url');
  await createClient().post('/api/auth/register', { email, name, password });
  const client = await login(email, password);
  const { items: courses } = await client.get('/api/courses');
  const exercise = courses.flatMap((course) => course.exercises).find(({ slug }) => slug === 'balcony-garden');
  const task = await client.post('/api/tasks', { exerciseId: exercise.id });
  const { token } = await client.post('/api/me/access-tokens', { name: 'proof', expiresInDays: 1 });
  const work = createStudentWork(token, task, 'balcony-garden');
  appendFileSync(join(work.folder, 'src/garden.py'), lookAround(addresses));
  work.push();
  return {
    client,
    xp: task.xp,
    email,
    password,
    async submit() {
      const { submissionId } = await client.post(`/api/tasks/${task.id}/submit`);
      judged.push(submissionId);
      return submissionId;
    },
    stage: async (id) => (await client.get(`/api/submissions/${id}`)).stage,
    async passed(id) {
      const submission = await until(
        async () => {
          const found = await client.get(`/api/submissions/${id}`);
          return found.stage === 'QUEUED' || found.stage === 'CHECKING' ? undefined : found;
        },
        `${name}'s checks to end`,
        180_000,
      );
      if (submission.stage !== 'AWAITING_REVIEW') throw new Error(`${name}: ${JSON.stringify(submission)}`);
    },
  };
}

/** Everything that was submitted. */
const judged = [];

const sandboxes = (submissionId, ...more) =>
  docker('ps', '-q', ...more, '--filter', `name=atelier-${submissionId}-`)
    .split('\n')
    .filter(Boolean);

/** Which judging worker has the job: its host name is its container's id. */
function judgeOf(submissionId) {
  const described = compose(
    'run',
    '--rm',
    '--no-deps',
    '--entrypoint',
    'temporal',
    'temporal-namespace',
    'workflow',
    'describe',
    '--workflow-id',
    `submission-${submissionId}`,
    '--output',
    'json',
  );
  const identity = JSON.parse(described)
    .pendingActivities.map((activity) => activity.lastWorkerIdentity)
    .find(Boolean);
  return identity.split('@')[1];
}

async function prove() {
  prepare();
  refuseBadSecrets();
  await bringUp();
  lookAtContainers();
  lookAtNetworks();
  await lookAtUi();
  lookAtTemporal();

  say(compose('run', '--rm', 'atelier', 'publish', 'content/demo', '--default').split('\n').at(-1));
  const made = compose('run', '--rm', 'atelier', 'admin', 'create', 'admin@example.test');
  const adminPassword = /password (\S+)/.exec(made)[1];
  writeFileSync(join(home, 'admin-password'), adminPassword, { mode: 0o600 });
  const demo = run('node', [
    join(project, 'scripts/demo.js'),
    '--url',
    origin,
    '--admin-email',
    'admin@example.test',
    '--admin-password-file',
    join(home, 'admin-password'),
  ]);
  holds(demo.includes('The loop runs.'), `scripts/demo.js: ${demo.split('\n').at(-1)}`);
  const admin = await login('admin@example.test', adminPassword);

  // Addresses, not names: a sandbox has no names to ask. The last two are the host's own side.
  const addressesOf = (service, port) =>
    Object.values(inspect(containersOf(service)[0]).NetworkSettings.Networks).map(({ IPAddress }) => [IPAddress, port]);
  const bridge = JSON.parse(docker('network', 'inspect', 'bridge'))[0].IPAM.Config[0].Gateway;
  const addresses = [
    ...addressesOf('postgres', 5432),
    ...addressesOf('temporal', 7233),
    ...addressesOf('api', 3000),
    [bridge, apiPort],
    ['127.0.0.1', apiPort],
  ];

  const students = [];
  for (const name of ['kill', 'temporal', 'postgres', 'away']) students.push(await newStudent(name, addresses));
  const [kill, temporal, postgres, away] = students;
  const submissions = [];

  // A judging worker dies.
  let id = await kill.submit();
  submissions.push([kill, id]);
  await until(() => sandboxes(id).length === 1, 'its sandbox');
  const [box] = sandboxes(id);
  const { HostConfig, Config, NetworkSettings } = inspect(box);
  holds(HostConfig.NetworkMode === 'none' && Config.NetworkDisabled && !NetworkSettings.IPAddress, 'its sandbox has no network');
  holds(docker('exec', box, 'cat', '/proc/net/route').split('\n').length === 1, 'its sandbox has no route');
  const judge = judgeOf(id);
  const { Pid } = inspect(judge).State;
  const restarts = inspect(judge).RestartCount;
  process.kill(Pid, 'SIGKILL');
  const killedAt = Date.now();
  await kill.passed(id);
  holds(
    true,
    `a judging worker was killed under a submission: its checks passed ${seconds(killedAt)} later, having reached nothing`,
  );
  holds(inspect(judge).RestartCount === restarts + 1, 'Docker started the worker again');

  // Temporal is restarted while one is judged.
  id = await temporal.submit();
  submissions.push([temporal, id]);
  await until(() => sandboxes(id).length === 1, 'its sandbox');
  compose('restart', 'temporal');
  await temporal.passed(id);
  holds(true, 'Temporal was restarted under a submission: its checks passed');

  // PostgreSQL, which is Temporal's, too.
  id = await postgres.submit();
  submissions.push([postgres, id]);
  await until(() => sandboxes(id).length === 1, 'its sandbox');
  compose('restart', 'postgres');
  await postgres.passed(id);
  holds(true, 'PostgreSQL was restarted under a submission: its checks passed');

  // Submitted while Temporal is away.
  compose('stop', 'temporal');
  id = await away.submit();
  submissions.push([away, id]);
  holds((await away.stage(id)) === 'QUEUED', 'a submission is taken while Temporal is away');
  compose('start', 'temporal');
  await away.passed(id);
  holds(true, 'and its checks passed once Temporal was back');

  for (const [student, submissionId] of submissions) {
    await until(() => admin.post('/api/reviews', { submissionId, outcome: 'APPROVED', comment: 'Well done.' }), 'the decision');
    await until(async () => (await student.stage(submissionId)) === 'CLOSED', 'closed');
    const { xp } = await student.client.get('/api/me');
    holds(xp === student.xp, `XP once: ${xp}`);
  }
  holds(
    query("SELECT count(*) FROM submissions.submissions WHERE stage <> 'CLOSED'") === '0',
    'no submission is left anywhere but closed',
  );
  await until(() => judged.every((submissionId) => sandboxes(submissionId).length === 0), 'no sandbox runs');
  holds(true, 'no sandbox runs any more');

  say(
    `memory: ${docker('stats', '--no-stream', '--format', '{{.Name}} {{.MemUsage}}')
      .split('\n')
      .filter((line) => line.startsWith('atelier-proof'))
      .map((line) => line.replace('atelier-proof-', '').replace(/ \/.*/, ''))
      .join(', ')}`,
  );

  const logs = tryRun('docker', composeArgs(['logs', '--no-color'])).output;
  const values = ['jwt_secret', 'postgres_password', 'temporal_password', 'database_url'].map((name) =>
    readFileSync(join(home, 'secrets', name), 'utf8').replace(/^postgres:..atelier:|@.*/g, ''),
  );
  holds(
    logs.length > 10_000 && values.every((value) => value.length === 64 && !logs.includes(value)),
    'no secret is in the logs',
  );

  // Down and up again.
  let since = Date.now();
  compose('down');
  say(`down: ${seconds(since)}`);
  since = Date.now();
  up();
  await until(isReady, 'ready');
  say(`up with what was kept, ready to judge: ${seconds(since)}`);
  const again = await login(kill.email, kill.password);
  holds((await again.get('/api/me')).xp === kill.xp, 'the XP is kept');
  const closed = JSON.parse(
    compose(
      'run',
      '--rm',
      '--no-deps',
      '--entrypoint',
      'temporal',
      'temporal-namespace',
      'workflow',
      'list',
      '--query',
      "ExecutionStatus = 'Completed'",
      '--limit',
      '200',
      '--output',
      'json',
    ),
  );
  holds(closed.length >= submissions.length, `Temporal's workflows are kept (${closed.length} completed)`);
  const last = await newStudent('after', addresses);
  await last.passed(await last.submit());
  holds(true, 'a submission is judged after it');

  // A password is changed by changing its file.
  const file = join(home, 'secrets/database_url');
  rmSync(file);
  writeFileSync(file, `postgres://atelier:${randomBytes(32).toString('hex')}@postgres:5432/atelier`, { mode: 0o444 });
  compose('down');
  up();
  await until(isReady, 'ready');
  holds((await (await login(kill.email, kill.password)).get('/api/me')).xp === kill.xp, "the database's password was changed");
  // Three more of each, the api by a range of ports.
  appendFileSync(join(home, '.env'), `ATELIER_LISTEN=127.0.0.1:${apiPort}-${apiPort + 1}\n`);
  compose('up', '-d', '--scale', 'judging=3', '--scale', 'submissions=3', '--scale', 'notifications=2', '--scale', 'api=2');
  await until(isReady, 'ready');
  await until(async () => (await fetch(`http://127.0.0.1:${apiPort + 1}/health/live`)).ok, 'the second api');
  holds(true, 'three judging and submissions workers, two notifications workers, two apis');
}

let isRight = false;
try {
  await prove();
  isRight = true;
} catch (error) {
  console.error(error);
  const { output } = tryRun('docker', composeArgs(['ps', '-a']));
  console.error(output);
  for (const service of [
    'check-secrets',
    'databases',
    'temporal-schema',
    'temporal',
    'temporal-namespace',
    'api',
    'submissions',
    'judging',
  ])
    console.error(tryRun('docker', composeArgs(['logs', '--tail', '8', service])).output);
} finally {
  if (process.argv.includes('--keep')) say(`kept in ${home}`);
  else {
    tryRun('docker', composeArgs(['down', '-v', '--timeout', '5']));
    // A killed worker's sandbox has ended, and would be removed by the next worker once its deadline has passed.
    for (const id of judged) for (const box of sandboxes(id, '-a')) tryRun('docker', ['rm', '-f', box]);
    rmSync(home, { recursive: true, force: true });
  }
}
say(isRight ? `${held} things hold` : 'failed');
process.exitCode = isRight ? 0 : 1;
