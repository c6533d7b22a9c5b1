import { randomUUID } from 'node:crypto';
import { askUntilKnown, createPerson, decision, override, waitForStages, Writer } from '../people.ts';
import { observe, type Outcome, type World } from '../world.ts';

async function reviewableOf({ academy, acknowledged }: World, writer: Writer): Promise<string> {
  const id = await writer.submit();
  acknowledged.set(id, 'open');
  await waitForStages(academy, [id], ['AWAITING_REVIEW']);
  return id;
}

const entriesOf = ({ academy }: World, writer: Writer) =>
  academy.query<{ amount: number }>('select amount from progress.xp_entries where task_id = ? order by sequence', [
    writer.taskId,
  ]);

/** P6: XP is awarded once, whatever number of decisions comes, and taken back and given again once. */
export function xpExactlyOnce(world: World, { decisions }: { decisions: number }): Promise<Outcome> {
  const { academy, acknowledged } = world;
  return observe(world, `P6 XP exactly once (${decisions} decisions at once)`, async () => {
    const violations: string[] = [];
    const reviewers = await Promise.all(Array.from({ length: 4 }, () => createPerson(academy, 'ACADEMY_REVIEWER')));
    const writer = await Writer.enrol(academy);
    const id = await reviewableOf(world, writer);
    const answers = await Promise.all(
      Array.from({ length: decisions }, (_, index) =>
        askUntilKnown(academy, decision(reviewers[index % 4]?.token ?? '', id, 'APPROVED')),
      ),
    );
    const statuses = answers.map(({ status }) => status);
    const isRight = statuses.filter((status) => status === 201).length === 1 && statuses.every((s) => s === 201 || s === 409);
    if (!isRight) violations.push(`${decisions} decisions at once: ${statuses.join()}`);
    await override(academy, id, 'REJECTED');
    await override(academy, id, 'APPROVED');
    acknowledged.set(id, 'approved');
    const amounts = (await entriesOf(world, writer)).map(({ amount }) => amount);
    const [xp = 0] = amounts;
    if (xp <= 0 || amounts.join() !== [xp, -xp, xp].join()) violations.push(`approve, overturn, approve: ${amounts.join()}`);

    const second = await Writer.enrol(academy);
    const rejected = await reviewableOf(world, second);
    await askUntilKnown(academy, decision(academy.reviewerToken, rejected, 'REJECTED'));
    acknowledged.set(rejected, 'rejected');
    const approved = await reviewableOf(world, second);
    await askUntilKnown(academy, decision(academy.reviewerToken, approved, 'APPROVED'));
    acknowledged.set(approved, 'approved');
    const entries = await entriesOf(world, second);
    if (entries.map(({ amount }) => amount).join() !== `${xp}`)
      violations.push(`reject, resubmit, approve: ${JSON.stringify(entries)}`);
    return { crashes: 0, violations };
  });
}

/** P9: of many reviewers one decides; the others are told so. */
export function oneDecision(world: World, { reviewers, rounds }: { reviewers: number; rounds: number }): Promise<Outcome> {
  const { academy, acknowledged } = world;
  return observe(world, `P9 one decision (${reviewers} reviewers, ${rounds} rounds)`, async () => {
    const violations: string[] = [];
    const people = await Promise.all(Array.from({ length: reviewers }, () => createPerson(academy, 'ACADEMY_REVIEWER')));
    for (let round = 0; round < rounds; round += 1) {
      const id = await reviewableOf(world, await Writer.enrol(academy));
      const requests = people.map(({ token }, index) => decision(token, id, index % 2 === 0 ? 'APPROVED' : 'REJECTED'));
      const answers = await Promise.all(requests.map((request) => askUntilKnown(academy, request)));
      const winner = answers.findIndex(({ status }) => status === 201);
      const lost = answers.filter(({ status, body }) => status === 409 && String(body['type']).endsWith('already-decided'));
      if (winner === -1 || lost.length !== reviewers - 1) {
        violations.push(
          `${reviewers} reviewers: ${answers.map(({ status, body }) => `${status} ${String(body['type'])}`).join()}`,
        );
      }
      acknowledged.set(id, winner % 2 === 0 ? 'approved' : 'rejected');
      const request = requests[winner];
      if (request === undefined) continue;
      const again = await askUntilKnown(academy, request);
      if (JSON.stringify(again.body) !== JSON.stringify(answers[winner]?.body)) violations.push('one key, two answers');
    }

    const raced = await Writer.enrol(academy);
    const id = await reviewableOf(world, raced);
    const decided = askUntilKnown(academy, decision(academy.reviewerToken, id, 'APPROVED'));
    const overridden = overrideTask(world, raced.taskId);
    const [{ status }] = await Promise.all([decided, overridden]);
    acknowledged.set(id, 'rejected');
    const audit = await academy.query<{ action: string }>(
      'select action from operations.audit where target_id in (?, ?) order by id',
      [id, raced.taskId],
    );
    const actions = audit.map(({ action }) => action).join();
    const expected = status === 201 ? 'submission.decided,task.overridden' : 'task.overridden';
    if (actions !== expected) violations.push(`an override and a decision (${status}) at once left the audit ${actions}`);
    return { crashes: 0, violations, note: `the override came ${status === 201 ? 'after' : 'instead of'} the decision` };
  });
}

/** Looks and overrides, again where the task has changed in between, as the page does. */
async function overrideTask({ academy }: World, taskId: string): Promise<void> {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const [task] = await academy.query<{ version: number }>('select version from learning.tasks where id = ?', [taskId]);
    const request = {
      method: 'PATCH',
      path: `/api/admin/tasks/${taskId}`,
      token: academy.adminToken,
      key: randomUUID(),
      body: { status: 'REJECTED', reason: 'chaos' },
      headers: { 'if-match': `"${task?.version}"` },
    } as const;
    for (;;) {
      const answer = await askUntilKnown(academy, request);
      if (answer.status === 200) return;
      if (answer.status === 412) break;
      if (answer.status !== 202) throw new Error(`override: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
  }
  throw new Error('the task changed all the time');
}
