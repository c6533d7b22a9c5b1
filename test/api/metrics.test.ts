import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import request from 'supertest';
import { Drain } from '../../src/api/drain.ts';
import type { Dependencies } from '../../src/api/dependencies.ts';
import { XpEntry } from '../../src/database/entities/progress.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { newId } from '../../src/database/columns.ts';
import { openOrm } from '../../src/database/orm.ts';
import { recordAudit } from '../../src/services/activity.ts';
import { enterStage } from '../../src/services/submissions.ts';
import { createStudentWithTask, createSubmission } from '../support/factories.ts';
import { as, createSubmissionInReview, expectProblem, listen, secret, signIn, startApi, type TestApi } from './support.ts';

let api: TestApi;

beforeAll(async () => {
  api = await startApi();
});

afterAll(() => api.close());

/** Values of all series, such as `submissions_open{stage="QUEUED"}`. */
async function scrape(): Promise<Map<string, number>> {
  const { text, status, type } = await request(api.server).get('/metrics');
  expect({ status, type }).toEqual({ status: 200, type: 'text/plain' });
  const series = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(series.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
}

const ofRequests = (series: Map<string, number>) => [...series.keys()].filter((name) => name.startsWith('http_request_'));

const routesOf = (series: Map<string, number>) =>
  new Set(ofRequests(series).map((name) => /route="([^"]*)"/.exec(name)?.[1] ?? 'none'));

describe('requests', () => {
  test('are counted by route, method and status', async () => {
    const { student, taskId } = await createStudentWithTask(api.orm);
    const ann = as(api, await signIn(api, student));
    const name = 'http_request_duration_seconds_count{method="GET",route="/api/tasks/{id}",status="200"}';
    const before = (await scrape()).get(name) ?? 0;
    await ann.get(`/api/tasks/${taskId}`);
    await ann.get(`/api/tasks/${taskId}`);
    expect((await scrape()).get(name)).toBe(before + 2);
  });

  test('make no series with an id, and none for what does not exist', async () => {
    const { student, taskId } = await createStudentWithTask(api.orm);
    const ann = as(api, await signIn(api, student));
    const visit = async (id: string) => {
      await ann.get(`/api/tasks/${id}`);
      await ann.get(`/api/unknown/${id}`);
      await ann.get(`/api/tasks/${id}/submit/${id}`);
      await request(api.server).get(`/git/${id}.git/info/refs?service=git-upload-pack`);
      await request(api.server).get(`/git/${id}`);
      await request(api.server).get(`/${id}.php`);
      await request(api.server).get(`/api/tasks/${id}%22%0a`);
      await request(api.server).patch(`/${id}`);
      await request(api.server).propfind(`/${id}`);
    };
    await visit(taskId);
    await visit(randomUUID());
    const before = await scrape();
    for (let i = 0; i < 20; i += 1) await visit(randomUUID());
    const after = await scrape();
    expect(ofRequests(after)).toEqual(ofRequests(before));
    expect(after.get('http_request_duration_seconds_count{method="GET",route="other",status="404"}')).toBeGreaterThan(40);
    expect([...after.keys()].filter((name) => /[0-9a-f]{8}-[0-9a-f]{4}|\.php|unknown/.test(name))).toEqual([]);
    expect([...routesOf(after)]).toEqual(expect.arrayContaining(['/api/tasks/{id}', '/git/{id}.git', 'other', '/metrics']));
    expect([...after.keys()].join('\n')).toContain('method="other"');
  });
});

describe('figures', () => {
  test('tell what waits, and since when', async () => {
    const before = await scrape();
    const { student, taskId } = await createStudentWithTask(api.orm);
    const submissionId = await createSubmission(api.orm, { taskId, studentId: student.id });
    const hourAgo = new Date(Date.now() - 3_600_000);
    await api.orm.em.fork().nativeUpdate(Submission, submissionId, { submittedAt: hourAgo });
    const queued = await scrape();
    const open = (series: Map<string, number>, stage: string) => series.get(`submissions_open{stage="${stage}"}`) ?? NaN;
    expect(queued.get('outbox_oldest_age_seconds{kind="override"}')).toBe(0);
    expect(open(queued, 'QUEUED')).toBe(open(before, 'QUEUED') + 1);
    expect(queued.get('outbox_oldest_age_seconds{kind="submission"}')).toBeGreaterThanOrEqual(3_600);
    expect(queued.get('outbox_oldest_age_seconds{kind="submission"}')).toBeLessThan(3_700);
    expect(queued.get('figures_unreadable')).toBe(0);
    // Nothing was checked in this hour: no series, not 0 seconds.
    expect(before.has('check_duration_seconds{quantile="0.95"}')).toBe(false);

    await enterStage(api.orm.em.fork(), { submissionId, stage: 'PARKED', parkedReason: 'the disk is full' });
    const parked = await scrape();
    expect(parked.get('submissions_parked')).toBe((before.get('submissions_parked') ?? NaN) + 1);
    expect(open(parked, 'QUEUED')).toBe(open(before, 'QUEUED'));

    expect(before.get('awaiting_review_oldest_age_seconds')).toBe(0);
    const reviewed = await createSubmissionInReview(api);
    await api.orm.em.fork().nativeUpdate(Submission, reviewed.submissionId, { submittedAt: hourAgo });
    const inReview = await scrape();
    expect(inReview.get('awaiting_review_oldest_age_seconds')).toBeGreaterThanOrEqual(3_600);
    expect(inReview.get('outbox_oldest_age_seconds{kind="delivery"}')).toBeGreaterThan(0);
    expect(inReview.get('check_duration_seconds{quantile="0.95"}')).toBeGreaterThanOrEqual(0);
  });

  test('find XP that does not fit its task', async () => {
    expect((await scrape()).get('xp_ledger_mismatch')).toBe(0);
    const { student, taskId } = await createStudentWithTask(api.orm);
    const em = api.orm.em.fork();
    em.create(XpEntry, {
      id: newId(),
      createdAt: new Date(),
      student: student.id,
      task: taskId,
      amount: 5,
      causeKind: 'task',
      causeId: taskId,
      sequence: 1,
    });
    await em.flush();
    expect((await scrape()).get('xp_ledger_mismatch')).toBe(1);
  });

  test.each([
    ['session.reused', 'refresh_reuse_detected_total'],
    ['submission.restarted', 'reconcile_repairs_total'],
  ])('count %s in the audit as %s', async (action, name) => {
    expect((await scrape()).get(name)).toBe(0);
    const em = api.orm.em.fork();
    recordAudit(em, { action, actorId: null, target: { kind: 'session', id: newId() }, via: 'system' });
    await em.flush();
    expect((await scrape()).get(name)).toBe(1);
  });

  test('are missing while PostgreSQL is away, and the process still tells of itself', async () => {
    const orm = await openOrm('postgres://nobody:nothing@127.0.0.1:1/none', { logger: () => undefined });
    const blind = await listen((origin) => dependenciesOf({ ATELIER_ORIGIN: origin }, { orm }));
    try {
      const { text, status } = await request(blind.server).get('/metrics');
      expect(status).toBe(200);
      expect(text).toMatch(/^figures_unreadable [1-9]/m);
      expect(text).toMatch(/^process_resident_memory_bytes \d/m);
      expect(text).not.toContain('xp_ledger_mismatch');
      expect(text).not.toContain('refresh_reuse_detected_total');
    } finally {
      await blind.close();
      await orm.close();
    }
  });
});

function dependenciesOf(config: Partial<Dependencies['config']>, parts: Partial<Dependencies> = {}): Dependencies {
  const { orm, repositories, workflows, overrides, trials, streams, tokens, queueLimits } = api;
  return {
    config: {
      ATELIER_ORIGIN: 'http://127.0.0.1',
      JWT_SECRET: secret,
      REPO_HOSTS: [],
      TEMPORAL_UI_ORIGIN: undefined,
      TEMPORAL_NAMESPACE: 'default',
      ...config,
    },
    orm,
    repositories,
    workflows,
    overrides,
    trials,
    streams,
    assistant: null,
    tokens,
    queueLimits,
    logger: pino({ level: 'silent' }),
    drain: new Drain(),
    ...parts,
  };
}

describe('who may look', () => {
  test.each(['Forwarded', 'Via', 'X-Forwarded-For', 'X-Forwarded-Host', 'X-Real-IP'])(
    'nobody who comes through a proxy that says so by %s',
    async (header) => {
      expectProblem(await request(api.server).get('/metrics').set(header, '127.0.0.1'), 404, 'not-found');
    },
  );

  test('nobody without a token where the academy is behind https', async () => {
    const behind = await listen(() => dependenciesOf({ ATELIER_ORIGIN: 'https://academy.example' }));
    expectProblem(await request(behind.server).get('/metrics'), 404, 'not-found');
    await behind.close();
  });

  test('with a token: its bearer alone, through a proxy, too', async () => {
    const guarded = await listen(() =>
      dependenciesOf({ ATELIER_ORIGIN: 'https://academy.example', METRICS_TOKEN: 'scrape-0123456789abc' }),
    );
    const get = (authorization: string) =>
      request(guarded.server).get('/metrics').set('Authorization', authorization).set('X-Forwarded-For', '203.0.113.7');
    expect((await get('Bearer scrape-0123456789abc')).text).toContain('figures_unreadable 0');
    for (const wrong of [
      '',
      'Bearer',
      'Bearer scrape-0123456789ab',
      'Basic scrape-0123456789abc',
      'Bearer another-0123456789abc',
    ]) {
      expectProblem(await get(wrong), 404, 'not-found');
    }
    await guarded.close();
  });
});
