import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import PostalMime from 'postal-mime';
import type { SMTPServerOptions } from 'smtp-server';
import {
  createLocalMailbox,
  createSmtpMailer,
  type Mail,
  MailFailed,
  MailRefused,
  type SmtpMailer,
} from '../../src/mail/mailer.ts';
import { MailServer } from '../support/mail-server.ts';

const from = 'Atelier <atelier@example.test>';
const mail: Mail = {
  to: { name: 'Ann', email: 'ann@example.test' },
  subject: 'Night bus board: approved',
  text: 'Hello Ann,\n\n.\n',
  html: '<p>Hello Ann,</p>',
  messageId: '<1@academy.example>',
};

let server: MailServer;
let mailer: SmtpMailer;

/** A mailer for this test's server, which behaves as `options` say. */
async function openServer(options: ConstructorParameters<typeof MailServer>[0], timeoutMs?: number, query = ''): Promise<void> {
  server = new MailServer(options);
  await server.open();
  mailer = createSmtpMailer(`${server.url}/${query}`, from, timeoutMs);
}

beforeEach(() => openServer({}));

afterEach(async () => {
  mailer.close();
  await server.close();
});

async function reopen(...args: Parameters<typeof openServer>): Promise<void> {
  mailer.close();
  await server.close();
  await openServer(...args);
}

/** A promise, and what fulfils it. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

describe('a mail by SMTP', () => {
  it('has the header fields of a mail from a program, and both parts', async () => {
    await mailer.send(mail);
    const [{ mail: read, recipients }] = server.received as [(typeof server.received)[number]];
    expect(recipients).toEqual(['ann@example.test']);
    expect(read).toMatchObject({
      from: { name: 'Atelier', address: 'atelier@example.test' },
      to: [{ name: 'Ann', address: 'ann@example.test' }],
      subject: mail.subject,
      messageId: mail.messageId,
    });
    expect(read.text?.trimEnd()).toBe(mail.text.trimEnd());
    expect(read.html?.trimEnd()).toBe(mail.html);
    expect(Number.isNaN(Date.parse(read.date ?? ''))).toBe(false);
    expect(read.headers.map(({ key }) => key).toSorted()).toEqual([
      'auto-submitted',
      'content-type',
      'date',
      'from',
      'message-id',
      'mime-version',
      'subject',
      'to',
    ]);
    expect(read.headers.find(({ key }) => key === 'auto-submitted')?.value).toBe('auto-generated');
  });

  it.each([
    'ann@example.test\r\nRCPT TO:<eve@example.test>',
    'ann@example.test>\r\nRCPT TO:<eve@example.test',
    'ann@example.test, eve@example.test',
    'Friends: ann@example.test, eve@example.test;',
    'Ann <eve@example.test>',
    '"ann, eve"@example.test',
    'ann',
    '',
  ])('to %j goes to nobody', async (email) => {
    await expect(mailer.send({ ...mail, to: { name: '', email } })).rejects.toBeInstanceOf(MailRefused);
    expect(server.tries).toEqual([]);
  });

  it('goes to addresses as people have them', async () => {
    for (const email of ["anne.o'neill+tag@sub.example.test", 'żółw@example.test']) {
      await mailer.send({ ...mail, to: { name: '', email } });
      expect(server.received.pop()?.recipients).toEqual([email]);
    }
  });

  it('attaches no file that a text names', async () => {
    const text = 'path: /etc/passwd, href: file:///etc/passwd';
    await mailer.send({ ...mail, text });
    expect(server.received[0]?.mail.attachments).toEqual([]);
  });
});

describe('a server', () => {
  it('that breaks the connection in the middle of a mail has it once in the end', async () => {
    let breaks = 1;
    server.onData = () => {
      breaks -= 1;
      if (breaks >= 0) server.breakConnections();
    };
    await mailer.send(mail).catch(() => mailer.send(mail));
    expect(server.messageIds).toEqual([mail.messageId]);
    await mailer.send({ ...mail, messageId: '<2@academy.example>' });
    expect(server.messageIds).toEqual([mail.messageId, '<2@academy.example>']);
  });

  it('that was restarted between two mails has both', async () => {
    await mailer.send(mail);
    await server.close();
    await expect(mailer.send(mail)).rejects.toBeInstanceOf(MailFailed);
    await server.open();
    await mailer.send({ ...mail, messageId: '<2@academy.example>' });
    expect(server.messageIds).toEqual([mail.messageId, '<2@academy.example>']);
  });

  it('that does not say whether it took a mail may have it twice, with one Message-ID', async () => {
    await reopen({}, 500);
    const { opened, open: answer } = gate();
    server.onMail = () => opened.then(() => null);
    await expect(mailer.send(mail)).rejects.toBeInstanceOf(MailFailed);
    answer();
    await mailer.send(mail);
    expect(server.messageIds).toContain(mail.messageId);
    expect(new Set(server.messageIds).size).toBe(1);
  });

  it('that holds up one mail does not hold up another', async () => {
    const { opened, open: answer } = gate();
    server.onMail = ({ mail: read }) => (read.messageId === '<slow@x>' ? opened.then(() => null) : null);
    const slow = mailer.send({ ...mail, messageId: '<slow@x>' });
    await mailer.send(mail);
    expect(server.messageIds).toEqual([mail.messageId]);
    answer();
    await slow;
    expect(server.messageIds).toEqual([mail.messageId, '<slow@x>']);
  });

  it('without TLS is talked to in clear; one with a certificate of nobody is not trusted', async () => {
    await mailer.send(mail);
    // The library brings a certificate that it signed itself.
    await reopen({ disabledCommands: [] });
    const error: unknown = await mailer.send(mail).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(MailFailed);
    expect((error as Error).message).toMatch(/certificate/);
    expect(server.received).toEqual([]);
    await reopen({ disabledCommands: [] }, undefined, '?tls.rejectUnauthorized=false');
    await mailer.send(mail);
    expect(server.received).toHaveLength(1);
  });

  it.each([
    [421, MailFailed],
    [450, MailFailed],
    [503, MailFailed],
    [530, MailFailed],
    [550, MailRefused],
    [554, MailRefused],
  ])('that answers the recipient with %i', async (code, kind) => {
    server.onRecipient = () => ({ code, text: 'no' });
    await expect(mailer.send(mail)).rejects.toBeInstanceOf(kind);
  });

  it('that says much is quoted in one short line without addresses', async () => {
    server.onRecipient = (address) => ({ code: 550, text: `<${address}> or ${address}, ann+x@b.example: ${'no '.repeat(500)}` });
    const error: unknown = await mailer.send(mail).catch((thrown: unknown) => thrown);
    const { message } = error as Error;
    expect(message.length).toBeLessThanOrEqual(300);
    expect(message).not.toMatch(/@|[\r\n]/);
  });
});

describe('verify', () => {
  const auth = (accepted: string): SMTPServerOptions => ({
    authOptional: false,
    allowInsecureAuth: true,
    onAuth: ({ password }, _session, callback) =>
      password === accepted ? callback(null, { user: 'atelier' }) : callback(new Error('Invalid username or password')),
  });

  it('logs in', async () => {
    await reopen(auth('right'));
    mailer.close();
    mailer = createSmtpMailer(`smtp://atelier:right@127.0.0.1:${server.port}`, from);
    await mailer.verify();
    await mailer.send(mail);
    expect(server.received).toHaveLength(1);
  });

  it('says what is wrong, and no password; the mail is not refused for it', async () => {
    await reopen(auth('right'));
    mailer.close();
    mailer = createSmtpMailer(`smtp://atelier%40example.test:hunter2@127.0.0.1:${server.port}`, from);
    const errors = await Promise.all([mailer.verify(), mailer.send(mail)].map((call) => call.catch((error: unknown) => error)));
    for (const error of errors) {
      expect(error).toBeInstanceOf(MailFailed);
      expect((error as Error).message).toContain('535');
      expect(String((error as Error).stack)).not.toMatch(/hunter2|atelier@example/);
    }
  });

  it('fails while nobody is there', async () => {
    await server.close();
    await expect(mailer.verify()).rejects.toThrow('ECONNREFUSED');
  });
});

describe('the local mailbox', () => {
  it('holds one file a mail, however often it was sent', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'atelier-mailbox-'));
    try {
      const mailbox = createLocalMailbox(join(folder, 'mailbox'), from);
      await mailbox.send(mail);
      await mailbox.send(mail);
      const files = await readdir(join(folder, 'mailbox'));
      expect(files).toHaveLength(1);
      const read = await PostalMime.parse(await readFile(join(folder, 'mailbox', files[0] ?? '')));
      expect(read).toMatchObject({ subject: mail.subject, messageId: mail.messageId });
      mailbox.close();
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
