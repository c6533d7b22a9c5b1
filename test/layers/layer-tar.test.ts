import { buffer } from 'node:stream/consumers';
import { expect, test } from '@jest/globals';
import { type Header, pack } from 'tar-stream';
import { LayerError, packLayer, readLayer } from '../../src/layers/layer-tar.ts';

const files = [
  { path: 'node_modules/a/index.js', content: Buffer.from('a'), isExecutable: false },
  { path: `node_modules/a/${'long/'.repeat(60)}name.js`, content: Buffer.from('long'), isExecutable: false },
  { path: 'opt/python-packages/run', content: Buffer.from('#!/bin/sh'), isExecutable: true },
];

interface Entry {
  readonly name: string;
  readonly type?: Header['type'];
  readonly linkname?: string;
  readonly content?: string;
}

/** A tar file as somebody else may have made it. */
async function tarOf(...entries: readonly Entry[]): Promise<Buffer> {
  const target = pack();
  for (const { content = '', ...header } of entries) target.entry(header, content);
  target.finalize();
  return buffer(target);
}

test('what is packed is read, and packed to the same bytes', async () => {
  const tar = await packLayer(files);
  expect(await readLayer(tar)).toEqual(files);
  expect((await packLayer(await readLayer(tar))).equals(tar)).toBe(true);
});

const name = 'node_modules/a';
const hostile: readonly [string, readonly Entry[]][] = [
  ['a way up', [{ name: 'node_modules/../../etc/cron.d/x' }]],
  ['an absolute path', [{ name: '/node_modules/a' }]],
  ['another folder', [{ name: 'opt/atelier/agent' }]],
  ['a folder of a similar name', [{ name: 'node_modules2/a' }]],
  ['a symlink', [{ name, type: 'symlink', linkname: '/etc/passwd' }]],
  ['a symlink that stays inside', [{ name, type: 'symlink', linkname: 'b' }]],
  ['a hard link', [{ name, type: 'link', linkname: '/etc/passwd' }]],
  ['a device', [{ name, type: 'block-device' }]],
  ['a pipe', [{ name, type: 'fifo' }]],
  ['a file twice', [{ name }, { name }]],
  ['a file that is a folder', [{ name }, { name: `${name}/b` }]],
  ['too many files', Array.from({ length: 20_001 }, (_, index) => ({ name: `${name}/${index}` }))],
  ['too much', Array.from({ length: 65 }, (_, index) => ({ name: `${name}/${index}`, content: ' '.repeat(1024 * 1024) }))],
];

test.each(hostile)('%s is refused', async (_, entries) => {
  await expect(readLayer(await tarOf(...entries))).rejects.toThrow(LayerError);
});

test('what is no tar file is refused', async () => {
  await expect(readLayer(Buffer.alloc(4096, 'x'))).rejects.toThrow(LayerError);
  await expect(readLayer((await packLayer(files)).subarray(0, 700))).rejects.toThrow(LayerError);
});
