import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { faultPoints, faultVictims } from '../../src/faults.ts';
import { reportLine, reportTable } from './report.ts';
import { acceptedIsNeverLost, acceptingFaults, oneSubmitIsOneWorkflow } from './scenarios/accepting.ts';
import { verdictIsForTheCommit } from './scenarios/commits.ts';
import { oneDecision, xpExactlyOnce } from './scenarios/decisions.ts';
import { cellsOf, gridFaults, workerMayDieAnywhere } from './scenarios/grid.ts';
import { allMailFaults, mailFaults, oneMailPerEvent } from './scenarios/mails.ts';
import { outageFaults, postgresMayRestart, temporalMayRestart, unknownIsHonest } from './scenarios/outages.ts';
import { poisonIsContained } from './scenarios/poison.ts';
import { shuffled } from './shuffle.ts';
import { isWhole, sizes } from './sizes.ts';
import { createWorld, endWorld, mergeFaults, type Outcome, type World } from './world.ts';

/**
 * The reliability promises in full (docs/chaos.md). The grid's cells come in an order that the seed gives; the same seed gives the same
 * order: `npm run test:chaos -- --seed=N`.
 */
const timeoutMs = 3_600_000;
const sandbox = process.env['CHAOS_SANDBOX'] === 'docker' ? 'docker' : 'bubblewrap';
const size = sizes[isWhole ? 'whole' : 'usual'];
const seed = jest.getSeed();
const outcomes: Outcome[] = [];

/** How many academies the grid is spread over: it is waiting, most of the time. */
const lanes = 4;

const print = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

function holds(name: string, run: () => Promise<readonly Outcome[]>): void {
  it(
    name,
    async () => {
      const found = await run();
      outcomes.push(...found);
      for (const outcome of found) print(reportLine(outcome));
      for (const outcome of found) expect(outcome).toMatchObject({ violations: [], duplicates: 0, leaks: 0 });
    },
    timeoutMs,
  );
}

beforeAll(() => print(`chaos: seed ${seed}, sandbox ${sandbox}`));
afterAll(() => print(`\n${reportTable(outcomes)}\n`));

describe('the grid', () => {
  const worlds: World[] = [];
  const cells = shuffled(
    // Every point for the worker's own death, and for all where there is time for it (180 cells).
    faultVictims.flatMap((victim) => cellsOf(victim, victim === 'worker' || isWhole ? faultPoints : ['after-effect'])),
    seed,
  );
  const laneOf = (lane: number) => cells.filter((_, index) => index % lanes === lane);

  beforeAll(async () => {
    for (let lane = 0; lane < lanes; lane += 1) worlds.push(await createWorld(sandbox, gridFaults(laneOf(lane))));
  }, timeoutMs);
  afterAll(async () => {
    await Promise.all(worlds.map(endWorld));
  }, timeoutMs);

  holds('P3: whoever dies at whatever step, the end is the same', () =>
    Promise.all(
      worlds.map((world, lane) =>
        workerMayDieAnywhere(world, laneOf(lane), `P3 ${laneOf(lane).length} cells of the grid, lane ${lane + 1}`, print),
      ),
    ),
  );
});

describe('the other promises', () => {
  let world: World;

  beforeAll(async () => {
    world = await createWorld(sandbox, mergeFaults(acceptingFaults, mailFaults, outageFaults));
  }, timeoutMs);
  afterAll(async () => {
    await endWorld(world);
  }, timeoutMs);

  holds('P1: a 202 is never lost', async () => [await acceptedIsNeverLost(world, { kills: size.kills })]);
  holds('P2: one submit is one workflow', async () => [
    await oneSubmitIsOneWorkflow(world, { parallel: 50, isHistoryDeleted: true }),
  ]);
  holds('P4: Temporal may be killed', async () => [await temporalMayRestart(world, { submissions: size.submissions })]);
  holds('P5: PostgreSQL may be killed', async () => [
    await postgresMayRestart(world, { stops: size.stops, cuts: 40, readOnlyMs: size.readOnlyMs }),
  ]);
  holds('P6: XP is awarded exactly once', async () => [await xpExactlyOnce(world, { decisions: 100 })]);
  holds('P8: one mail per event', async () => [
    await oneMailPerEvent(world, { faults: allMailFaults, outageMs: size.mailOutageMs }),
  ]);
  holds('P9: one decision', async () => [await oneDecision(world, { reviewers: 20, rounds: 5 })]);
  holds('P10: an unknown outcome is honest', async () => [await unknownIsHonest(world)]);
  holds('P16: poison is contained', async () => [await poisonIsContained(world, { good: 20 })]);
  holds('P25: the verdict is for the commit submitted', async () => [await verdictIsForTheCommit(world)]);
});
