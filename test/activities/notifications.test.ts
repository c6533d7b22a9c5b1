import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createNotificationActivities, type NotificationActivities } from '../../src/activities/notifications.ts';
import { newId } from '../../src/database/columns.ts';
import { Delivery } from '../../src/database/entities/notifications.ts';
import { User } from '../../src/database/entities/users.ts';
import type { NotificationKind } from '../../src/domain/notifications.ts';
import { createSmtpMailer, type Mailer } from '../../src/mail/mailer.ts';
import { notify } from '../../src/services/notifications.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createStudentWithTask, createSubmission, createUser, publishDemoCourse } from '../support/factories.ts';
import { MailServer } from '../support/mail-server.ts';
import { createActivityEnvironment } from '../support/temporal.ts';

let database: TestDatabase;
let server: MailServer;
let mailer: Mailer;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
});

afterAll(() => database.close());

beforeEach(async () => {
  server = new MailServer();
  await server.open();
  mailer = createSmtpMailer(server.url, 'Atelier <atelier@example.test>');
});

afterEach(async () => {
  mailer.close();
  await server.close();
});

function activities(through: Mailer = mailer): NotificationActivities {
  return createNotificationActivities({ orm: database.orm, mailer: through, origin: 'https://academy.example' });
}

const send = (deliveryId: string, through?: Mailer) =>
  createActivityEnvironment().run(activities(through).sendMail, { deliveryId });
const giveUp = (deliveryId: string) => createActivityEnvironment().run(activities().markFailed, { deliveryId });
const rowOf = (deliveryId: string) => database.orm.em.fork().findOneOrFail(Delivery, deliveryId);

async function createDelivery(
  user: { id: string },
  about: { kind: NotificationKind; submissionId?: string } = { kind: 'welcome' },
): Promise<string> {
  const em = database.orm.em.fork();
  const causeId = newId();
  await notify(em, { userId: user.id, causeId, ...about });
  await em.flush();
  return (await em.findOneOrFail(Delivery, { notification: { causeId } })).id;
}

/** The same mail comes again: its Message-ID and all that a reader sees are equal. */
function expectEqualMails(count: number): void {
  const seen = server.received.map(({ mail: { messageId, subject, text, html } }) => ({ messageId, subject, text, html }));
  expect(seen).toEqual(Array(count).fill(seen[0]));
}

describe('sendMail', () => {
  it('hands the mail to the server, once, and notes it', async () => {
    const { student, taskId } = await createStudentWithTask(database.orm);
    const submissionId = await createSubmission(database.orm, { taskId, studentId: student.id });
    const deliveryId = await createDelivery(student, { kind: 'approved', submissionId });
    await send(deliveryId);
    await send(deliveryId);
    expect(server.received).toHaveLength(1);
    const [{ recipients, mail }] = server.received as [(typeof server.received)[number]];
    expect(recipients).toEqual([student.email]);
    expect(mail.subject).toBe('Night bus board: approved');
    expect(mail.messageId).toBe(`<${deliveryId}@academy.example>`);
    expect(mail.text).toContain(`https://academy.example/api/submissions/${submissionId}`);
    expect(mail.html).toContain(`href="https://academy.example/api/submissions/${submissionId}"`);
    expect(await rowOf(deliveryId)).toMatchObject({ deliveredAt: expect.any(Date), failedAt: null, lastError: null });
  });

  it('that dies between the 250 of the server and our note of it sends the same mail again', async () => {
    const deliveryId = await createDelivery(await createUser(database.orm));
    const dying: Mailer = {
      async send(mail) {
        await mailer.send(mail);
        throw new Error('killed');
      },
      close: () => undefined,
    };
    await expect(send(deliveryId, dying)).rejects.toThrow('killed');
    expect(await rowOf(deliveryId)).toMatchObject({ deliveredAt: null });
    await send(deliveryId);
    expect(server.received).toHaveLength(2);
    expectEqualMails(2);
  });

  it('that dies before the server has the mail sends one', async () => {
    const deliveryId = await createDelivery(await createUser(database.orm));
    const dying: Mailer = { send: () => Promise.reject(new Error('killed')), close: () => undefined };
    await expect(send(deliveryId, dying)).rejects.toThrow('killed');
    await send(deliveryId);
    expect(server.received).toHaveLength(1);
  });

  it.each([
    ['greylisting', { code: 451, text: '4.7.1 <RECIPIENT>: Recipient address rejected: Greylisted' }],
    ['a full disk', { code: 452, text: '4.3.1 Insufficient system storage' }],
    ['"log in first"', { code: 530, text: '5.7.0 Authentication required' }],
  ])('is tried again after %s; the error is kept, without the address', async (_name, refusal) => {
    const user = await createUser(database.orm);
    const deliveryId = await createDelivery(user);
    server.onRecipient = (address) => ({ ...refusal, text: refusal.text.replace('RECIPIENT', address) });
    await expect(send(deliveryId)).rejects.toMatchObject({ type: 'MailFailed', nonRetryable: false });
    const { deliveredAt, failedAt, lastError } = await rowOf(deliveryId);
    expect([deliveredAt, failedAt]).toEqual([null, null]);
    expect(lastError).toMatch(new RegExp(`^RCPT TO: ${refusal.code} `));
    expect(lastError).not.toContain(user.email);
    server.onRecipient = () => null;
    await send(deliveryId);
    expect(server.received).toHaveLength(1);
    expect(await rowOf(deliveryId)).toMatchObject({ deliveredAt: expect.any(Date) });
  });

  it.each([550, 551, 553, 554])('is not tried again when the server answers the recipient with %i', async (code) => {
    const user = await createUser(database.orm);
    const deliveryId = await createDelivery(user);
    server.onRecipient = (address) => ({ code, text: `5.1.1 <${address}>: no such user` });
    const error: unknown = await send(deliveryId).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ type: 'MailRefused', nonRetryable: true, message: `RCPT TO: ${code} 5.1.1 <…>: no such user` });
    expect(await rowOf(deliveryId)).toMatchObject({ lastError: `RCPT TO: ${code} 5.1.1 <…>: no such user` });
  });

  it('is not tried again when the server refuses what is in the mail', async () => {
    const deliveryId = await createDelivery(await createUser(database.orm));
    server.onMail = () => ({ code: 554, text: '5.7.1 looks like spam' });
    await expect(send(deliveryId)).rejects.toMatchObject({ type: 'MailRefused', nonRetryable: true });
  });

  it('is tried again when the server refuses us: an administrator puts that right', async () => {
    const deliveryId = await createDelivery(await createUser(database.orm));
    server.onSender = () => ({ code: 550, text: '5.7.1 sender not allowed' });
    await expect(send(deliveryId)).rejects.toMatchObject({ nonRetryable: false });
    expect(await rowOf(deliveryId)).toMatchObject({ lastError: 'MAIL FROM: 550 5.7.1 sender not allowed' });
  });

  it('is tried again while nobody listens at the port', async () => {
    const deliveryId = await createDelivery(await createUser(database.orm));
    await server.close();
    await expect(send(deliveryId)).rejects.toMatchObject({ nonRetryable: false });
    expect((await rowOf(deliveryId)).lastError).toContain('ECONNREFUSED');
    await server.open();
    await send(deliveryId);
    expect(server.received).toHaveLength(1);
  });

  it.each(['disabledAt', 'erasedAt'] as const)('sends nothing to an account with %s, and says so', async (column) => {
    const user = await createUser(database.orm);
    const deliveryId = await createDelivery(user);
    await database.orm.em.fork().nativeUpdate(User, user.id, { [column]: new Date() });
    await expect(send(deliveryId)).rejects.toMatchObject({ nonRetryable: true });
    expect(server.tries).toEqual([]);
    expect((await rowOf(deliveryId)).lastError).toMatch(/^not sent: the account is (disabled|erased)$/);
  });

  it('is not tried again for a delivery that does not exist', async () => {
    await expect(send(newId())).rejects.toMatchObject({ type: 'not-found', nonRetryable: true });
  });
});

describe('markFailed', () => {
  it('notes once that the mail is given up, with the last error', async () => {
    const deliveryId = await createDelivery(await createUser(database.orm));
    server.onRecipient = () => ({ code: 550, text: 'no' });
    await expect(send(deliveryId)).rejects.toThrow('550');
    await giveUp(deliveryId);
    const given = await rowOf(deliveryId);
    expect(given).toMatchObject({ failedAt: expect.any(Date), lastError: 'RCPT TO: 550 no', deliveredAt: null });
    await giveUp(deliveryId);
    expect((await rowOf(deliveryId)).failedAt).toEqual(given.failedAt);
  });

  it('names the worker where no try has left an error', async () => {
    const deliveryId = await createDelivery(await createUser(database.orm));
    await giveUp(deliveryId);
    expect((await rowOf(deliveryId)).lastError).toContain('does the notifications worker run?');
  });

  it('leaves what has arrived as it is, and what arrives later has arrived', async () => {
    const arrived = await createDelivery(await createUser(database.orm));
    await send(arrived);
    await giveUp(arrived);
    expect(await rowOf(arrived)).toMatchObject({ deliveredAt: expect.any(Date), failedAt: null });
    const late = await createDelivery(await createUser(database.orm));
    await giveUp(late);
    await send(late);
    expect(await rowOf(late)).toMatchObject({ deliveredAt: expect.any(Date), failedAt: null });
  });

  it('does not mind a delivery that does not exist', async () => {
    await expect(giveUp(newId())).resolves.toBeUndefined();
  });
});
