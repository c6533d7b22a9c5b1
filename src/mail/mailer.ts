import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import nodemailer from 'nodemailer';
import { currentTraceId } from '../trace.ts';

export interface Mail {
  readonly to: { readonly name: string; readonly email: string };
  readonly subject: string;
  readonly text: string;
  readonly html: string;
  /** With angle brackets; the same for every try of one delivery. */
  readonly messageId: string;
}

export interface Mailer {
  /** Resolves when the mail is handed over. @throws Error where it is not; trying again is right. */
  send(mail: Mail): Promise<void>;
  close(): void;
}

const fieldsOf = (mail: Mail, from: string, traceId = currentTraceId()) => ({
  from,
  to: { name: mail.to.name, address: mail.to.email },
  subject: mail.subject,
  text: mail.text,
  html: mail.html,
  messageId: mail.messageId,
  // By which support finds, in the logs, what a mail that somebody forwards came from.
  headers: traceId === null ? {} : { 'X-Atelier-Trace': traceId },
});

/** Sends by SMTP; `url` is `smtp://user:password@host:port` or `smtps://…`. */
export function createSmtpMailer(url: string, from: string): Mailer {
  const transport = nodemailer.createTransport({ url, pool: true, connectionTimeout: 10_000, socketTimeout: 30_000 });
  return {
    async send(mail) {
      await transport.sendMail(fieldsOf(mail, from));
    },
    close: () => transport.close(),
  };
}

/** Writes each mail as an .eml file into `folder`: the local mailbox of an academy without a mail server. */
export function createLocalMailbox(folder: string, from: string): Mailer {
  const transport = nodemailer.createTransport({ streamTransport: true, buffer: true });
  return {
    async send(mail) {
      const { message } = await transport.sendMail(fieldsOf(mail, from));
      await mkdir(folder, { recursive: true, mode: 0o700 });
      // Named by its Message-ID, so that a second try of one delivery is one mail.
      const path = join(folder, `${mail.messageId.replaceAll(/[^0-9a-z-]/gi, '')}.eml`);
      await writeFile(`${path}.partial`, message as Buffer);
      await rename(`${path}.partial`, path);
    },
    close: () => transport.close(),
  };
}
