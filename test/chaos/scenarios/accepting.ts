import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { createTemporalClient } from '../../../src/temporal/client.ts';
import type { FaultName } from '../../end-to-end/academy.ts';
import { ask, askUntilKnown, waitForStages, Writer } from '../people.ts';
import { observe, type Outcome, type World } from '../world.ts';

/** Where the api dies between a request and its answer. */
const pointsWithTemporal = [
  'submit:after-effect:worker',
  'submit:after-commit:worker',
  'relay-start:after-effect:worker',
  'respond:before:worker',
] as const satisfies readonly FaultName[];
const pointsWithoutTemporal = [
  'submit:after-effect:worker',
  'submit:after-commit:worker',
  'relay-start:before:worker',
  'respond:before:worker',
] as const satisfies readonly FaultName[];

export const acceptingFaults = { api: [...new Set([...pointsWithTemporal, ...pointsWithoutTemporal])] };

/** P1: what was answered with 202 is never lost, wherever the api dies, with Temporal or without. */
export function acceptedIsNeverLost(world: World, { kills }: { kills: number }): Promise<Outcome> {
  const { academy, acknowledged } = world;

  async function submitAndKill(fault: FaultName): Promise<{ id: string; problem: string | null }> {
    const request = await (await Writer.enrol(academy)).write();
    academy.arm(fault);
    const first = await ask(academy, request);
    const second = await askUntilKnown(academy, request);
    const id = String(second.body['submissionId']);
    if (academy.struck(fault) === null) return { id, problem: `${fault} was never reached` };
    if (second.status !== 202) return { id, problem: `a repeat after ${fault}: ${second.status}` };
    acknowledged.set(id, 'open');
    const isSame = first.status !== 202 || first.body['submissionId'] === id;
    return { id, problem: isSame ? null : `one key, two submissions after ${fault}` };
  }

  /** Until every row is known to be started, from when it could be. */
  async function waitUntilStarted(since: number): Promise<number> {
    const deadline = Date.now() + 60_000;
    for (;;) {
      const unstarted = await academy.query(
        "select 1 from submissions.submissions where started_at is null and closed_at is null and status = 'SUBMITTED'",
      );
      if (unstarted.length === 0) return Date.now() - since;
      if (Date.now() > deadline) throw new Error(`${unstarted.length} submissions are not started`);
      await delay(50);
    }
  }

  return observe(world, 'P1 accepted is never lost', async () => {
    const problems: (string | null)[] = [];
    for (let i = 0; i < kills / 2; i += 1) {
      const { problem } = await submitAndKill(pointsWithTemporal[i % 4] ?? pointsWithTemporal[0]);
      problems.push(problem);
    }
    let slowestRecoveryMs = await waitUntilStarted(Date.now());
    await academy.kill('temporal');
    for (let i = 0; i < kills / 2; i += 1) {
      const { problem } = await submitAndKill(pointsWithoutTemporal[i % 4] ?? pointsWithoutTemporal[0]);
      problems.push(problem);
    }
    academy.startProcess('temporal');
    slowestRecoveryMs = Math.max(slowestRecoveryMs, await waitUntilStarted(Date.now()));
    return { crashes: kills + 1, slowestRecoveryMs, violations: problems.filter((problem) => problem !== null) };
  });
}

/** P2: one submit is one submission and one workflow, also after the workflow has closed and after its history is deleted. */
export function oneSubmitIsOneWorkflow(world: World, size: { parallel: number; isHistoryDeleted: boolean }): Promise<Outcome> {
  const { parallel } = size;
  const { academy, acknowledged, forgotten } = world;
  return observe(world, 'P2 one submit is one workflow', async () => {
    const violations: string[] = [];
    const writer = await Writer.enrol(academy);
    const request = await writer.write();
    const same = await Promise.all(Array.from({ length: parallel }, () => askUntilKnown(academy, request)));
    const ids = new Set(same.map(({ body }) => String(body['submissionId'])));
    const id = [...ids][0] ?? '';
    if (ids.size !== 1 || same.some(({ status }) => status !== 202)) {
      violations.push(`${parallel} submits with one key: ${ids.size} submissions, ${same.map(({ status }) => status).join()}`);
    }

    const other = await Writer.enrol(academy);
    const otherRequest = await other.write();
    const different = await Promise.all(
      Array.from({ length: parallel }, () => askUntilKnown(academy, { ...otherRequest, key: randomUUID() })),
    );
    const accepted = different.filter(({ status }) => status === 202);
    const refused = different.filter(({ status }) => status === 409);
    if (accepted.length !== 1 || refused.length !== parallel - 1) {
      violations.push(`${parallel} submits with as many keys: ${different.map(({ status }) => status).join()}`);
    }
    acknowledged.set(String(accepted[0]?.body['submissionId']), 'open');

    const cancelled = await askUntilKnown(academy, { path: `/api/submissions/${id}/cancel`, token: writer.token });
    if (cancelled.status !== 202) violations.push(`cancel: ${cancelled.status} ${JSON.stringify(cancelled.body)}`);
    await waitForStages(academy, [id], ['CLOSED']);
    acknowledged.set(id, 'cancelled');
    await repeat('after it closed');

    if (!size.isHistoryDeleted) return { crashes: 0, violations };
    const [row] = await academy.query<{ workflow_id: string }>('select workflow_id from submissions.submissions where id = ?', [
      id,
    ]);
    const workflowId = row?.workflow_id ?? '';
    forgotten.push(workflowId);
    await deleteHistory(academy.temporalAddress, workflowId);
    await repeat('after its history was deleted');
    return { crashes: 0, violations };

    async function repeat(when: string): Promise<void> {
      const answer = await askUntilKnown(academy, request);
      const isSame = answer.status === 202 && answer.body['submissionId'] === id;
      if (!isSame) violations.push(`a repeat ${when}: ${answer.status} ${JSON.stringify(answer.body)}`);
      const rows = await academy.query('select 1 from submissions.submissions where task_id = ?', [writer.taskId]);
      if (rows.length !== 1) violations.push(`${rows.length} submissions of one submit ${when}`);
      const runs = await academy.query('select 1 from submissions.submissions where task_id = ? and started_at is null', [
        writer.taskId,
      ]);
      if (runs.length > 0) violations.push(`it would be started again ${when}`);
    }
  });
}

async function deleteHistory(address: string, workflowId: string): Promise<void> {
  const client = createTemporalClient(address, 'default');
  try {
    const { runId } = await client.workflow.getHandle(workflowId).describe();
    await client.workflowService.deleteWorkflowExecution({ namespace: 'default', workflowExecution: { workflowId, runId } });
    // The development server takes half a minute.
    const deadline = Date.now() + 180_000;
    while (Date.now() < deadline) {
      const isThere = await client.workflow
        .getHandle(workflowId)
        .describe()
        .then(
          () => true,
          () => false,
        );
      if (!isThere) return;
      await delay(100);
    }
    throw new Error(`the history of ${workflowId} is still there`);
  } finally {
    await client.connection.close();
  }
}
