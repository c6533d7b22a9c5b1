import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { contract } from '../../src/api/contract/contract.ts';
import type { Endpoint } from '../../src/api/contract/core.ts';
import { newId } from '../../src/database/columns.ts';
import { CheckRun } from '../../src/database/entities/check-runs.ts';
import { Enrolment } from '../../src/database/entities/enrolments.ts';
import { Override, Review, SubmissionRequest } from '../../src/database/entities/reviews.ts';
import { Delivery } from '../../src/database/entities/notifications.ts';
import { markFailed } from '../../src/services/deliveries.ts';
import { notify } from '../../src/services/notifications.ts';
import { AccessToken } from '../../src/database/entities/sessions.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import { TrialRun } from '../../src/database/entities/trial-runs.ts';
import { DomainError } from '../../src/domain/errors.ts';
import { openDraft } from '../../src/services/drafts.ts';
import { startTask } from '../../src/services/enrolments.ts';
import { commitDecision } from '../../src/services/reviews.ts';
import { createSubmission, selectExerciseId } from '../support/factories.ts';
import {
  answerOf,
  type Client,
  commit,
  createParkedSubmission,
  createReview,
  createSubmissionInReview,
  expectProblem,
  newClient,
  newStudent,
  startApi,
  type TestApi,
} from './support.ts';

let api: TestApi;

beforeAll(async () => {
  api = await startApi();
  const leaseUntil = new Date(Date.now() + 60_000);
  api.workflows.onClaim = () => Promise.resolve({ status: 'claimed', leaseUntil });
  api.workflows.onRelease = () => Promise.resolve({ status: 'told' });
  api.workflows.onDecide = async (request) => {
    const { submission } = await em().findOneOrFail(SubmissionRequest, request.requestId);
    const result = await commitDecision(em(), { ...request, submissionId: submission.id });
    if (result.status === 'refused') throw new DomainError(result.kind, result.message);
    return { status: 'decided', reviewId: result.reviewId };
  };
});

afterAll(() => api.close());

const em = () => api.orm.em.fork();

type Contract = typeof contract;
type KeyedName = { [K in keyof Contract]: Contract[K] extends { readonly isKeyed: true } ? K : never }[keyof Contract];

/** A request that succeeds, of a caller of its own about something of its own. */
interface Keyed {
  readonly client: Client;
  readonly path: string;
  readonly body?: object;
  /** Another body that would be taken as well; absent where the endpoint takes none. */
  readonly other?: object;
  readonly ifMatch?: string;
  /** How many of what it makes are there. */
  readonly effects: () => Promise<number>;
  /** How many one request makes; 1 unless given. */
  readonly makes?: number;
}

const requestsOf = (submissionId: string) => () => em().count(SubmissionRequest, { submission: submissionId });

async function inReview(suffix: 'claim' | 'release'): Promise<Keyed> {
  const { client } = await newClient(api, 'SUPER_ADMIN');
  const { submissionId } = await createSubmissionInReview(api);
  return { client, path: `/submissions/${submissionId}/${suffix}`, effects: requestsOf(submissionId) };
}

async function parked(suffix: 'redrive' | 'close'): Promise<Keyed> {
  const { client } = await newClient(api, 'SUPER_ADMIN');
  const { submissionId } = await createParkedSubmission(api);
  return { client, path: `/admin/submissions/${submissionId}/${suffix}`, effects: requestsOf(submissionId) };
}

/** A new request for every endpoint that takes a key. */
const make: Readonly<Record<KeyedName, () => Promise<Keyed>>> = {
  async createAccessToken() {
    const { client, id } = await newClient(api);
    const effects = () => em().count(AccessToken, { user: id });
    return { client, path: '/me/access-tokens', body: { name: 'laptop' }, other: { name: 'laptop', expiresInDays: 7 }, effects };
  },
  async enrol() {
    const { client, id } = await newClient(api, 'INSTRUCTOR');
    return { client, path: '/courses/small-tools/enrolments', effects: () => em().count(Enrolment, { user: id }) };
  },
  async startTask() {
    const { client, id } = await newStudent(api);
    const [exerciseId, another] = [
      await selectExerciseId(api.orm, 'kitchen-plan'),
      await selectExerciseId(api.orm, 'parcel-lockers'),
    ];
    // Beside the starter task.
    const effects = async () => (await em().count(Task, { assignee: id })) - 1;
    return { client, path: '/tasks', body: { exerciseId }, other: { exerciseId: another }, effects };
  },
  async submitTask() {
    const { client, taskId } = await newStudent(api);
    await commit(api, taskId, 'done');
    const effects = () => em().count(Submission, { task: taskId });
    return { client, path: `/tasks/${taskId}/submit`, body: {}, other: { ref: 'main' }, effects };
  },
  async createDraft() {
    const { client, id, taskId } = await newStudent(api);
    const exerciseId = await selectExerciseId(api.orm, 'kitchen-plan');
    const another = await startTask(em(), { userId: id, exerciseId });
    const effects = () => em().count(Submission, { student: id });
    return { client, path: '/submissions', body: { taskId }, other: { taskId: another.taskId }, effects };
  },
  async submitDraft() {
    const student = await newStudent(api);
    await commit(api, student.taskId, 'done');
    const { submissionId } = await em().transactional((tx) => openDraft(tx, student, student.taskId));
    const effects = async () => api.workflows.started.filter(({ id }) => id === submissionId).length;
    return { client: student.client, path: `/submissions/${submissionId}/submit`, effects };
  },
  claimSubmission: async () => ({ ...(await inReview('claim')), body: {}, other: { takeOver: true } }),
  releaseSubmission: () => inReview('release'),
  async cancelSubmission() {
    const { client, id, taskId } = await newStudent(api);
    const submissionId = await createSubmission(api.orm, { taskId, studentId: id });
    return { client, path: `/submissions/${submissionId}/cancel`, effects: requestsOf(submissionId) };
  },
  async decideReview() {
    const { client } = await newClient(api, 'ACADEMY_REVIEWER');
    const { submissionId } = await createSubmissionInReview(api);
    const body = { submissionId, outcome: 'APPROVED', comment: 'Well done.' };
    const effects = () => em().count(Review, { submission: submissionId });
    return { client, path: '/reviews', body, other: { ...body, outcome: 'REJECTED' }, effects };
  },
  async requestScoring() {
    const { client, id, taskId } = await newStudent(api);
    const submissionId = await createSubmission(api.orm, { taskId, studentId: id });
    const another = await createSubmissionInReview(api);
    const effects = () => em().count(CheckRun, { submission: submissionId });
    return { client, path: '/scoring', body: { submissionId }, other: { submissionId: another.submissionId }, effects, makes: 0 };
  },
  async overrideTask() {
    const { client } = await newClient(api, 'SUPER_ADMIN');
    const { taskId } = await newStudent(api);
    const body = { status: 'APPROVED', reason: 'Seen in class.' };
    const effects = () => em().count(Override, { task: taskId });
    return { client, path: `/admin/tasks/${taskId}`, body, other: { ...body, reason: 'Else.' }, ifMatch: '"1"', effects };
  },
  async overrideReview() {
    const { client, id } = await newClient(api, 'SUPER_ADMIN');
    const { submissionId } = await createSubmissionInReview(api);
    const reviewId = await createReview(api, { submissionId, reviewerId: id });
    const body = { outcome: 'REJECTED', reason: 'Copied.' };
    // Beside the review that is overridden.
    const effects = async () => (await em().count(Review, { submission: submissionId })) - 1;
    const ifMatch = `"${reviewId}"`;
    return { client, path: `/admin/reviews/${reviewId}`, body, other: { ...body, reason: 'Else.' }, ifMatch, effects };
  },
  async retryDelivery() {
    const { client, id } = await newClient(api, 'SUPER_ADMIN');
    const causeId = newId();
    await em().transactional((tx) => notify(tx, { userId: id, kind: 'welcome', causeId }));
    const delivery = await em().findOneOrFail(Delivery, { notification: { causeId } });
    await markFailed(em(), delivery.id, 'refused');
    const effects = async () => (await em().findOneOrFail(Delivery, delivery.id)).workflowRunNo - 1;
    return { client, path: `/admin/deliveries/${delivery.id}/retry`, effects };
  },
  async createRun() {
    const { client, id, taskId } = await newStudent(api);
    const effects = () => em().count(TrialRun, { user: id });
    return { client, path: '/runs', body: { taskId }, other: { taskId, stdin: 'x' }, effects };
  },
  redriveSubmission: () => parked('redrive'),
  closeSubmission: () => parked('close'),
};

const keyedEndpoints = Object.entries(contract as Record<string, Endpoint>)
  .filter(([, { isKeyed }]) => isKeyed === true)
  .map(([name, endpoint]) => [name as KeyedName, endpoint] as const);

function send(endpoint: Endpoint, keyed: Keyed, key: string, body = keyed.body) {
  const method = endpoint.method === 'patch' ? 'patch' : 'post';
  const sent = keyed.client[method](`/api${keyed.path}`, body).set('Idempotency-Key', key);
  return keyed.ifMatch === undefined ? sent : sent.set('If-Match', keyed.ifMatch);
}

test('every endpoint that makes something takes a key, and all that do are tried', () => {
  expect(keyedEndpoints.map(([name]) => name).toSorted()).toEqual(Object.keys(make).toSorted());
  const withoutKey = Object.entries(contract as Record<string, Endpoint>)
    .filter(([, { method, access, isKeyed }]) => method === 'post' && access !== 'public' && isKeyed !== true)
    .map(([name]) => name);
  // To repeat these changes nothing more; a ticket is secret, used once, and gone in a minute; a draft of a review is stored nowhere.
  expect(withoutKey.toSorted()).toEqual(['createStreamTicket', 'draftReview', 'logout', 'readNotification', 'readNotifications']);
});

describe.each(keyedEndpoints)('%s', (name, endpoint) => {
  test('the same request twice is answered alike, has one effect and says that it is a repeat', async () => {
    const keyed = await make[name]();
    const first = await send(endpoint, keyed, 'key');
    const second = await send(endpoint, keyed, 'key');
    expect(first.status).toBe(endpoint.status);
    expect(answerOf(second)).toEqual(answerOf(first));
    expect(first.headers['idempotency-replayed']).toBeUndefined();
    expect(second.headers['idempotency-replayed']).toBe('true');
    expect(await keyed.effects()).toBe(keyed.makes ?? 1);
  });

  test('the same request five times at once: who comes while the first is at work gets its answer', async () => {
    const keyed = await make[name]();
    const responses = await Promise.all(Array.from({ length: 5 }, () => send(endpoint, keyed, 'key')));
    const [first] = responses;
    expect(first?.status).toBe(endpoint.status);
    for (const response of responses) expect(answerOf(response)).toEqual(answerOf(first as (typeof responses)[0]));
    expect(await keyed.effects()).toBe(keyed.makes ?? 1);
  });

  test('another body is refused and has no effect', async () => {
    const keyed = await make[name]();
    expect(keyed.other === undefined).toBe(endpoint.body === undefined);
    expect((await send(endpoint, keyed, 'key')).status).toBe(endpoint.status);
    if (keyed.other !== undefined) expectProblem(await send(endpoint, keyed, 'key', keyed.other), 422, 'key-reused');
    expect(await keyed.effects()).toBe(keyed.makes ?? 1);
  });

  test('a key of 300 characters is refused and has no effect', async () => {
    const keyed = await make[name]();
    expectProblem(await send(endpoint, keyed, 'x'.repeat(300)), 400, 'malformed-idempotency-key');
    expect(await keyed.effects()).toBe(0);
  });

  test('the same key of somebody else is another one', async () => {
    const [one, other] = [await make[name](), await make[name]()];
    const [first, second] = [await send(endpoint, one, 'key'), await send(endpoint, other, 'key')];
    expect([first.status, second.status]).toEqual([endpoint.status, endpoint.status]);
    expect(second.headers['idempotency-replayed']).toBeUndefined();
    expect(await other.effects()).toBe(other.makes ?? 1);
  });
});

test.each([
  ['submitTask', (path: string) => path.replace(/[0-9a-f-]{36}/, (id) => id.toUpperCase())],
  ['enrol', (path: string) => path.replace('small', '%73mall')],
] as const)('the address of %s in another spelling is the same request', async (name, spell) => {
  const keyed = await make[name]();
  const first = await send(contract[name], keyed, 'key');
  const again = await send(contract[name], { ...keyed, path: spell(keyed.path) }, 'key');
  expect(answerOf(again)).toEqual(answerOf(first));
  expect(again.headers['idempotency-replayed']).toBe('true');
});

describe('an access token', () => {
  interface Made {
    readonly id: string;
    readonly token: string;
  }
  const ask = async (client: Client, key?: string, body: object = { name: 'laptop' }) => {
    const sent = client.post('/api/me/access-tokens', body);
    return (await (key === undefined ? sent : sent.set('Idempotency-Key', key))).body as Made;
  };

  test('is the same for the same key, and another for another key, another user and no key', async () => {
    const [ann, bob] = [await newClient(api), await newClient(api)];
    const first = await ask(ann.client, 'key');
    expect(first.token).toMatch(/^atl_[A-Za-z0-9_-]{43}$/);
    expect(await ask(ann.client, 'key')).toEqual(first);
    const others = [await ask(ann.client, 'key2'), await ask(bob.client, 'key'), await ask(ann.client), await ask(ann.client)];
    expect(new Set([first, ...others].map(({ token }) => token)).size).toBe(5);
    expect(new Set([first, ...others].map(({ id }) => id)).size).toBe(5);
  });

  test('opens git, the one of a repeat too', async () => {
    const { client, taskId } = await newStudent(api);
    await ask(client, 'key');
    const { token } = await ask(client, 'key');
    const response = await fetch(`${api.origin}/git/${taskId}.git/info/refs?service=git-upload-pack`, {
      headers: { Authorization: `Basic ${Buffer.from(`student:${token}`).toString('base64')}` },
    });
    expect(response.status).toBe(200);
  });

  test('is nowhere in the database, but for its digest', async () => {
    const { client } = await newClient(api);
    const { token } = await ask(client, `key-${newId()}`);
    const tables = await em().execute<{ name: string }[]>(
      "select format('%I.%I', table_schema, table_name) as name from information_schema.tables where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')",
    );
    const holding = async (text: string) => {
      const names: string[] = [];
      for (const { name } of tables) {
        const rows = await em().execute<unknown[]>(`select 1 from ${name} t where strpos(t::text, ?) > 0 limit 1`, [text]);
        if (rows.length > 0) names.push(name);
      }
      return names;
    };
    expect(await holding(createHash('sha256').update(token).digest('hex'))).toEqual(['accounts.access_tokens']);
    expect(await holding(token.slice('atl_'.length))).toEqual([]);
    // The key itself is found: the look is not blind.
    expect(await holding('key-')).toContain('operations.idempotency_keys');
  });
});
