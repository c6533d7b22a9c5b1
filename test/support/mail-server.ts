import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import PostalMime, { type Email } from 'postal-mime';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';

/** What the server answers in place of 250; `text` may name addresses, as real servers do. */
export interface Refusal {
  readonly code: number;
  readonly text: string;
}

export interface ReceivedMail {
  readonly recipients: readonly string[];
  readonly mail: Email;
  readonly source: string;
}

const asError = ({ code, text }: Refusal) => Object.assign(new Error(text), { responseCode: code });

/** A real SMTP server that keeps what it is handed, and behaves as badly as a test asks. */
export class MailServer {
  readonly received: ReceivedMail[] = [];
  /** Recipients of mails that were begun, refused ones too: one a try. */
  readonly tries: string[] = [];
  /** Asked at each step; null takes it. */
  onSender: () => Refusal | null = () => null;
  onRecipient: (address: string) => Refusal | null = () => null;
  /** Asked when a mail is there in whole: the server has it then, whatever it answers. */
  onMail: (mail: ReceivedMail) => Refusal | null | Promise<Refusal | null> = () => null;
  /** Asked when a mail begins to come in. */
  onData: () => void = () => undefined;
  readonly #options: SMTPServerOptions;
  readonly #sockets = new Set<Socket>();
  #server: SMTPServer | null = null;
  #port = 0;

  constructor(options: SMTPServerOptions = {}) {
    this.#options = { authOptional: true, disabledCommands: ['STARTTLS'], ...options };
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `smtp://127.0.0.1:${this.#port}`;
  }

  get messageIds(): string[] {
    return this.received.map(({ mail }) => mail.messageId ?? '');
  }

  /** On the same port each time. */
  async open(): Promise<void> {
    const server = new SMTPServer({
      closeTimeout: 100,
      logger: false,
      onMailFrom: (_address, _session, callback) => {
        const refusal = this.onSender();
        callback(refusal === null ? null : asError(refusal));
      },
      onRcptTo: ({ address }, _session, callback) => {
        this.tries.push(address);
        const refusal = this.onRecipient(address);
        callback(refusal === null ? null : asError(refusal));
      },
      onData: (stream, session, callback) => {
        this.onData();
        const receive = async () => {
          const bytes = await buffer(stream);
          const mail = {
            recipients: session.envelope.rcptTo.map(({ address }) => address),
            mail: await PostalMime.parse(bytes),
            source: bytes.toString('utf8'),
          };
          const refusal = await this.onMail(mail);
          if (refusal === null) this.received.push(mail);
          callback(refusal === null ? null : asError(refusal));
        };
        // Where the connection breaks in the middle of a mail, there is nobody to answer.
        receive().catch(() => undefined);
      },
      ...this.#options,
    });
    // Clients that go away, and certificates that they do not like.
    server.on('error', () => undefined);
    server.server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    server.listen(this.#port, '127.0.0.1');
    await once(server.server, 'listening');
    this.#port = (server.server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Breaks all connections in the middle of what they do. */
  breakConnections(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Goes away as a server does whose power is cut: nobody listens at its port. */
  async close(): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    const closed = once(server.server, 'close');
    server.close();
    this.breakConnections();
    await closed;
  }
}
