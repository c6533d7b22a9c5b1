import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { Delivery } from '../../src/database/entities/notifications.ts';
import { smtpConnections } from '../../src/mail/mailer.ts';
import { notify } from '../../src/services/notifications.ts';
import { createTemporalClient, type TemporalClient } from '../../src/temporal/client.ts';
import { createUser } from '../support/factories.ts';
import { MailServer } from '../support/mail-server.ts';
import { waitFor } from '../support/wait.ts';
import { Academy } from './academy.ts';

/** Processes of their own, a Temporal server, and a mail server that comes and goes. */
const timeoutMs = 180_000;

const password = 'only the mail server knows it';

let server: MailServer;
let academy: Academy;
let client: TemporalClient;
let folder: string;

beforeAll(async () => {
  server = new MailServer({
    authOptional: false,
    allowInsecureAuth: true,
    onAuth: (auth, _session, callback) =>
      auth.password === password ? callback(null, { user: 'atelier' }) : callback(new Error('no')),
  });
  await server.open();
  folder = await mkdtemp(join(tmpdir(), 'atelier-smtp-'));
  // As container secrets come: in a file, with a line feed at its end.
  const secretPath = join(folder, 'smtp-url');
  await writeFile(secretPath, `smtp://atelier:${encodeURIComponent(password)}@127.0.0.1:${server.port}\n`);
  academy = await Academy.start('none', { SMTP_URL_FILE: secretPath, MAIL_FROM: 'Atelier <atelier@example.test>' });
  client = createTemporalClient(academy.temporalAddress, 'default');
}, timeoutMs);

afterAll(async () => {
  await client.connection.close();
  await academy.stop();
  await server.close();
  await rm(folder, { recursive: true, force: true });
}, timeoutMs);

beforeEach(() => {
  server.received.length = 0;
  server.tries.length = 0;
  server.onRecipient = () => null;
  server.onMail = () => null;
});

/** So many mails to tell one new user; returns the ids of their deliveries. */
async function createDeliveries(count: number): Promise<string[]> {
  const { id: userId } = await createUser(academy.orm, 'INSTRUCTOR');
  await academy.orm.em.fork().transactional(async (tx) => {
    for (let told = 0; told < count; told += 1) await notify(tx, { userId, kind: 'welcome', causeId: newId() });
  });
  const rows = await academy.orm.em.fork().find(Delivery, { notification: { user: userId } });
  return rows.map(({ id }) => id);
}

const rowsOf = (ids: readonly string[]) => academy.orm.em.fork().find(Delivery, { id: [...ids] });
const messageIdOf = (id: string) => `<${id}@127.0.0.1>`;

/** Waits until all are marked as sent. */
const arrival = (ids: readonly string[]) =>
  waitFor(
    `${ids.length} mails`,
    async () => ((await rowsOf(ids)).every(({ deliveredAt }) => deliveredAt !== null) ? true : null),
    90_000,
  );

/** How often the server has taken each. */
function countsOf(ids: readonly string[]): number[] {
  return ids.map((id) => server.messageIds.filter((messageId) => messageId === messageIdOf(id)).length);
}

describe('mail', () => {
  it(
    'a worker says at its start whether the server is there, and no password',
    async () => {
      const said = (text: string) =>
        waitFor(`"${text}" in the log`, async () => (academy.log('notifications').includes(text) ? true : null));
      await said('the mail server is there');
      await academy.kill('notifications');
      await server.close();
      academy.startProcess('notifications');
      await said('the mail server cannot be used');
      await server.open();
      expect(academy.log('notifications')).toContain(`127.0.0.1:${server.port}`);
      expect(academy.log('notifications')).not.toMatch(/only the mail server|only%20the/);
    },
    timeoutMs,
  );

  it(
    'fifty mails while the workers are killed: none is lost, and what comes twice has one Message-ID',
    async () => {
      // Slow enough that some are under way at any moment.
      server.onMail = () => delay(100).then(() => null);
      const ids = await createDeliveries(50);
      const received = (count: number) =>
        waitFor(`${count} mails`, async () => (server.received.length >= count ? true : null), 60_000);
      await received(5);
      await academy.kill('notifications');
      academy.startProcess('notifications');
      await received(20);
      await academy.kill('submissions');
      academy.startProcess('submissions');
      await received(35);
      await academy.kill('notifications');
      academy.startProcess('notifications');
      await arrival(ids);
      const counts = countsOf(ids);
      expect(counts.every((count) => count >= 1)).toBe(true);
      // What was in the server's hands when its worker was killed may come again: of two kills, as many as there are connections.
      expect(server.received.length - ids.length).toBeLessThanOrEqual(2 * smtpConnections);
      const known = new Set(ids.map(messageIdOf));
      expect(server.messageIds.every((messageId) => known.has(messageId))).toBe(true);
    },
    timeoutMs,
  );

  it(
    'nothing is lost while the server is away; the last error is shown meanwhile, and each mail comes once',
    async () => {
      await server.close();
      const ids = await createDeliveries(10);
      const errors = () => rowsOf(ids).then((rows) => rows.filter(({ lastError }) => lastError?.includes('ECONNREFUSED')));
      await waitFor('the error of each', async () => ((await errors()).length === ids.length ? true : null));
      await delay(20_000);
      expect((await rowsOf(ids)).every(({ deliveredAt, failedAt }) => deliveredAt === null && failedAt === null)).toBe(true);
      await server.open();
      await arrival(ids);
      expect(countsOf(ids)).toEqual(ids.map(() => 1));
    },
    timeoutMs,
  );

  it(
    'a server that asks to come again later gets the mail later',
    async () => {
      server.onRecipient = (address) =>
        server.tries.filter((tried) => tried === address).length === 1 ? { code: 451, text: '4.7.1 Greylisted' } : null;
      const ids = await createDeliveries(1);
      await arrival(ids);
      expect(countsOf(ids)).toEqual([1]);
      expect(server.tries).toHaveLength(2);
    },
    timeoutMs,
  );

  it(
    'a refusal for good ends the delivery and completes its workflow; an admin has it tried again, in another one',
    async () => {
      server.onRecipient = (address) => ({ code: 550, text: `5.1.1 <${address}>: no such user` });
      const [id = ''] = await createDeliveries(1);
      await waitFor('the end', async () => ((await rowsOf([id]))[0]?.failedAt === null ? null : true));
      const statusOf = async (workflowId: string) => {
        await client.workflow.getHandle(workflowId).result();
        return (await client.workflow.getHandle(workflowId).describe()).status.name;
      };
      expect(await statusOf(`delivery-${id}`)).toBe('COMPLETED');
      expect(server.tries).toHaveLength(1);
      expect((await rowsOf([id]))[0]).toMatchObject({ lastError: 'RCPT TO: 550 5.1.1 <…>: no such user' });

      server.onRecipient = () => null;
      const { email } = await createUser(academy.orm, 'SUPER_ADMIN');
      const token = await academy.login(email);
      const { items } = await academy.get<{ items: { id: string }[] }>(token, '/api/admin/deliveries');
      expect(items.map((item) => item.id)).toEqual([id]);
      expect(await academy.post(token, `/api/admin/deliveries/${id}/retry`, {})).toMatchObject({ status: 202 });
      await arrival([id]);
      expect(await statusOf(`delivery-${id}-2`)).toBe('COMPLETED');
      expect(server.messageIds).toEqual([messageIdOf(id)]);
      expect(await academy.get(token, '/api/admin/deliveries')).toEqual({ items: [] });
    },
    timeoutMs,
  );

  it('no address is in any log', () => {
    for (const name of ['api', 'submissions', 'notifications'] as const) {
      expect(academy.log(name)).not.toMatch(/instructor-\d+-[0-9a-f]{6}@/);
    }
  });
});
