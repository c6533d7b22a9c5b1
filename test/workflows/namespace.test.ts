import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { createTemporalClient, type TemporalClient } from '../../src/temporal/client.ts';
import { prepareNamespace } from '../../src/temporal/namespace.ts';
import { createSubmissionWorkflows } from '../../src/temporal/submissions.ts';

/** A server as somebody else set it up: without our search attributes, with its own retention. */
let env: TestWorkflowEnvironment;
let client: TemporalClient;

beforeAll(async () => {
  const path = process.env['TEST_TEMPORAL_CLI'] ?? 'temporal';
  env = await TestWorkflowEnvironment.createLocal({ server: { executable: { type: 'existing-path', path } } });
  client = createTemporalClient(env.address, 'default');
}, 60_000);

afterAll(async () => {
  await client.connection.close();
  await env.teardown();
});

const submission = (id: string) => ({
  id,
  workflowId: `submission-${id}`,
  studentId: 'student-1',
  taskId: 'task-1',
  exerciseId: 'exercise-1',
  attemptNo: 1,
});

it('makes any namespace ready to start submissions in, twice as well as once', async () => {
  const workflows = createSubmissionWorkflows(client);
  await expect(workflows.start(submission('early'))).rejects.toMatchObject({ kind: 'unavailable' });
  await prepareNamespace(client);
  await prepareNamespace(client);
  await workflows.start(submission('late'));
  const { config } = await client.workflowService.describeNamespace({ namespace: 'default' });
  expect(Number(config?.workflowExecutionRetentionTtl?.seconds)).toBe(30 * 86_400);
});

it('starts a submission once, however often it is asked', async () => {
  const workflows = createSubmissionWorkflows(client);
  await Promise.all(Array.from({ length: 5 }, () => workflows.start(submission('once'))));
  const { runId } = await client.workflow.getHandle('submission-once').describe();
  await client.workflow.getHandle('submission-once').terminate();
  await workflows.start(submission('once'));
  expect((await client.workflow.getHandle('submission-once').describe()).runId).toBe(runId);
});

it('says that no judge polls, and that nothing answers, where that is so', async () => {
  expect(await createSubmissionWorkflows(client).health()).toEqual({ temporal: true, judging: false });
  const nowhere = createTemporalClient('127.0.0.1:1', 'default');
  expect(await createSubmissionWorkflows(nowhere).health()).toEqual({ temporal: false, judging: false });
  await nowhere.connection.close();
});
