import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { Drain } from '../../src/api/drain.ts';
import { exchange } from './support.ts';

let drain: Drain;
let server: Server;
let port: number;

/** A server whose /stream has no end but the one that the drain brings. */
beforeEach(async () => {
  drain = new Drain();
  server = createServer((request, response) => {
    if (request.url !== '/stream') {
      response.end('done');
      return;
    }
    response.write('first\n');
    response.once(
      'close',
      drain.onDrain(() => response.end('last\n')),
    );
  });
  drain.watch(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});

afterEach(() => {
  server.closeAllConnections();
});

test('streams without an end are ended by what they registered', async () => {
  const stream = await fetch(`http://127.0.0.1:${port}/stream`);
  const stopped = drain.stop(server, 0);
  expect(await stream.text()).toBe('first\nlast\n');
  await stopped;
});

test('while it drains, a new stream is opened as ever, and ended with the others', async () => {
  const stopped = drain.stop(server, 300);
  expect(drain.begun.aborted).toBe(true);
  const text = await (await fetch(`http://127.0.0.1:${port}/stream`)).text();
  expect(text).toBe('first\nlast\n');
  await stopped;
});

test('who has left is not ended, and who registers too late is ended at once', async () => {
  const ended: string[] = [];
  const leave = drain.onDrain(() => ended.push('left'));
  drain.onDrain(() => ended.push('there'));
  leave();
  await drain.stop(server, 0);
  drain.onDrain(() => ended.push('late'));
  expect(ended).toEqual(['there', 'late']);
});

test('connections that were never used, and kept ones, hold up nothing', async () => {
  const unused = connect(port, '127.0.0.1');
  await once(unused, 'connect');
  const kept = connect(port, '127.0.0.1');
  kept.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await once(kept, 'data');
  const closed = Promise.all([once(unused.resume(), 'close'), once(kept.resume(), 'close')]);
  await expect(drain.stop(server, 0)).resolves.toBeUndefined();
  await closed;
});

test('every answer ends its connection from then on', async () => {
  const kept = connect(port, '127.0.0.1');
  kept.setEncoding('utf8').write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  const [first] = (await once(kept, 'data')) as [string];
  expect(first).toContain('Connection: keep-alive');
  const stopped = drain.stop(server, 300);
  kept.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  const [second] = (await once(kept, 'data')) as [string];
  expect(second).toContain('Connection: close');
  expect(await exchange(`http://127.0.0.1:${port}`, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n')).toContain('Connection: close');
  await stopped;
});
