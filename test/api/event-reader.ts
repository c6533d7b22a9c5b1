import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { waitFor } from '../support/wait.ts';

export interface ReadEvent {
  readonly id: number;
  readonly kind: string;
  readonly data: unknown;
}

/** Reads one event stream as a browser does, over a connection of its own. */
export class EventReader {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly events: ReadEvent[] = [];
  /** Signs of life so far. */
  beats = 0;
  /** How the stream ended; null while it is open. */
  end: 'in order' | 'cut' | null = null;
  /** All that came. */
  text = '';
  readonly #response: IncomingMessage;

  private constructor(response: IncomingMessage) {
    this.#response = response;
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    let rest = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      this.text += chunk;
      const blocks = (rest + chunk).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) this.#read(block);
    });
    response.once('end', () => (this.end ??= 'in order'));
    response.once('error', () => (this.end ??= 'cut'));
  }

  static async open(address: string, headers: Readonly<Record<string, string>> = {}): Promise<EventReader> {
    const sent = get(address, { headers, agent: false });
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    sent.on('error', () => undefined);
    return new EventReader(response);
  }

  #read(block: string): void {
    const fields = new Map(block.split('\n').map((line) => [line.split(':')[0], line.slice(line.indexOf(':') + 1).trim()]));
    if (fields.has('')) this.beats += 1;
    if (!fields.has('data')) return;
    this.events.push({
      id: Number(fields.get('id')),
      kind: fields.get('event') ?? '',
      data: JSON.parse(fields.get('data') ?? '') as unknown,
    });
  }

  get ids(): number[] {
    return this.events.map(({ id }) => id);
  }

  get kinds(): string[] {
    return this.events.map(({ kind }) => kind);
  }

  /** Waits for the event of this kind. */
  async until(kind: string): Promise<ReadEvent> {
    return waitFor(
      `${kind} after ${this.kinds.join(', ')}`,
      async () => this.events.find((event) => event.kind === kind) ?? null,
    );
  }

  async untilCount(count: number): Promise<void> {
    await waitFor(`${count} events`, async () => (this.events.length >= count ? true : null));
  }

  async untilEnd(): Promise<'in order' | 'cut'> {
    return waitFor('the end of the stream', async () => this.end);
  }

  /** Leaves, as a closed page does. */
  leave(): void {
    this.#response.destroy();
  }
}
