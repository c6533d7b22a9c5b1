import { setTimeout as delay } from 'node:timers/promises';
import { Academy, type FaultName, type ProgramName } from '../end-to-end/academy.ts';
import { type Expected, examine, type Findings } from './invariants.ts';
import { MailServer } from '../support/mail-server.ts';
import { OwnPostgres } from './own-postgres.ts';
import { serverErrors } from './people.ts';

/** An academy whose every part may be ended, and what was acknowledged in it so far. */
export interface World {
  readonly academy: Academy;
  readonly postgres: OwnPostgres;
  readonly mail: MailServer;
  /** Addresses that the mail server refuses for good. */
  readonly bouncing: Set<string>;
  readonly acknowledged: Map<string, Expected>;
  /** Workflows whose history was deleted on purpose. */
  readonly forgotten: string[];
}

/** What a scenario came to. */
export interface Outcome extends Findings {
  readonly scenario: string;
  /** Processes and servers ended, connections cut. */
  readonly crashes: number;
  /** From a crash, or the end of an outage, until all it held up had gone on; null where none was measured. */
  readonly slowestRecoveryMs: number | null;
  /** What else there is to tell. */
  readonly note?: string;
}

export async function createWorld(
  sandbox: 'docker' | 'bubblewrap',
  faults: Partial<Record<ProgramName, readonly FaultName[]>>,
): Promise<World> {
  const mail = new MailServer();
  const bouncing = new Set<string>();
  mail.onRecipient = (address) => (bouncing.has(address) ? { code: 550, text: 'no such mailbox' } : null);
  await mail.open();
  const postgres = await OwnPostgres.start();
  // A process of bubblewrap does not tell whether it has a job: none waits for one.
  const pool = sandbox === 'bubblewrap' ? { SANDBOX_POOL: '0' } : {};
  const academy = await Academy.start(sandbox, { SMTP_URL: mail.url, ...pool }, { database: postgres, faults });
  return { academy, postgres, mail, bouncing, acknowledged: new Map(), forgotten: [] };
}

export async function endWorld({ academy, mail }: World): Promise<void> {
  await academy.stop();
  await mail.close();
}

/** Runs a scenario and then looks at everything that was ever acknowledged in this world. */
export async function observe(
  world: World,
  scenario: string,
  run: () => Promise<{ crashes: number; slowestRecoveryMs?: number; note?: string; violations?: readonly string[] }>,
): Promise<Outcome> {
  serverErrors.length = 0;
  const before = world.acknowledged.size;
  const repeatedBefore = world.mail.messageIds.length - new Set(world.mail.messageIds).size;
  const { crashes, slowestRecoveryMs = null, note, violations = [] } = await run();
  const findings = await examine(world);
  return {
    ...findings,
    scenario,
    crashes,
    slowestRecoveryMs,
    acknowledged: findings.acknowledged - before,
    cameOut: findings.cameOut - before,
    repeatedMails: findings.repeatedMails - repeatedBefore,
    ...(note !== undefined && { note }),
    violations: [...violations, ...serverErrors.splice(0), ...findings.violations],
  };
}

/** Waits for an armed fault. */
export async function waitForStroke(
  academy: Academy,
  fault: FaultName,
  timeoutMs = 60_000,
): Promise<{ at: number; pid: number }> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const struck = academy.struck(fault);
    if (struck !== null && struck.pid > 0) return struck;
    if (Date.now() > deadline) throw new Error(`${fault} was never reached`);
    await delay(20);
  }
}

type FaultsOfPrograms = Partial<Record<ProgramName, readonly FaultName[]>>;

/** All that any of these need. */
export function mergeFaults(...all: readonly FaultsOfPrograms[]): FaultsOfPrograms {
  const of = (program: ProgramName) => [...new Set(all.flatMap((faults) => faults[program] ?? []))];
  return Object.fromEntries(
    (['api', 'submissions', 'judging', 'notifications'] as const)
      .map((program) => [program, of(program)] as const)
      .filter(([, faults]) => faults.length > 0),
  );
}
