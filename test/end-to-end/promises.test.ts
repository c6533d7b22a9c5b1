import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { probeSandboxes } from '../../src/sandbox/choose.ts';
import { acceptedIsNeverLost, acceptingFaults, oneSubmitIsOneWorkflow } from '../chaos/scenarios/accepting.ts';
import { verdictIsForTheCommit } from '../chaos/scenarios/commits.ts';
import { oneDecision, xpExactlyOnce } from '../chaos/scenarios/decisions.ts';
import { gridFaults, shortCells, workersDieAround } from '../chaos/scenarios/grid.ts';
import { afterYes, mailFaults, oneMailPerEvent } from '../chaos/scenarios/mails.ts';
import { outageFaults, postgresMayRestart, temporalMayRestart, unknownIsHonest } from '../chaos/scenarios/outages.ts';
import { reportLine } from '../chaos/report.ts';
import { createWorld, endWorld, mergeFaults, type Outcome, type World } from '../chaos/world.ts';

/** The promises in short; `npm run test:chaos` has the whole grid (docs/chaos.md). */
const timeoutMs = 480_000;

const cells = shortCells();
const usable = (await probeSandboxes()).find(({ usable: isUsable }) => isUsable)?.kind;

(usable === undefined && process.env['CI'] === undefined ? describe.skip : describe)('what is promised, in short', () => {
  let world: World;

  beforeAll(async () => {
    const faults = mergeFaults(acceptingFaults, gridFaults(cells), mailFaults, outageFaults);
    world = await createWorld(usable === 'docker' ? 'bubblewrap' : (usable ?? 'bubblewrap'), faults);
  }, timeoutMs);

  afterAll(async () => {
    await endWorld(world);
  }, timeoutMs);

  const holds = (name: string, run: () => Promise<Outcome>) =>
    it(
      name,
      async () => {
        const outcome = await run();
        process.stderr.write(`${new Date().toISOString()} ${reportLine(outcome)}\n`);
        expect(outcome).toMatchObject({ violations: [], duplicates: 0, leaks: 0 });
      },
      timeoutMs,
    );

  holds('P1: a 202 is never lost', () => acceptedIsNeverLost(world, { kills: 8 }));
  holds('P2: one submit is one workflow', () => oneSubmitIsOneWorkflow(world, { parallel: 50, isHistoryDeleted: false }));
  holds('P3: a worker may die at each step', () => workersDieAround(world, cells, { students: 2 }));
  holds('P4: Temporal may be killed', () => temporalMayRestart(world, { submissions: 6 }));
  holds('P5: PostgreSQL may be killed', () => postgresMayRestart(world, { stops: 1, cuts: 8, readOnlyMs: 0 }));
  holds('P6: XP is awarded exactly once', () => xpExactlyOnce(world, { decisions: 100 }));
  holds('P8: one mail per event', () => oneMailPerEvent(world, { faults: [afterYes], outageMs: 2_000 }));
  holds('P9: one decision', () => oneDecision(world, { reviewers: 20, rounds: 1 }));
  holds('P10: an unknown outcome is honest', () => unknownIsHonest(world));
  holds('P25: the verdict is for the commit submitted', () => verdictIsForTheCommit(world));
});
