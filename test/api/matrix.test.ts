import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { join } from 'node:path';
import request from 'supertest';
import { createAccessTokens } from '../../src/api/access-token.ts';
import { contract } from '../../src/api/contract/contract.ts';
import type { Endpoint } from '../../src/api/contract/core.ts';
import { newId } from '../../src/database/columns.ts';
import { Delivery, Notification } from '../../src/database/entities/notifications.ts';
import { Review, SubmissionRequest } from '../../src/database/entities/reviews.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { TrialRun } from '../../src/database/entities/trial-runs.ts';
import { User } from '../../src/database/entities/users.ts';
import type { DecisionRequest as Decision } from '../../src/domain/reviews.ts';
import type { Role } from '../../src/domain/users.ts';
import { readCourseContent } from '../../src/services/content.ts';
import { openDraft } from '../../src/services/drafts.ts';
import { startTask } from '../../src/services/enrolments.ts';
import { markFailed } from '../../src/services/deliveries.ts';
import { notify } from '../../src/services/notifications.ts';
import { publishCourse } from '../../src/services/publish.ts';
import { commitDecision } from '../../src/services/reviews.ts';
import { login, logout } from '../../src/services/sessions.ts';
import { createTrialRun, finishTrialRun } from '../../src/services/trial-runs.ts';
import {
  createStudentWithTask,
  createSubmission,
  createUser,
  password,
  roomyQueue,
  selectExerciseId,
} from '../support/factories.ts';
import {
  answerOf,
  commit,
  createParkedSubmission,
  createReview,
  createSubmissionInReview,
  expectProblem,
  secret,
  signIn,
  startApi,
  type TestApi,
  withoutAddress,
} from './support.ts';

const callers = [
  'anonymous',
  'student',
  'other student',
  'reviewer',
  'instructor',
  'admin',
  'disabled user',
  'logged-out session',
  'expired token',
] as const;
type Caller = (typeof callers)[number];

/** Statuses in the order of `callers`. */
type Statuses = readonly [number, number, number, number, number, number, number, number, number];

interface Target {
  readonly id?: string;
  readonly body?: object;
  readonly ifMatch?: string;
}

interface Row {
  /** What `student` owns is asked for; a new object for each caller where asking changes it. */
  readonly target?: () => Promise<Target>;
  readonly statuses: Statuses;
}

const everybody = (status: number): Statuses => [status, status, status, status, status, status, status, status, status];
/** For the first six, as they are; who is not (any more) logged in is 401 everywhere. */
const loggedIn = (student: number, other: number, reviewer: number, instructor: number, admin: number): Statuses => [
  401,
  student,
  other,
  reviewer,
  instructor,
  admin,
  401,
  401,
  401,
];

let api: TestApi;
let student: { id: string; role: Role; email: string };
/** In which work is pushed and nothing submitted. */
let taskId: string;
/** Of another task, in review. */
let submissionId: string;
/** Of a third task of `student`, in which nothing is written yet. */
let draftTaskId: string;
let draftId: string;
/** Of a fourth task of `student`. */
let reviewId: string;
const users = new Map<Caller, { id: string }>();

/** The access matrix: what each endpoint answers to each caller, about objects of `student`. */
const matrix: Record<keyof typeof contract, Row> = {
  register: {
    target: async () => ({ body: { email: `${newId()}@example.test`, name: 'New', password } }),
    statuses: everybody(202),
  },
  login: { target: async () => ({ body: { email: student.email, password } }), statuses: everybody(200) },
  // Who asks is nobody's business: the refresh token is the proof.
  refresh: {
    target: async () => {
      const { refreshToken } = await login(api.orm.em.fork(), { email: student.email, password, ttlMs: 60_000 });
      return { body: { refreshToken } };
    },
    statuses: everybody(200),
  },
  logout: { statuses: loggedIn(204, 204, 204, 204, 204) },
  me: { statuses: loggedIn(200, 200, 200, 200, 200) },
  createAccessToken: { target: async () => ({ body: { name: 'laptop' } }), statuses: loggedIn(201, 201, 201, 201, 201) },
  listCourses: { statuses: loggedIn(200, 200, 200, 200, 200) },
  enrol: { target: async () => ({ id: 'second-course' }), statuses: loggedIn(201, 201, 201, 201, 201) },
  listTasks: { statuses: loggedIn(200, 200, 200, 200, 200) },
  // Only students are enrolled in the default course.
  startTask: {
    target: async () => ({ body: { exerciseId: await selectExerciseId(api.orm, 'kitchen-plan') } }),
    statuses: loggedIn(201, 201, 404, 404, 404),
  },
  getTask: { target: async () => ({ id: taskId }), statuses: loggedIn(200, 404, 404, 404, 200) },
  changeTask: { target: async () => ({ id: taskId, body: { repoUrl: null } }), statuses: loggedIn(200, 404, 404, 404, 403) },
  // By now reviewers see the task: the rows before were asked when nothing was submitted, this one after the student has.
  submitTask: { target: async () => ({ id: taskId, body: {} }), statuses: loggedIn(202, 404, 403, 404, 403) },
  createDraft: { target: async () => ({ body: { taskId: draftTaskId } }), statuses: loggedIn(201, 404, 404, 404, 403) },
  changeDraft: {
    target: async () => ({ id: draftId, body: { content: { documentation: 'How it works' } } }),
    statuses: loggedIn(200, 404, 404, 404, 403),
  },
  // A draft is seen by its student and admins, what is submitted by reviewers too.
  submitDraft: { target: async () => ({ id: draftId }), statuses: loggedIn(202, 404, 403, 404, 403) },
  claimSubmission: { target: async () => ({ id: submissionId, body: {} }), statuses: loggedIn(403, 403, 200, 403, 200) },
  releaseSubmission: { target: async () => ({ id: submissionId }), statuses: loggedIn(403, 403, 200, 403, 200) },
  getSubmission: { target: async () => ({ id: submissionId }), statuses: loggedIn(200, 404, 200, 404, 200) },
  cancelSubmission: { target: async () => ({ id: submissionId }), statuses: loggedIn(202, 404, 403, 404, 202) },
  listReviewQueue: { statuses: loggedIn(403, 403, 200, 403, 200) },
  getReview: { target: async () => ({ id: reviewId }), statuses: loggedIn(200, 404, 200, 404, 200) },
  draftReview: { target: async () => ({ id: await createSubmittedCommit() }), statuses: loggedIn(403, 403, 200, 403, 200) },
  decideReview: {
    target: async () => ({
      body: { submissionId: (await createSubmissionInReview(api)).submissionId, outcome: 'APPROVED', comment: 'Good.' },
    }),
    statuses: loggedIn(403, 403, 201, 403, 201),
  },
  listNotifications: { statuses: loggedIn(200, 200, 200, 200, 200) },
  // Nobody reads for somebody else, admins neither.
  readNotification: {
    target: async () => ({ id: await createNotification(student) }),
    statuses: loggedIn(204, 404, 404, 404, 404),
  },
  requestScoring: { target: async () => ({ body: { submissionId } }), statuses: loggedIn(202, 404, 202, 404, 202) },
  getScoring: { target: async () => ({ id: await scoringJobOf(submissionId) }), statuses: loggedIn(200, 404, 200, 404, 200) },
  overrideTask: {
    target: async () => {
      const { taskId: id } = await createStudentWithTask(api.orm);
      return { id, ifMatch: '"1"', body: { status: 'REJECTED', reason: 'Copied.' } };
    },
    statuses: loggedIn(403, 403, 403, 403, 200),
  },
  overrideReview: {
    target: async () => {
      const id = await createReview(api, { ...(await createSubmissionInReview(api)), reviewerId: userOf('reviewer').id });
      return { id, ifMatch: `"${id}"`, body: { outcome: 'REJECTED', reason: 'Copied.' } };
    },
    statuses: loggedIn(403, 403, 403, 403, 200),
  },
  listParked: { statuses: loggedIn(403, 403, 403, 403, 200) },
  redriveSubmission: {
    target: async () => ({ id: (await createParkedSubmission(api)).submissionId }),
    statuses: loggedIn(403, 403, 403, 403, 202),
  },
  closeSubmission: {
    target: async () => ({ id: (await createParkedSubmission(api)).submissionId }),
    statuses: loggedIn(403, 403, 403, 403, 202),
  },
  listAudit: { statuses: loggedIn(403, 403, 403, 403, 200) },
  readNotifications: { statuses: loggedIn(200, 200, 200, 200, 200) },
  listDeliveries: { statuses: loggedIn(403, 403, 403, 403, 200) },
  retryDelivery: {
    target: async () => ({ id: await createFailedDelivery(student) }),
    statuses: loggedIn(403, 403, 403, 403, 202),
  },
  // Of one that is closed: the stream of an open one would not end.
  followSubmission: {
    target: async () => ({ id: (await api.orm.em.fork().findOneOrFail(Review, reviewId)).submission.id }),
    statuses: loggedIn(200, 404, 200, 404, 200),
  },
  createStreamTicket: { target: async () => ({ id: submissionId }), statuses: loggedIn(201, 404, 201, 404, 201) },
  // What somebody tries is nobody else's business.
  createRun: { target: async () => ({ body: { taskId } }), statuses: loggedIn(202, 404, 404, 404, 404) },
  getRun: { target: async () => ({ id: await createFinishedRun() }), statuses: loggedIn(200, 404, 404, 404, 404) },
  followRun: { target: async () => ({ id: await createFinishedRun() }), statuses: loggedIn(200, 404, 404, 404, 404) },
};

async function createFinishedRun(): Promise<string> {
  const owner = await createStudentWithTask(api.orm);
  const draft = { sourceCode: null, documentation: null, files: [] };
  const made = await createTrialRun(api.orm.em.fork(), owner.student, {
    taskId: owner.taskId,
    draft,
    stdin: null,
    key: null,
    queueLimits: roomyQueue,
  });
  if (made.status !== 'stored') throw new Error('the allowance of a new account is used up');
  await finishTrialRun(api.orm.em.fork(), { runId: made.runId, results: [] });
  // Made for an account of its own, whose allowance nobody has used, and then given to `student`.
  await api.orm.em.fork().nativeUpdate(TrialRun, { id: made.runId }, { user: student.id, createdAt: new Date(0) });
  return made.runId;
}

/** Of an account of its own, whose files are there. */
async function createSubmittedCommit(): Promise<string> {
  const owner = await createStudentWithTask(api.orm);
  const work = await commit(api, owner.taskId, 'work of a student');
  return createSubmission(api.orm, { taskId: owner.taskId, studentId: owner.student.id, commit: work });
}

const scoringJobOf = async (id: string) => (await api.orm.em.fork().findOneOrFail(Submission, id)).checkRunId;

function userOf(caller: Caller): { id: string } {
  const user = users.get(caller);
  if (user === undefined) throw new Error(`no account for ${caller}`);
  return user;
}

async function createFailedDelivery(user: { id: string }): Promise<string> {
  const em = api.orm.em.fork();
  const about = { userId: user.id, kind: 'welcome' as const, causeId: newId() };
  await em.transactional((tx) => notify(tx, about));
  const { id } = await em.findOneOrFail(Delivery, { notification: { causeId: about.causeId } });
  await markFailed(api.orm.em.fork(), id, 'refused');
  return id;
}

async function createNotification(user: { id: string }): Promise<string> {
  const em = api.orm.em.fork();
  const about = { kind: 'welcome' as const, causeId: newId(), submission: null, task: null, readAt: null };
  const notification = em.create(Notification, { id: newId(), createdAt: new Date(), user: user.id, ...about });
  await em.flush();
  return notification.id;
}

/** What the workflow does with a decision, without its refusals. */
async function commitInDatabase(decision: Decision) {
  const { submission } = await api.orm.em.fork().findOneOrFail(SubmissionRequest, decision.requestId);
  const result = await commitDecision(api.orm.em.fork(), { ...decision, submissionId: submission.id });
  if (result.status === 'refused') throw new Error(result.message);
  return { status: 'decided' as const, reviewId: result.reviewId };
}

async function authorizationOf(caller: Caller): Promise<string | null> {
  const user = users.get(caller);
  if (user === undefined) return null;
  const token = await signIn(api, user);
  if (caller === 'logged-out session') await logout(api.orm.em.fork(), api.tokens.verify(token)?.sessionId ?? '');
  if (caller !== 'expired token') return `Bearer ${token}`;
  const { sessionId } = api.tokens.verify(token) ?? { sessionId: '' };
  return `Bearer ${createAccessTokens(secret, -1000).sign({ sessionId, userId: user.id }).token}`;
}

async function send(endpoint: Endpoint, authorization: string | null, target: Target) {
  const path = `/api${endpoint.path.replace(/\{\w+\}/, target.id ?? '')}`;
  const sent = request(api.server)[endpoint.method](path);
  if (authorization !== null) sent.set('Authorization', authorization);
  if (target.ifMatch !== undefined) sent.set('If-Match', target.ifMatch);
  return target.body === undefined ? sent : sent.send(target.body);
}

beforeAll(async () => {
  api = await startApi({ assistant: { model: 'fake', draftReview: () => Promise.resolve({ text: 'Fine.' }) } });
  api.workflows.onDecide = commitInDatabase;
  api.workflows.onClaim = () => Promise.resolve({ status: 'claimed', leaseUntil: new Date() });
  api.workflows.onRelease = () => Promise.resolve({ status: 'told' });
  const content = await readCourseContent(join(import.meta.dirname, '../../content/demo'));
  const [starter] = content.exercises;
  if (starter === undefined) throw new Error('the demo course has no exercises');
  await publishCourse(
    api.orm.em.fork(),
    {
      ...content,
      course: { ...content.course, slug: 'second-course', starterSlug: starter.slug },
      exercises: [{ ...starter, uuid: newId() }],
    },
    { isDefault: false },
  );
  ({ student, taskId } = await createStudentWithTask(api.orm));
  await commit(api, taskId, 'work of the student');
  const startTaskOf = async (slug: string) => {
    const exerciseId = await selectExerciseId(api.orm, slug);
    return { student, taskId: (await startTask(api.orm.em.fork(), { userId: student.id, exerciseId })).taskId };
  };
  ({ submissionId } = await createSubmissionInReview(api, await startTaskOf('balcony-garden')));
  draftTaskId = (await startTaskOf('parcel-lockers')).taskId;
  ({ submissionId: draftId } = await api.orm.em.fork().transactional((tx) => openDraft(tx, student, draftTaskId)));
  const decided = await createSubmissionInReview(api, await startTaskOf('kitchen-plan'));
  users.set('student', student);
  users.set('other student', await createUser(api.orm));
  users.set('reviewer', await createUser(api.orm, 'ACADEMY_REVIEWER'));
  reviewId = await createReview(api, { ...decided, reviewerId: userOf('reviewer').id });
  users.set('instructor', await createUser(api.orm, 'INSTRUCTOR'));
  users.set('admin', await createUser(api.orm, 'SUPER_ADMIN'));
  users.set('logged-out session', student);
  users.set('expired token', student);
  const disabled = await createUser(api.orm, 'SUPER_ADMIN');
  await api.orm.em.fork().nativeUpdate(User, { id: disabled.id }, { disabledAt: new Date() });
  users.set('disabled user', disabled);
});

afterAll(() => api.close());

const slugs: Readonly<Record<number, string>> = { 401: 'unauthenticated', 403: 'forbidden', 404: 'not-found' };

test('every endpoint of the contract has a row in the matrix, and no row is of another', () => {
  expect(Object.keys(matrix).toSorted()).toEqual(Object.keys(contract).toSorted());
});

describe.each(Object.entries(matrix))('%s', (name, row) => {
  const endpoint: Endpoint = contract[name as keyof typeof contract];

  test.each(callers.map((caller, index) => [caller, row.statuses[index] ?? 0] as const))('%s: %d', async (caller, status) => {
    const authorization = await authorizationOf(caller);
    const target = (await row.target?.()) ?? {};
    const reviewsBefore = await api.orm.em.fork().count(Review);
    const response = await send(endpoint, authorization, target);
    const isRefused = status >= 400;
    expect({
      ...answerOf(response),
      challenge: response.headers['www-authenticate'],
      caching: response.headers['cache-control'],
      newReviews: (await api.orm.em.fork().count(Review)) - reviewsBefore,
    }).toMatchObject({
      status,
      challenge: status === 401 ? 'Bearer' : undefined,
      caching: isRefused ? undefined : 'no-store',
      newReviews: (name === 'decideReview' || name === 'overrideReview') && !isRefused ? 1 : 0,
    });
    if (isRefused) expectProblem(response, status, slugs[status] ?? '');
  });
});

describe('what belongs to somebody else', () => {
  const withId = Object.entries(contract as Record<string, Endpoint>).filter(([, { path }]) => path.includes('{id}'));

  test.each(withId)('%s answers as for an id that nobody has', async (name, endpoint) => {
    const authorization = await authorizationOf('other student');
    const target = await matrix[name as keyof typeof contract].target?.();
    // A role that may never ask is told so, whatever it asks for.
    const [status, slug] = Array.isArray(endpoint.access) ? ([403, 'forbidden'] as const) : ([404, 'not-found'] as const);
    const foreign = expectProblem(await send(endpoint, authorization, target ?? {}), status, slug);
    const unknown = expectProblem(await send(endpoint, authorization, { ...target, id: newId() }), status, slug);
    expect(withoutAddress(foreign)).toEqual(withoutAddress(unknown));
    expectProblem(await send(endpoint, authorization, { ...target, id: 'no-uuid' }), status, slug);
  });

  test.each(withId)('%s finds nothing at an id that nobody has, for admins neither', async (name, endpoint) => {
    const target = await matrix[name as keyof typeof contract].target?.();
    for (const id of [newId(), 'no-uuid']) {
      expectProblem(await send(endpoint, await authorizationOf('admin'), { ...target, id }), 404, 'not-found');
    }
  });
});

describe('rights that end', () => {
  test('a reviewer who becomes a student loses the queue with the same token', async () => {
    const user = await createUser(api.orm, 'ACADEMY_REVIEWER');
    const authorization = `Bearer ${await signIn(api, user)}`;
    expect((await send(contract.listReviewQueue, authorization, {})).status).toBe(200);
    await api.orm.em.fork().nativeUpdate(User, { id: user.id }, { role: 'CODING_STUDENT' });
    expectProblem(await send(contract.listReviewQueue, authorization, {}), 403, 'forbidden');
  });

  test.each(['disabledAt', 'erasedAt'] as const)('%s ends a session that is open', async (column) => {
    const user = await createUser(api.orm);
    const authorization = `Bearer ${await signIn(api, user)}`;
    expect((await send(contract.me, authorization, {})).status).toBe(200);
    await api.orm.em.fork().nativeUpdate(User, { id: user.id }, { [column]: new Date() });
    expectProblem(await send(contract.me, authorization, {}), 401, 'unauthenticated');
  });

  test('a logout ends its own session and no other', async () => {
    const user = await createUser(api.orm);
    const [here, there] = [`Bearer ${await signIn(api, user)}`, `Bearer ${await signIn(api, user)}`];
    expect((await send(contract.logout, here, {})).status).toBe(204);
    expectProblem(await send(contract.me, here, {}), 401, 'unauthenticated');
    expect((await send(contract.me, there, {})).status).toBe(200);
  });
});
