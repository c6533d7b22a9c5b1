import { once } from 'node:events';
import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** Takes an api out of service without an error for anybody; one of them for each server. */
export class Drain {
  readonly #begun = new AbortController();
  #isClosing = false;
  readonly #connections = new Set<Socket>();
  readonly #answering = new Set<ServerResponse>();
  readonly #endings = new Set<() => void>();

  /** Aborts when new requests should go elsewhere: what `/health/ready` says. */
  get begun(): AbortSignal {
    return this.#begun.signal;
  }

  /**
   * Registers how an answer without an end, such as an event stream, is ended when the server closes (at once where it does already).
   *
   * @returns what takes the registration back, for when the client has left.
   */
  onDrain(end: () => void): () => void {
    if (this.#isClosing) end();
    else this.#endings.add(end);
    return () => this.#endings.delete(end);
  }

  /**
   * Stops the server: for `drainMs` it answers as ever, so that load balancers have time to see that it is not ready; then it takes no new
   * connection. Resolves when all that was asked is answered. Every answer from now on ends its connection, so that clients with a kept
   * one go to another server instead of meeting a closed one.
   */
  async stop(server: Server, drainMs: number): Promise<void> {
    this.#begun.abort();
    for (const response of this.#answering) closeAfter(response);
    if (drainMs > 0) await delay(drainMs);
    const closed = once(server, 'close');
    server.close();
    this.#isClosing = true;
    for (const end of this.#endings) end();
    server.closeIdleConnections();
    // Browsers open connections ahead of need; to Node one that was never used is not idle.
    for (const connection of this.#connections) if (connection.bytesRead === 0) connection.destroy();
    await closed;
  }

  /** Must see the server's requests before the application does. */
  watch(server: Server): void {
    server.on('connection', (connection: Socket) => {
      this.#connections.add(connection);
      connection.once('close', () => this.#connections.delete(connection));
    });
    server.prependListener('request', (_request, response: ServerResponse) => {
      if (this.begun.aborted) closeAfter(response);
      this.#answering.add(response);
      response.once('close', () => this.#answering.delete(response));
    });
  }
}

function closeAfter(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('Connection', 'close');
}
