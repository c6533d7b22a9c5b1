import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { faultPoints, type FaultPoint, type FaultStep, type FaultVictim } from '../../../src/faults.ts';
import { signal } from '../../../src/embedded/process-identity.ts';
import type { FaultName, ProgramName } from '../../end-to-end/academy.ts';
import { askUntilKnown, decision, override, waitForStages, Writer } from '../people.ts';
import { zombieMs } from '../sizes.ts';
import { observe, type Outcome, waitForStroke, type World } from '../world.ts';

/** The steps of the grid, and the program that makes each. */
const programOf = {
  'relay-start': 'submissions',
  'fetch-source': 'submissions',
  clone: 'judging',
  'container-create': 'judging',
  'container-start': 'judging',
  'container-wait': 'judging',
  collect: 'judging',
  'record-ci': 'judging',
  'await-review': 'submissions',
  'decide-handler': 'api',
  'apply-tx': 'submissions',
  'reverse-xp': 'submissions',
  'enqueue-mail': 'submissions',
  'send-mail': 'notifications',
  close: 'submissions',
} as const satisfies Partial<Record<FaultStep, ProgramName>>;
type GridStep = keyof typeof programOf;
const gridSteps = Object.keys(programOf) as GridStep[];

interface Cell {
  readonly step: GridStep;
  readonly fault: FaultName;
  readonly victim: FaultVictim;
}

/** All cells of the grid for one victim: steps by points. */
export function cellsOf(victim: FaultVictim, points: readonly FaultPoint[] = faultPoints): Cell[] {
  return gridSteps.flatMap((step) => points.map((point) => ({ step, victim, fault: `${step}:${point}:${victim}` as const })));
}

/** Each step once, its point in turn. */
export function shortCells(): Cell[] {
  return gridSteps.map((step, index) => {
    const fault = `${step}:${faultPoints[index % faultPoints.length] ?? 'before'}:worker` as const;
    return { step, victim: 'worker', fault };
  });
}

/** The api is made to forget the start, so that the relay makes it. */
const withoutStart: FaultName = 'submit:after-commit:worker';

export function gridFaults(cells: readonly Cell[]): Partial<Record<ProgramName, readonly FaultName[]>> {
  const faultsOf = (program: ProgramName) => cells.filter(({ step }) => programOf[step] === program).map(({ fault }) => fault);
  return {
    api: [...faultsOf('api'), withoutStart],
    submissions: faultsOf('submissions'),
    judging: faultsOf('judging'),
    notifications: faultsOf('notifications'),
  };
}

/** P3, one cell after the other, each with a submission of its own: how long each takes to recover is known. */
export function workerMayDieAnywhere(
  world: World,
  cells: readonly Cell[],
  title: string,
  print: (text: string) => void,
): Promise<Outcome> {
  const { academy } = world;
  return observe(world, title, async () => {
    let slowestRecoveryMs = 0;
    let slowest = '';
    const violations: string[] = [];
    for (const cell of cells) {
      try {
        const recoveryMs = await strike(world, cell);
        print(`  ${cell.fault}: ${(recoveryMs / 1000).toFixed(1)} s`);
        if (recoveryMs > slowestRecoveryMs) slowest = cell.fault;
        slowestRecoveryMs = Math.max(slowestRecoveryMs, recoveryMs);
        // A zombie's work is taken over after its timeouts; what it itself holds, it holds while it is stopped.
        const boundMs = 30_000 + (cell.victim === 'zombie' ? zombieMs : 0);
        if (recoveryMs > boundMs) violations.push(`${cell.fault} took ${recoveryMs} ms to recover`);
      } catch (error) {
        violations.push(`${cell.fault}: ${String(error)}`);
        academy.disarm(cell.fault);
      }
    }
    return { crashes: cells.length, slowestRecoveryMs, note: `slowest: ${slowest}`, violations };
  });
}

/** One cell. Returns from the stroke until the step had its effect, in ms. */
async function strike(world: World, { step, fault, victim }: Cell): Promise<number> {
  const { academy, acknowledged } = world;
  const writer = await Writer.enrol(academy);
  const request = await writer.write();
  const nemesis = () => strokeAndRepair(world, fault, victim, programOf[step]);

  const isEarly = gridSteps.indexOf(step) <= gridSteps.indexOf('await-review');
  if (step === 'relay-start') academy.arm(withoutStart);
  if (isEarly) academy.arm(fault);
  const early = isEarly ? nemesis() : null;
  const submitted = await askUntilKnown(academy, request);
  if (submitted.status !== 202) throw new Error(`submit: ${submitted.status} ${JSON.stringify(submitted.body)}`);
  const id = String(submitted.body['submissionId']);
  acknowledged.set(id, 'open');
  await waitForStages(academy, [id], ['AWAITING_REVIEW']);
  const awaitedAt = Date.now();
  if (early !== null) {
    const struckAt = await early;
    return Math.max(0, awaitedAt - struckAt);
  }

  academy.arm(fault);
  const late = nemesis();
  if (step === 'close') {
    await askUntilKnown(academy, { path: `/api/submissions/${id}/cancel`, token: writer.token });
    await waitForStages(academy, [id], ['CLOSED']);
    acknowledged.set(id, 'cancelled');
  } else {
    const decided = await askUntilKnown(academy, decision(academy.reviewerToken, id, 'APPROVED'));
    if (decided.status !== 201) throw new Error(`decide: ${decided.status} ${JSON.stringify(decided.body)}`);
    acknowledged.set(id, 'approved');
    if (step === 'reverse-xp') {
      await override(academy, id, 'REJECTED');
      acknowledged.set(id, 'rejected');
    }
    if (step === 'enqueue-mail' || step === 'send-mail') await waitForMails(world);
  }
  const doneAt = Date.now();
  return Math.max(0, doneAt - (await late));
}

/** Has the fault strike, ends whom it is about, and brings that back. Returns when it struck, in Unix milliseconds. */
async function strokeAndRepair({ academy, postgres }: World, fault: FaultName, victim: FaultVictim, program: ProgramName) {
  const { at, pid } = await waitForStroke(academy, fault, 120_000);
  if (victim === 'postgres') {
    await postgres.stopImmediately();
    await postgres.startAgain();
    academy.letGo(fault);
  }
  if (victim === 'temporal') {
    await academy.kill('temporal');
    academy.startProcess('temporal');
    academy.letGo(fault);
  }
  if (victim === 'zombie') {
    // The api has the port: nobody can stand in for it.
    const relief = program === 'api' ? null : `${program}-relief`;
    if (relief !== null) academy.startProcess(program, {}, relief);
    await delay(zombieMs);
    signal(pid, 'SIGCONT');
    // The zombie must have its say before it is alone again.
    await delay(2_000);
    if (relief !== null) await academy.terminate(relief);
  }
  return at;
}

async function waitForMails({ academy }: World): Promise<void> {
  const deadline = Date.now() + 120_000;
  for (;;) {
    const waiting = await academy
      .query('select 1 from notifications.deliveries where delivered_at is null and failed_at is null')
      .catch(() => ['PostgreSQL is away']);
    if (waiting.length === 0) return;
    if (Date.now() > deadline) throw new Error(`${waiting.length} mails are not delivered`);
    await delay(50);
  }
}

/**
 * For one submission that meets every fault of the judge: each time 10 s until the dead worker is noticed, and up to 15 s until the next
 * try, which is two minutes with nothing else to do.
 */
const stormMs = 240_000;

/** P3 in short: all cells are armed at once, and some submissions go all the way, through whatever dies around them. */
export function workersDieAround(world: World, cells: readonly Cell[], { students }: { students: number }): Promise<Outcome> {
  const { academy, acknowledged } = world;
  return observe(world, `P3 a worker may die anywhere (${cells.length} steps at once)`, async () => {
    for (const { fault } of cells) academy.arm(fault);
    academy.arm(withoutStart);
    const since = Date.now();
    await Promise.all(Array.from({ length: students }, goAllTheWay));
    await waitForMails(world);
    const violations = cells
      .filter(({ fault }) => academy.struck(fault) === null)
      .map(({ fault }) => `${fault} was never reached`);
    return { crashes: cells.length + 1, slowestRecoveryMs: Date.now() - since, note: 'all of it, not one recovery', violations };
  });

  /** Approved, overridden, submitted again, taken back. */
  async function goAllTheWay(): Promise<void> {
    const writer = await Writer.enrol(academy);
    const first = await writer.submit();
    acknowledged.set(first, 'open');
    await waitForStages(academy, [first], ['AWAITING_REVIEW'], stormMs);
    const decided = await askUntilKnown(academy, decision(academy.reviewerToken, first, 'APPROVED', randomUUID()));
    if (decided.status !== 201) throw new Error(`decide: ${decided.status} ${JSON.stringify(decided.body)}`);
    await override(academy, first, 'REJECTED');
    acknowledged.set(first, 'rejected');
    const second = await writer.submit();
    acknowledged.set(second, 'open');
    await waitForStages(academy, [second], ['AWAITING_REVIEW'], stormMs);
    await askUntilKnown(academy, { path: `/api/submissions/${second}/cancel`, token: writer.token });
    await waitForStages(academy, [second], ['CLOSED']);
    acknowledged.set(second, 'cancelled');
  }
}
