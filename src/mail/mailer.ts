import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import nodemailer from 'nodemailer';
import { currentTraceId } from '../trace.ts';

export interface Mail {
  /** Without a name where none is to be shown. */
  readonly to: { readonly name: string; readonly email: string };
  readonly subject: string;
  readonly text: string;
  readonly html: string;
  /** With angle brackets; the same for every try of one delivery. */
  readonly messageId: string;
}

export interface Mailer {
  /**
   * Resolves when the mail is handed over.
   *
   * @throws MailRefused where the server will never take it, MailFailed where trying again is right.
   */
  send(mail: Mail): Promise<void>;
  close(): void;
}

/** The server refuses this mail or its recipient for good. The message is short and names no address. */
export class MailRefused extends Error {
  override readonly name = 'MailRefused';
}

/** The mail could not be handed over now. The message is short and names no address. */
export class MailFailed extends Error {
  override readonly name = 'MailFailed';
}

/** Below the activity's own timeout, so that what the server was doing is ended and said, not only abandoned. */
const sendTimeoutMs = 45_000;

/** Mails on their way at the same time; servers refuse clients that open many connections. */
export const smtpConnections = 5;

/** For one line in a list of deliveries. */
const maxErrorLength = 300;

/** One address and nothing else: nodemailer takes a comma or an angle bracket in it for further recipients. */
const plainAddress = /^[^\s\p{Cc}<>()[\],;:"@]+@[^\s\p{Cc}<>()[\],;:"@]+$/u;

const fieldsOf = (mail: Mail, from: string, traceId = currentTraceId()) => ({
  from,
  to: { name: mail.to.name, address: addressOf(mail) },
  subject: mail.subject,
  text: mail.text,
  html: mail.html,
  messageId: mail.messageId,
  headers: {
    // RFC 3834: nobody's absence note answers it. No List-Unsubscribe: these are answers to what the recipient did, not a list.
    'Auto-Submitted': 'auto-generated',
    // By which support finds, in the logs, what a mail that somebody forwards came from.
    ...(traceId !== null && { 'X-Atelier-Trace': traceId }),
  },
  // What people wrote must never be taken for the path or the address of something to attach.
  disableFileAccess: true,
  disableUrlAccess: true,
});

function addressOf({ to: { email } }: Mail): string {
  if (!plainAddress.test(email)) throw new MailRefused('not sent: the address is none that a mail can be sent to');
  return email;
}

export interface SmtpMailer extends Mailer {
  /** Connects and logs in. @throws MailFailed that says why not. */
  verify(): Promise<void>;
}

/** Sends by SMTP; `url` is `smtp://user:password@host:port` or `smtps://…`, with nodemailer's options as its query. */
export function createSmtpMailer(url: string, from: string, timeoutMs = sendTimeoutMs): SmtpMailer {
  const transport = nodemailer.createTransport({
    url,
    pool: true,
    maxConnections: smtpConnections,
    // A server that does not answer is found out well before a send is given up.
    connectionTimeout: 10_000,
    greetingTimeout: 10_000,
    socketTimeout: 30_000,
  });
  return {
    async send(mail) {
      const options = { ...fieldsOf(mail, from), signal: AbortSignal.timeout(timeoutMs) };
      try {
        await transport.sendMail(options);
      } catch (error) {
        throw toMailError(error);
      }
    },
    async verify() {
      try {
        await transport.verify();
      } catch (error) {
        throw toMailError(error);
      }
    },
    close: () => transport.close(),
  };
}

/** What nodemailer says of a failure; its types leave it open. */
interface SmtpError {
  readonly message: string;
  readonly code?: string;
  readonly command?: string;
  readonly response?: string;
  readonly permanent?: boolean;
}

/**
 * A 5xx that names the recipient or the message is for good. One that names us (the login, our sender, our rights) is not: it is put
 * right by an administrator, and until then the mails of a day must not be thrown away. 530 is "log in first", whatever it answers.
 */
function toMailError(error: unknown): MailRefused | MailFailed {
  const { message, code, command = '', response, permanent = false } = error as SmtpError;
  const isAboutMail = command === 'RCPT TO' || command === 'DATA' || (command === 'API' && code === 'EENVELOPE');
  const isRefused = isAboutMail && (permanent || command === 'API') && !response?.startsWith('530');
  const told = response === undefined ? `${code ?? 'error'}: ${message}` : `${command}: ${response}`;
  const text = withoutAddresses(told);
  return isRefused ? new MailRefused(text) : new MailFailed(text);
}

/** Servers like to repeat the address that they refuse; errors go into logs and Temporal's history, where none may be. */
const withoutAddresses = (text: string) =>
  text
    .replaceAll(/[^\s<>"']+@[^\s<>"']+/g, '…')
    .replaceAll(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, maxErrorLength);

/** Writes each mail as an .eml file into `folder`: the local mailbox of an academy without a mail server. */
export function createLocalMailbox(folder: string, from: string): Mailer {
  const transport = nodemailer.createTransport({ streamTransport: true, buffer: true });
  return {
    async send(mail) {
      const { message } = await transport.sendMail(fieldsOf(mail, from));
      await mkdir(folder, { recursive: true, mode: 0o700 });
      // Named by its Message-ID, so that a second try of one delivery is one mail.
      const path = join(folder, `${mail.messageId.replaceAll(/[^0-9a-z-]/gi, '')}.eml`);
      await writeFile(`${path}.partial`, message as Buffer, { flush: true });
      await rename(`${path}.partial`, path);
    },
    close: () => transport.close(),
  };
}
