import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { ExerciseRevision } from '../../src/database/entities/exercises.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import { Task } from '../../src/database/entities/tasks.ts';
import type { Role } from '../../src/domain/users.ts';
import { changeDraft, type DraftChange, openDraft, selectDraftFiles } from '../../src/services/drafts.ts';
import { concludeWithoutReview, requestCancel, submitTask, type SourceInput } from '../../src/services/submissions.ts';
import { setRepoUrl } from '../../src/services/tasks.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createStudentWithTask, createUser, publishDemoCourse } from '../support/factories.ts';
import { activityOf, createAttempt, race, unknownId } from './support.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
});

afterAll(() => database.close());

const em = () => database.orm.em.fork();
const selectSubmission = (id: string) => em().findOneOrFail(Submission, id);
const selectTask = (id: string) => em().findOneOrFail(Task, id);

interface Owner {
  readonly student: { readonly id: string; readonly role: Role };
  readonly taskId: string;
}

const open = ({ student, taskId }: Owner) => em().transactional((tx) => openDraft(tx, student, taskId));

async function createDraft(): Promise<Owner & { submissionId: string; change: (change: DraftChange) => Promise<void> }> {
  const owner = await createStudentWithTask(database.orm);
  const { submissionId } = await open(owner);
  return { ...owner, submissionId, change: (change) => changeDraft(em(), owner.student, submissionId, change) };
}

/** Submits as the API does; `about` is what the source was to be made of. */
async function submit({ student, taskId }: Owner, draftId?: string) {
  const about: SourceInput[] = [];
  const submissionId = newId();
  const submitted = await em().transactional((tx) =>
    submitTask(tx, {
      taskId,
      actorId: student.id,
      submissionId,
      ...(draftId !== undefined && { draftId }),
      makeSource: async (input) => {
        about.push(input);
        return { kind: input.draft === null ? 'hosted' : 'files', repositoryId: input.repositoryId, commit: 'a'.repeat(40) };
      },
    }),
  );
  return { ...submitted, about: about[0] };
}

describe('openDraft', () => {
  it('begins the task; a second call, and many at once, return the open one', async () => {
    const owner = await createStudentWithTask(database.orm);
    const { returned, refused } = await race(10, () => open(owner));
    expect(refused).toEqual([]);
    const ids = new Set(returned.map(({ submissionId }) => submissionId));
    expect(ids.size).toBe(1);
    const submissionId = returned[0]?.submissionId ?? '';
    expect(await open(owner)).toEqual({ submissionId });
    expect(await selectSubmission(submissionId)).toMatchObject({
      status: 'IN_PROGRESS',
      stage: null,
      source: null,
      attemptNo: 1,
      submittedAt: null,
      draft: { sourceCode: null, documentation: null, files: [] },
    });
    expect(await selectTask(owner.taskId)).toMatchObject({ status: 'IN_PROGRESS' });
    expect(await activityOf(database.orm, submissionId)).toEqual(['submission.drafted']);
  });

  it('is for the assignee, and waits for the answer to what is submitted', async () => {
    const attempt = await createAttempt(database.orm);
    await expect(open(attempt)).rejects.toMatchObject({ kind: 'invalid-state' });
    for (const role of ['CODING_STUDENT', 'SUPER_ADMIN'] as const) {
      const student = await createUser(database.orm, role);
      await expect(open({ student, taskId: attempt.taskId })).rejects.toMatchObject({ kind: 'not-found' });
    }
    await expect(open({ student: attempt.student, taskId: unknownId })).rejects.toMatchObject({ kind: 'not-found' });
    await concludeWithoutReview(em(), { submissionId: attempt.submissionId, conclusion: 'checks-failed' });
    const { submissionId } = await open(attempt);
    expect(await selectSubmission(submissionId)).toMatchObject({ attemptNo: 2, status: 'IN_PROGRESS' });
  });

  it.each(['REJECTED', 'APPROVED'] as const)('of a task that is %s', async (status) => {
    const owner = await createStudentWithTask(database.orm);
    await em().nativeUpdate(Task, owner.taskId, { status });
    const { refused } = await race(1, () => open(owner));
    expect(refused).toEqual(status === 'APPROVED' ? ['invalid-state'] : []);
    // A draft of a rejected task takes nothing back: it is rejected until the next attempt is submitted.
    expect(await selectTask(owner.taskId)).toMatchObject({ status });
  });

  it('taken back leaves the task as it is, and is nobody’s attempt', async () => {
    const { submissionId, student, taskId } = await createDraft();
    expect(await requestCancel(em(), student, { submissionId, key: null })).toEqual({ conclusion: 'cancelled' });
    expect(await selectSubmission(submissionId)).toMatchObject({ conclusion: 'cancelled', counted: false, stage: 'CLOSED' });
    expect(await selectTask(taskId)).toMatchObject({ status: 'IN_PROGRESS' });
    const next = await open({ student, taskId });
    expect(next.submissionId).not.toBe(submissionId);
  });
});

describe('changeDraft', () => {
  it('changes what is named and leaves the rest', async () => {
    const { submissionId, change } = await createDraft();
    await change({ sourceCode: 'first', documentation: '# Mine' });
    await change({ sourceCode: '', files: [{ path: 'src/helper.js', content: 'help' }] });
    await change({ documentation: '# Ours' });
    expect((await selectSubmission(submissionId)).draft).toEqual({
      sourceCode: '',
      documentation: '# Ours',
      files: [{ path: 'src/helper.js', content: 'help' }],
    });
    await change({ files: [] });
    expect((await selectSubmission(submissionId)).draft?.files).toEqual([]);
  });

  it.each([
    ['../outside.js', 'a part that is . or ..'],
    ['/etc/passwd', 'absolute'],
    ['src//a.js', 'empty part'],
    ['.git/config', 'git'],
    ['src/.GIT/hooks', 'git'],
    ['src/.gitmodules', 'git'],
    ['GIT~1/config', 'git'],
    ['a\0b', 'NUL'],
    ['a'.repeat(256), '255 bytes'],
    [`${'folder/'.repeat(150)}a.js`, '1000 bytes'],
    // Where source_code and documentation go.
    ['src/board.js', 'twice'],
    ['README.md', 'twice'],
    ['README.md/inner.md', 'file and a folder'],
  ])('refuses the path %j and keeps what was there', async (path, problem) => {
    const { submissionId, change } = await createDraft();
    await change({ sourceCode: 'code', documentation: 'text' });
    const refused = change({ files: [{ path, content: 'x' }] });
    await expect(refused).rejects.toMatchObject({ kind: 'validation', message: expect.stringContaining(problem) });
    expect((await selectSubmission(submissionId)).draft).toEqual({ sourceCode: 'code', documentation: 'text', files: [] });
  });

  it('is for its student alone, while it is a draft', async () => {
    const draft = await createDraft();
    for (const role of ['CODING_STUDENT', 'ACADEMY_REVIEWER', 'SUPER_ADMIN'] as const) {
      const other = await createUser(database.orm, role);
      const changed = changeDraft(em(), other, draft.submissionId, { sourceCode: 'theirs' });
      await expect(changed).rejects.toMatchObject({ kind: 'not-found' });
    }
    await submit(draft);
    await expect(draft.change({ sourceCode: 'too late' })).rejects.toMatchObject({ kind: 'invalid-state' });
  });
});

describe('selectDraftFiles', () => {
  it('writes source code to the one file that the solution is written in', async () => {
    const { submissionId, change } = await createDraft();
    await change({ sourceCode: 'code', documentation: 'text', files: [{ path: 'src/more.js', content: 'more' }] });
    const { draft, revision } = await selectSubmission(submissionId);
    if (draft === null) throw new Error('no draft');
    expect(await selectDraftFiles(em(), revision.id, draft)).toEqual([
      { path: 'src/board.js', content: 'code' },
      { path: 'README.md', content: 'text' },
      { path: 'src/more.js', content: 'more' },
    ]);
  });

  it('refuses source code where the solution has several files, and takes files', async () => {
    const { submissionId, change } = await createDraft();
    const revision = await em().findOneOrFail(ExerciseRevision, { exercise: { slug: 'parcel-lockers' } });
    await em().nativeUpdate(Submission, submissionId, { revision: revision.id });
    await expect(change({ sourceCode: 'code' })).rejects.toMatchObject({ kind: 'validation' });
    await change({ files: [{ path: 'src/lockers.js', content: 'code' }] });
    expect((await selectSubmission(submissionId)).draft).toMatchObject({ sourceCode: null });
  });
});

describe('submitTask with a draft', () => {
  it('locks the draft itself, and makes the source of what it holds', async () => {
    const draft = await createDraft();
    await draft.change({ sourceCode: 'code' });
    const submitted = await submit(draft);
    expect(submitted).toMatchObject({ submissionId: draft.submissionId, attemptNo: 1 });
    expect(submitted.about).toMatchObject({ submissionId: draft.submissionId, draft: { sourceCode: 'code' }, repoUrl: null });
    expect(await selectSubmission(draft.submissionId)).toMatchObject({
      status: 'SUBMITTED',
      stage: 'QUEUED',
      source: { kind: 'files', commit: 'a'.repeat(40) },
      submittedAt: expect.any(Date),
    });
    expect(await activityOf(database.orm, draft.submissionId)).toEqual(['submission.drafted', 'task.submitted']);
    expect(await em().count(Submission, { task: draft.taskId })).toBe(1);
  });

  it('takes the named draft and no other, also of many at once', async () => {
    const draft = await createDraft();
    await expect(submit(draft, unknownId)).rejects.toMatchObject({ kind: 'invalid-state' });
    const { returned, refused } = await race(10, () => submit(draft, draft.submissionId));
    expect(returned).toHaveLength(1);
    expect(refused).toEqual(Array(9).fill('invalid-state'));
  });

  it('leaves the draft as it was where the source cannot be made', async () => {
    const { submissionId, student, taskId } = await createDraft();
    const failing = em().transactional((tx) =>
      submitTask(tx, {
        taskId,
        actorId: student.id,
        submissionId: newId(),
        makeSource: () => Promise.reject(new Error('no disk')),
      }),
    );
    await expect(failing).rejects.toThrow('no disk');
    expect(await selectSubmission(submissionId)).toMatchObject({ status: 'IN_PROGRESS', stage: null, source: null });
    expect(await selectTask(taskId)).toMatchObject({ status: 'IN_PROGRESS' });
  });
});

describe('setRepoUrl', () => {
  const url = 'https://github.com/ann/night-bus.git';
  const set = ({ student, taskId }: Owner, repoUrl: string | null = url) =>
    setRepoUrl(em(), { taskId, actorId: student.id, repoUrl });

  it('is what the next submission is made of; null goes back to our own', async () => {
    const owner = await createStudentWithTask(database.orm);
    const { version } = await selectTask(owner.taskId);
    await set(owner);
    expect(await selectTask(owner.taskId)).toMatchObject({ repoUrl: url, version: version + 1 });
    await set(owner, null);
    expect(await selectTask(owner.taskId)).toMatchObject({ repoUrl: null });
    await set(owner);
    expect((await submit(owner)).about).toMatchObject({ repoUrl: url, draft: null });
  });

  it.each([
    ['TODO', 'set'],
    ['IN_PROGRESS', 'set'],
    ['REJECTED', 'set'],
    ['SUBMITTED', 'invalid-state'],
    ['UNDER_REVIEW', 'invalid-state'],
    ['APPROVED', 'invalid-state'],
  ] as const)('of a task that is %s: %s', async (status, expected) => {
    const owner = await createStudentWithTask(database.orm);
    await em().nativeUpdate(Task, owner.taskId, { status });
    const { refused } = await race(1, () => set(owner));
    expect(refused[0] ?? 'set').toBe(expected);
    expect((await selectTask(owner.taskId)).repoUrl).toBe(expected === 'set' ? url : null);
  });

  it('is for the assignee', async () => {
    const { taskId } = await createStudentWithTask(database.orm);
    await expect(set({ taskId, student: await createUser(database.orm, 'SUPER_ADMIN') })).rejects.toMatchObject({
      kind: 'not-found',
    });
  });
});
