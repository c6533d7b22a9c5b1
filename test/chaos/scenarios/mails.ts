import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { faultPoints } from '../../../src/faults.ts';
import type { FaultName, ProgramName } from '../../end-to-end/academy.ts';
import { waitFor } from '../../support/wait.ts';
import { password } from '../../support/factories.ts';
import { askUntilKnown } from '../people.ts';
import { observe, type Outcome, waitForStroke, type World } from '../world.ts';

const sendFaults = faultPoints.map((point): FaultName => `send-mail:${point}:worker`);
const enqueueFaults = faultPoints.map((point): FaultName => `enqueue-mail:${point}:worker`);
/** Between the server's yes and our note of it. */
export const afterYes: FaultName = 'send-mail:after-effect:worker';
export const allMailFaults = [...sendFaults, ...enqueueFaults];
export const mailFaults: Partial<Record<ProgramName, readonly FaultName[]>> = {
  notifications: sendFaults,
  submissions: enqueueFaults,
};

/**
 * P8: one mail for each event. Its sender dies at each point, its server is away, an address does not exist. Only a death between the
 * server's yes and our note of it may bring a mail twice, under one Message-ID.
 */
export function oneMailPerEvent(world: World, size: { faults: readonly FaultName[]; outageMs: number }): Promise<Outcome> {
  const { academy, mail, bouncing } = world;
  return observe(world, 'P8 one mail per event', async () => {
    const violations: string[] = [];
    let crashes = 0;
    for (const fault of size.faults) {
      const before = repeated();
      academy.arm(fault);
      await register(address());
      await waitForStroke(academy, fault);
      crashes += 1;
      await waitUntilDelivered();
      const mayRepeat = fault.startsWith('send-mail:after');
      if (repeated() > before && !mayRepeat) violations.push(`${fault} brought a mail twice`);
    }

    await mail.close();
    for (let count = 0; count < 3; count += 1) await register(address());
    await delay(size.outageMs);
    await mail.open();
    const since = Date.now();
    await waitUntilDelivered();
    const slowestRecoveryMs = Date.now() - since;

    const refused = address();
    bouncing.add(refused);
    await register(refused);
    await register(address());
    await waitUntilDelivered();
    return { crashes, slowestRecoveryMs, violations, note: `mail server away for ${size.outageMs / 1000} s` };
  });

  function repeated(): number {
    return mail.messageIds.length - new Set(mail.messageIds).size;
  }

  async function register(email: string): Promise<void> {
    const { status } = await askUntilKnown(academy, {
      path: '/api/auth/register',
      token: 'none',
      body: { email, name: 'C. Student', password },
    });
    if (status !== 202) throw new Error(`register: ${status}`);
  }

  async function waitUntilDelivered(): Promise<void> {
    await waitFor(
      'all mails',
      async () => {
        const waiting = await academy.query(
          'select 1 from notifications.deliveries where delivered_at is null and failed_at is null',
        );
        return waiting.length === 0 ? true : null;
      },
      size.outageMs + 120_000,
    );
  }
}

const address = () => `chaos-${randomBytes(4).toString('hex')}@example.test`;
