import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Role } from '../../src/domain/users.ts';
import type { Academy } from '../end-to-end/academy.ts';
import { createUser, password } from '../support/factories.ts';

const solution = readFileSync(
  join(import.meta.dirname, '../../content/demo/exercises/night-bus-board/solution/src/board.js'),
  'utf8',
);

/** What a client got; status 0 where the connection ended without an answer. */
export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly retryAfter: string | null;
}

/** Answers of 5xx that no client should ever see: all but 503, which says when to try again. */
export const serverErrors: string[] = [];

/** How long a careful client goes on asking with one key, in ms. */
const patienceMs = 120_000;

/** One request as a client makes it, whatever becomes of the server. */
export async function ask(
  academy: Academy,
  request: {
    method?: 'GET' | 'POST' | 'PATCH';
    path: string;
    token: string;
    body?: object;
    key?: string;
    headers?: Record<string, string>;
  },
): Promise<Answer> {
  const { method = 'POST', path, token, body = {}, key = randomUUID(), headers = {} } = request;
  try {
    const answer = await fetch(academy.origin + path, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'idempotency-key': key, ...headers },
      ...(method !== 'GET' && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(60_000),
    });
    const text = await answer.text();
    const isHonest = answer.status < 500 || (answer.status === 503 && answer.headers.has('Retry-After'));
    if (!isHonest) serverErrors.push(`${method} ${path}: ${answer.status} ${text}`);
    const answered = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
    return { status: answer.status, body: answered, retryAfter: answer.headers.get('Retry-After') };
  } catch {
    return { status: 0, body: {}, retryAfter: null };
  }
}

/** Asks with one key until there is an answer that stands: not 503, not a cut connection. */
export async function askUntilKnown(academy: Academy, request: Parameters<typeof ask>[1]): Promise<Answer> {
  const key = request.key ?? randomUUID();
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const answer = await ask(academy, { ...request, key });
    if ((answer.status !== 0 && answer.status !== 503) || Date.now() > deadline) return answer;
    await delay(200);
  }
}

/** A student who writes in the academy itself: no clone, so that many fit into a test. */
export class Writer {
  readonly id: string;
  readonly email: string;
  readonly token: string;
  readonly taskId: string;
  readonly #academy: Academy;

  private constructor(academy: Academy, about: { id: string; email: string; token: string; taskId: string }) {
    this.#academy = academy;
    this.id = about.id;
    this.email = about.email;
    this.token = about.token;
    this.taskId = about.taskId;
  }

  static async enrol(academy: Academy): Promise<Writer> {
    const { id, email, token } = await createPerson(academy, 'CODING_STUDENT');
    const [task] = await academy.query<{ id: string }>('select id from learning.tasks where assignee_id = ?', [id]);
    if (task === undefined) throw new Error('no starter task');
    return new Writer(academy, { id, email, token, taskId: task.id });
  }

  /** The solution as a draft, and the request that submits it. */
  async write(source = solution): Promise<{ path: string; token: string; key: string }> {
    const { token } = this;
    const draft = await askUntilKnown(this.#academy, { path: '/api/submissions', token, body: { taskId: this.taskId } });
    const id = String(draft.body['id']);
    const changed = await askUntilKnown(this.#academy, {
      method: 'PATCH',
      path: `/api/submissions/${id}`,
      token,
      body: { content: { source_code: source } },
    });
    if (changed.status !== 200) throw new Error(`draft: ${changed.status} ${JSON.stringify(changed.body)}`);
    return { path: `/api/tasks/${this.taskId}/submit`, token, key: randomUUID() };
  }

  /** Submits the solution, or other code, with one key until it is accepted; returns the submission's id. */
  async submit(source = solution): Promise<string> {
    const answer = await askUntilKnown(this.#academy, await this.write(source));
    if (answer.status !== 202) throw new Error(`submit: ${answer.status} ${JSON.stringify(answer.body)}`);
    return String(answer.body['submissionId']);
  }
}

/** An account with a session. */
export async function createPerson(academy: Academy, role: Role): Promise<{ id: string; email: string; token: string }> {
  const { id, email } = await createUser(academy.database.orm, role);
  const answer = await askUntilKnown(academy, { path: '/api/auth/login', token: '', body: { email, password } });
  return { id, email, token: String(answer.body['accessToken']) };
}

/** How far a submission is, as PostgreSQL has it; null where it cannot be asked now. */
async function stageOf(academy: Academy, submissionId: string): Promise<string | null> {
  const rows = await academy
    .query<{ stage: string }>('select stage from submissions.submissions where id = ?', [submissionId])
    .catch(() => []);
  return rows[0]?.stage ?? null;
}

/** Waits until each of these submissions is in one of the stages. @throws Error that names what is not. */
export async function waitForStages(
  academy: Academy,
  submissionIds: readonly string[],
  stages: readonly string[],
  timeoutMs = patienceMs,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const found = await Promise.all(submissionIds.map((id) => stageOf(academy, id)));
    const missing = submissionIds.filter((_, index) => !stages.includes(found[index] ?? ''));
    if (missing.length === 0) return;
    if (Date.now() > deadline)
      throw new Error(`${missing.length} are not ${stages.join(' or ')}: ${missing[0]} is ${found.join()}`);
    await delay(100);
  }
}

export function decision(token: string, submissionId: string, outcome: 'APPROVED' | 'REJECTED', key: string = randomUUID()) {
  return { path: '/api/reviews', token, key, body: { submissionId, outcome, comment: 'chaos' } };
}

/** An admin puts another outcome in the place of the current review; repeated until it is applied. */
export async function override(academy: Academy, submissionId: string, outcome: 'APPROVED' | 'REJECTED'): Promise<void> {
  const review = await currentReview(academy, submissionId);
  const request = {
    method: 'PATCH',
    path: `/api/admin/reviews/${review}`,
    token: academy.adminToken,
    key: randomUUID(),
    body: { outcome, reason: 'chaos' },
    headers: { 'if-match': `"${review}"` },
  } as const;
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const answer = await askUntilKnown(academy, request);
    if (answer.status === 200) return;
    if (answer.status !== 202 || Date.now() > deadline) {
      throw new Error(`override: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
    await delay(200);
  }
}

async function currentReview(academy: Academy, submissionId: string): Promise<string> {
  const [review] = await academy.query<{ id: string }>(
    'select id from reviews.reviews where submission_id = ? and superseded_by_id is null',
    [submissionId],
  );
  if (review === undefined) throw new Error(`no review of ${submissionId}`);
  return review.id;
}
