import { randomInt } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { z } from 'zod';

const Remembered = z.record(z.string(), z.number().int());

/** Whether a server can listen there now. */
export function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/**
 * A free port of 20000 to 29999: below the range from which systems take the ports of outgoing connections, so that it is most likely
 * free again at the next start.
 */
export async function findFreePort(host = '127.0.0.1'): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = randomInt(20_000, 30_000);
    if (await isPortFree(port, host)) return port;
  }
  throw new Error(`no free port between 20000 and 29999 on ${host}`);
}

/** Inner ports of one data folder, kept in a file: the same at each start unless somebody else took one. */
export class RememberedPorts {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** The remembered port of that name if it is free, else a new one, remembered from now on. */
  async choose(name: string): Promise<number> {
    const known = this.get(name);
    return known !== undefined && (await isPortFree(known)) ? known : this.renew(name);
  }

  /** A new port for that name, though the old one looked free. */
  async renew(name: string): Promise<number> {
    const port = await findFreePort();
    this.#save({ ...this.#read(), [name]: port });
    return port;
  }

  get(name: string): number | undefined {
    return this.#read()[name];
  }

  #read(): Record<string, number> {
    try {
      return Remembered.parse(JSON.parse(readFileSync(this.#file, 'utf8')));
    } catch {
      return {};
    }
  }

  #save(ports: Record<string, number>): void {
    const draft = `${this.#file}.new`;
    writeFileSync(draft, JSON.stringify(ports, undefined, 2));
    renameSync(draft, this.#file);
  }
}
