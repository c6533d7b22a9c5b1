import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { WorkflowBundle } from '@temporalio/worker';
import { createOverrideActivities } from '../../src/activities/overrides.ts';
import { createSubmissionActivities } from '../../src/activities/submissions.ts';
import { newId } from '../../src/database/columns.ts';
import { Submission } from '../../src/database/entities/submissions.ts';
import type { Orm } from '../../src/database/orm.ts';
import type { Role } from '../../src/domain/users.ts';
import type { Repositories } from '../../src/git/repositories.ts';
import { insertCheckRun } from '../../src/services/check-runs.ts';
import { relayUnstartedOverrides } from '../../src/services/overrides.ts';
import { relayUnstartedSubmissions } from '../../src/services/submissions.ts';
import { createTemporalClient, type TemporalClient } from '../../src/temporal/client.ts';
import { createOverrideWorkflows } from '../../src/temporal/overrides.ts';
import { createSubmissionWorkflows, type SubmissionWorkflows } from '../../src/temporal/submissions.ts';
import { createTestDatabase } from '../support/database.ts';
import { createStudentWithTask, createSubmission, createUser, publishDemoCourse } from '../support/factories.ts';
import { bundleWorkflows, startTemporal } from '../support/temporal.ts';
import { waitFor } from '../support/wait.ts';
import { createFakeActivities, type FakeActivities, withWorkers } from './support.ts';
import { judgedChecks } from '../support/check-runs.ts';

/** PostgreSQL, Temporal and the product's own database activities, all real; only git and the sandbox stand aside. */
export interface RealParts {
  readonly env: TestWorkflowEnvironment;
  readonly orm: Orm;
  readonly client: TemporalClient;
  readonly workflows: SubmissionWorkflows;
  readonly reviewer: { readonly id: string; readonly role: Role };
  readonly admin: { readonly id: string; readonly role: Role };
  /** Runs `use` while workers serve both task queues. */
  withWorkers<T>(use: () => Promise<T>): Promise<T>;
  /** One turn of the relay; how many workflows it started. */
  relay(): Promise<number>;
  /** A submission whose workflow is started. */
  submit(): Promise<Started>;
  /** The same, when its review is open. */
  submitForReview(): Promise<Started>;
  waitForStage(submissionId: string, stage: string): Promise<Submission>;
  /** Decides through the workflow, as the API does. */
  approve(submission: { submissionId: string }, actorId?: string): Promise<unknown>;
  close(): Promise<void>;
}

export interface Started {
  readonly student: { readonly id: string; readonly role: Role; readonly email: string };
  readonly taskId: string;
  readonly submissionId: string;
}

export async function startRealParts(): Promise<RealParts> {
  const env = await startTemporal();
  const bundle: WorkflowBundle = await bundleWorkflows();
  const database = await createTestDatabase();
  const { orm } = database;
  await publishDemoCourse(orm);
  const client = createTemporalClient(env.address, 'default');
  const workflows = createSubmissionWorkflows(client);
  const overrides = createOverrideWorkflows(client);
  const reviewer = await createUser(orm, 'ACADEMY_REVIEWER');
  const em = () => orm.em.fork();

  // Nothing is fetched here.
  const repositories = {} as Repositories;
  const judgeSubmission: FakeActivities['judgeSubmission'] = async ({ submissionId, runNo }) => {
    const { revision } = await em().findOneOrFail(Submission, submissionId);
    const stored = await insertCheckRun(em(), {
      submissionId,
      revisionId: revision.id,
      runNo,
      ...judgedChecks(),
      score: null,
      sandboxKind: 'docker',
      sandboxIdentity: 'sha256:0',
      runs: [],
      startedAt: new Date(),
    });
    return 'conclusion' in stored ? { status: 'concluded', ...stored } : { status: 'judged', ...stored };
  };
  const activities: FakeActivities = {
    ...createFakeActivities().activities,
    ...createSubmissionActivities({ orm, repositories, repoHosts: [], scratchFolder: '' }),
    ...createOverrideActivities({ orm, workflows }),
    judgeSubmission,
  };

  const parts: RealParts = {
    env,
    orm,
    client,
    workflows,
    reviewer,
    admin: await createUser(orm, 'SUPER_ADMIN'),
    withWorkers: (use) => withWorkers(env, bundle, activities, use),
    relay: async () =>
      (await relayUnstartedSubmissions(em(), 20, (submission) => workflows.start(submission))) +
      (await relayUnstartedOverrides(em(), 20, (overrideId) => overrides.start(overrideId))),
    async submit() {
      const { student, taskId } = await createStudentWithTask(orm);
      const submissionId = await createSubmission(orm, { taskId, studentId: student.id });
      await parts.relay();
      return { student, taskId, submissionId };
    },
    async submitForReview() {
      const started = await parts.submit();
      await parts.waitForStage(started.submissionId, 'AWAITING_REVIEW');
      return started;
    },
    waitForStage: (submissionId, stage) =>
      waitFor(`stage ${stage}`, async () => em().findOne(Submission, { id: submissionId, stage: stage as 'CLOSED' })),
    async approve({ submissionId }, actorId = reviewer.id) {
      const { workflowId } = await em().findOneOrFail(Submission, submissionId);
      return workflows.decide(workflowId, { requestId: newId(), actorId, outcome: 'APPROVED', via: 'api' });
    },
    async close() {
      await client.connection.close();
      await env.teardown();
      await database.close();
    },
  };
  return parts;
}
