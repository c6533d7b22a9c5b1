import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker, type WorkflowBundle } from '@temporalio/worker';
import { pino } from 'pino';
import { createNotificationActivities } from '../../src/activities/notifications.ts';
import { createSubmissionActivities } from '../../src/activities/submissions.ts';
import { createAccessTokens } from '../../src/api/access-token.ts';
import { LiveStreams } from '../../src/api/live-streams.ts';
import { Drain } from '../../src/api/drain.ts';
import { Delivery } from '../../src/database/entities/notifications.ts';
import { openRepositories } from '../../src/git/repositories.ts';
import { createLocalMailbox } from '../../src/mail/mailer.ts';
import { createTemporalClient, type TemporalClient } from '../../src/temporal/client.ts';
import { createDeliveryStarter } from '../../src/temporal/deliveries.ts';
import { prepareNamespace } from '../../src/temporal/namespace.ts';
import { createTrialWorkflows } from '../../src/temporal/trial-runs.ts';
import { createOverrideWorkflows } from '../../src/temporal/overrides.ts';
import { createSubmissionWorkflows } from '../../src/temporal/submissions.ts';
import { currentTraceId, newTraceId, traceFields, withTrace } from '../../src/trace.ts';
import { interceptors, temporalLogger } from '../../src/workers/create-worker.ts';
import { taskQueues } from '../../src/workflows/contract.ts';
import { as, commit, listen, secret, signIn, type TestApi } from '../api/support.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createStudentWithTask, createUser, publishDemoCourse, roomyQueue } from '../support/factories.ts';
import { bundleWorkflows, startTemporal } from '../support/temporal.ts';
import { waitFor } from '../support/wait.ts';

/** Everything but the sandbox is real here, in one process, so that the log of each part can be read. */

interface Line {
  readonly traceId?: string;
  readonly requestId?: string;
  readonly activityType?: string;
  readonly msg?: string;
}

/** A log that keeps its lines. */
function createLog() {
  const lines: Line[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line) as Line);
  return { lines, logger: pino({ mixin: traceFields }, { write }) };
}

const workerLog = createLog();
const apiLog = createLog();
const judgedIn: (string | null)[] = [];
const timeoutMs = 60_000;

let database: TestDatabase;
let env: TestWorkflowEnvironment;
let client: TemporalClient;
let folder: string;
let stopWorkers: () => Promise<void>;
let workflowBundle: WorkflowBundle;
let api: Awaited<ReturnType<typeof listen>> & Pick<TestApi, 'orm' | 'repositories' | 'tokens'>;

beforeAll(async () => {
  database = await createTestDatabase();
  const { orm } = database;
  await publishDemoCourse(orm);
  folder = await mkdtemp(join(tmpdir(), 'atelier-trace-'));
  env = await startTemporal(temporalLogger(workerLog.logger));
  client = createTemporalClient(env.address, env.namespace ?? 'default');
  await prepareNamespace(client);
  const workflows = createSubmissionWorkflows(client);
  const repositories = openRepositories(join(folder, 'repositories'));
  const tokens = createAccessTokens(secret, 3_600_000);

  workflowBundle = await bundleWorkflows();
  const { nativeConnection: connection, namespace = 'default' } = env;
  const common = { connection, namespace, interceptors: { activity: interceptors.activity } };
  const workers = [
    await Worker.create({
      ...common,
      taskQueue: taskQueues.submissions,
      workflowBundle,
      activities: createSubmissionActivities({ orm, repositories, repoHosts: [], scratchFolder: folder }),
    }),
    await Worker.create({
      ...common,
      taskQueue: taskQueues.judging,
      activities: {
        judgeSubmission: async ({ submissionId }: { submissionId: string }) => {
          judgedIn.push(currentTraceId());
          await workflows.announceChecksStarted(`submission-${submissionId}`);
          return { status: 'judged', verdict: 'accepted', checkRunId: 'none' };
        },
      },
    }),
    await Worker.create({
      ...common,
      taskQueue: taskQueues.notifications,
      activities: createNotificationActivities({
        orm,
        mailer: createLocalMailbox(join(folder, 'mailbox'), 'Atelier <atelier@localhost>'),
        origin: 'http://127.0.0.1',
      }),
    }),
  ];
  const running = Promise.all(workers.map((worker) => worker.run()));
  stopWorkers = async () => {
    for (const worker of workers) worker.shutdown();
    await running;
  };
  const listening = await listen((origin) => ({
    config: {
      ATELIER_ORIGIN: origin,
      JWT_SECRET: secret,
      REPO_HOSTS: [],
      TEMPORAL_UI_ORIGIN: undefined,
      TEMPORAL_NAMESPACE: namespace,
    },
    orm,
    repositories,
    workflows,
    overrides: createOverrideWorkflows(client),
    trials: createTrialWorkflows(client),
    streams: new LiveStreams({ orm, logger: apiLog.logger }),
    assistant: null,
    tokens,
    logger: apiLog.logger,
    queueLimits: roomyQueue,
    drain: new Drain(),
  }));
  api = { ...listening, orm, repositories, tokens };
}, timeoutMs);

afterAll(async () => {
  await api.close();
  await stopWorkers();
  await client.connection.close();
  await env.teardown();
  await database.close();
  await rm(folder, { recursive: true, force: true });
}, timeoutMs);

const activitiesOf = (traceId: string) =>
  workerLog.lines
    .filter((line) => line.traceId === traceId && line.msg === 'activity completed')
    .map((line) => line.activityType);

it(
  'one trace id leads from a request through its workflow to its mail; a decision is the trace of who decided',
  async () => {
    const { student, taskId } = await createStudentWithTask(database.orm);
    const reviewer = await createUser(database.orm, 'ACADEMY_REVIEWER');
    await commit(api, taskId, 'work');
    const [submitted, decided] = [newTraceId(), newTraceId()];
    const parent = (traceId: string) => `00-${traceId}-00f067aa0ba902b7-01`;

    const ann = as(api, await signIn(api, student));
    const answer = await ann.post(`/api/tasks/${taskId}/submit`, {}).set('traceparent', parent(submitted));
    expect(answer.status).toBe(202);
    const { submissionId } = answer.body as { submissionId: string };
    await waitFor('the review', async () => (activitiesOf(submitted).includes('openReview') ? true : null));
    expect(activitiesOf(submitted)).toEqual(['fetchSource', 'judgeSubmission', 'openReview']);
    expect(judgedIn).toEqual([submitted]);

    const robin = as(api, await signIn(api, reviewer));
    const review = { submissionId, outcome: 'APPROVED', comment: 'Fine.' };
    const decision = await robin.post('/api/reviews', review).set('traceparent', parent(decided));
    expect(decision.status).toBe(201);
    await waitFor('the commit', async () => (activitiesOf(decided).length > 0 ? true : null));
    expect(activitiesOf(decided)).toEqual(['commitDecision']);
    const history = await client.workflow.getHandle(`submission-${submissionId}`).fetchHistory();
    await Worker.runReplayHistory({ workflowBundle }, history);

    // What the relay does with the trace id of the row.
    const delivery = await database.orm.em.fork().findOneOrFail(Delivery, { notification: { kind: 'in-review' } });
    await withTrace({ traceId: submitted }, () => createDeliveryStarter(client)(delivery));
    const [mail] = await waitFor('the mail', async () => {
      const files = (await readdir(join(folder, 'mailbox')).catch(() => [])).filter((file) => file.endsWith('.eml'));
      return files.length > 0 ? files : null;
    });
    expect(await readFile(join(folder, 'mailbox', mail ?? ''), 'utf8')).toContain(`X-Atelier-Trace: ${submitted}\r\n`);
    await waitFor('its line', async () => (activitiesOf(submitted).includes('sendMail') ? true : null));

    const requestIds = [answer, decision].map(({ headers }) => headers['x-request-id'] as string);
    const linesOf = (traceId: string) => apiLog.lines.filter((line) => line.traceId === traceId).map((line) => line.requestId);
    expect([linesOf(submitted), linesOf(decided)]).toEqual(requestIds.map((id) => [id]));
  },
  timeoutMs,
);

it(
  'a workflow that was started by hand has one trace, too',
  async () => {
    const delivery = await database.orm.em.fork().findOneOrFail(Delivery, { notification: { kind: 'approved' } });
    const handle = await env.client.workflow.start('deliveryWorkflow', {
      taskQueue: taskQueues.submissions,
      workflowId: `by-hand-${delivery.id}`,
      args: [{ deliveryId: delivery.id }],
    });
    await handle.result();
    const traceId = handle.firstExecutionRunId.replaceAll('-', '');
    expect(await waitFor('its line', async () => activitiesOf(traceId)[0] ?? null)).toBe('sendMail');
  },
  timeoutMs,
);
