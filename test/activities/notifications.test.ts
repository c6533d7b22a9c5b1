import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import PostalMime, { type Email } from 'postal-mime';
import { SMTPServer, type SMTPServerDataStream, type SMTPServerSession } from 'smtp-server';
import { createNotificationActivities } from '../../src/activities/notifications.ts';
import { Delivery } from '../../src/database/entities/notifications.ts';
import { User } from '../../src/database/entities/users.ts';
import { newId } from '../../src/database/columns.ts';
import { createSmtpMailer, type Mailer } from '../../src/mail/mailer.ts';
import { notify } from '../../src/services/notifications.ts';
import { createActivityEnvironment } from '../support/temporal.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createStudentWithTask, createSubmission, createUser, publishDemoCourse } from '../support/factories.ts';

/** A real SMTP server that keeps what it is handed. */
class Mailboxes {
  readonly received: { recipients: string[]; mail: Email }[] = [];
  refuse = false;
  readonly #server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onMailFrom: (_address, _session, callback) => callback(this.refuse ? new Error('busy') : null),
    onData: (stream, session, callback) => void this.#receive(stream, session, callback),
  });

  async #receive(stream: SMTPServerDataStream, session: SMTPServerSession, callback: () => void): Promise<void> {
    const mail = await PostalMime.parse(await buffer(stream));
    this.received.push({ recipients: session.envelope.rcptTo.map(({ address }) => address), mail });
    callback();
  }

  async listen(): Promise<string> {
    const server = this.#server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return `smtp://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.close();
  }
}

let database: TestDatabase;
let mailboxes: Mailboxes;
let mailer: Mailer;
let send: (deliveryId: string) => Promise<void>;

beforeAll(async () => {
  database = await createTestDatabase();
  await publishDemoCourse(database.orm);
});

afterAll(() => database.close());

beforeEach(async () => {
  mailboxes = new Mailboxes();
  mailer = createSmtpMailer(await mailboxes.listen(), 'Atelier <atelier@example.test>');
  const { sendMail } = createNotificationActivities({ orm: database.orm, mailer, origin: 'https://academy.example' });
  send = (deliveryId) => createActivityEnvironment().run(sendMail, { deliveryId });
});

afterEach(() => {
  mailer.close();
  mailboxes.close();
});

async function createDelivery(userId: string, kind: 'welcome' | 'approved', submissionId?: string): Promise<string> {
  const em = database.orm.em.fork();
  const causeId = newId();
  await notify(em, { userId, kind, causeId, ...(submissionId !== undefined && { submissionId }) });
  await em.flush();
  return (await em.findOneOrFail(Delivery, { notification: { causeId } })).id;
}

describe('sendMail', () => {
  it('hands the mail to the server, once, and notes it', async () => {
    const { student, taskId } = await createStudentWithTask(database.orm);
    const submissionId = await createSubmission(database.orm, { taskId, studentId: student.id });
    const deliveryId = await createDelivery(student.id, 'approved', submissionId);
    await send(deliveryId);
    await send(deliveryId);
    expect(mailboxes.received).toHaveLength(1);
    const [{ recipients, mail }] = mailboxes.received as [(typeof mailboxes.received)[number]];
    expect(recipients).toEqual([student.email]);
    expect(mail.subject).toBe('Night bus board: approved');
    expect(mail.messageId).toBe(`<${deliveryId}@atelier>`);
    expect(mail.text).toContain(`https://academy.example/api/submissions/${submissionId}`);
    expect(mail.html).toContain(`href="https://academy.example/api/submissions/${submissionId}"`);
    const { deliveredAt } = await database.orm.em.fork().findOneOrFail(Delivery, deliveryId);
    expect(deliveredAt).toBeInstanceOf(Date);
  });

  it('sends again with the same Message-ID when the note of the first time was lost', async () => {
    const deliveryId = await createDelivery((await createUser(database.orm)).id, 'welcome');
    await send(deliveryId);
    await database.orm.em.fork().nativeUpdate(Delivery, deliveryId, { deliveredAt: null });
    await send(deliveryId);
    expect(mailboxes.received.map(({ mail }) => mail.messageId)).toEqual(Array(2).fill(`<${deliveryId}@atelier>`));
  });

  it('fails while the server refuses, so that it is tried again, and loses nothing', async () => {
    const deliveryId = await createDelivery((await createUser(database.orm)).id, 'welcome');
    mailboxes.refuse = true;
    await expect(send(deliveryId)).rejects.toMatchObject({ nonRetryable: false });
    mailboxes.refuse = false;
    await send(deliveryId);
    expect(mailboxes.received).toHaveLength(1);
  });

  it('escapes what people wrote, and lets no name add a header', async () => {
    const user = await createUser(database.orm);
    const name = 'Eve <script>alert(1)</script>\r\nBcc: everybody@example.test';
    await database.orm.em.fork().nativeUpdate(User, user.id, { name });
    await send(await createDelivery(user.id, 'welcome'));
    const [{ recipients, mail }] = mailboxes.received as [(typeof mailboxes.received)[number]];
    expect(recipients).toEqual([user.email]);
    expect(mail.bcc ?? []).toEqual([]);
    expect(mail.html).toContain('Eve &lt;script&gt;alert(1)&lt;/script&gt;');
  });

  it('is not tried again for a delivery that does not exist', async () => {
    await expect(send(newId())).rejects.toMatchObject({ type: 'not-found', nonRetryable: true });
  });
});
