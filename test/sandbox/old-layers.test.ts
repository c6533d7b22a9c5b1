import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, expect, test } from '@jest/globals';
import { pack } from 'tar-stream';
import { dockerEngine } from '../../src/sandbox/docker.ts';
import { follow, selectOptionalImage } from '../../src/sandbox/engine-images.ts';
import { LayerFolders } from '../../src/sandbox/layer-folders.ts';
import { LayerImages } from '../../src/sandbox/layer-images.ts';
import { layerOfTar, packTexts } from '../support/layers.ts';
import { isRequired, openReal } from './real-sandboxes.ts';

const dayMs = 24 * 60 * 60_000;

async function tarOf(entries: Readonly<Record<string, string | Buffer>>): Promise<Buffer> {
  const target = pack();
  for (const [name, content] of Object.entries(entries)) target.entry({ name }, content);
  target.finalize();
  return buffer(target);
}

const docker = await openReal('docker');

(docker.sandbox !== null || isRequired ? describe : describe.skip)('images of layers', () => {
  const engine = dockerEngine();

  /** An image of no content that was made when it is said to be. */
  async function loadImage(name: string, created: Date, labels: Readonly<Record<string, string>>): Promise<void> {
    const content = await tarOf({ 'a.txt': name });
    const rootfs = { type: 'layers', diff_ids: [`sha256:${createHash('sha256').update(content).digest('hex')}`] };
    const config = { architecture: 'amd64', os: 'linux', created, config: { Labels: labels }, rootfs };
    const manifest = [{ Config: 'config.json', RepoTags: [name], Layers: ['layer.tar'] }];
    const image = { 'config.json': JSON.stringify(config), 'layer.tar': content, 'manifest.json': JSON.stringify(manifest) };
    await follow(engine, await engine.loadImage(Readable.from([await tarOf(image)])));
  }

  test('are removed when they are old, and no other images', async () => {
    const now = Date.now();
    const [old, recent, other] = [`old-${randomUUID()}`, `recent-${randomUUID()}`, `other-${randomUUID()}`].map(
      (tag) => `atelier-layer:${tag}`,
    );
    if (old === undefined || recent === undefined || other === undefined) throw new Error('three names');
    await loadImage(old, new Date(now - 31 * dayMs), { 'atelier.layer': 'a' });
    await loadImage(recent, new Date(now - 29 * dayMs), { 'atelier.layer': 'a' });
    await loadImage(other, new Date(now - 31 * dayMs), {});
    try {
      expect(await selectOptionalImage(engine, old)).not.toBeNull();
      await new LayerImages(engine, docker.sandbox?.identity ?? '').removeOld(new Date(now));
      expect(await selectOptionalImage(engine, old)).toBeNull();
      expect(await selectOptionalImage(engine, recent)).not.toBeNull();
      expect(await selectOptionalImage(engine, other)).not.toBeNull();
    } finally {
      for (const name of [recent, other]) await engine.getImage(name).remove();
    }
  });
});

test('folders of layers are removed when nobody has used them for long', async () => {
  const root = await mkdtemp(join(tmpdir(), 'atelier-layers-'));
  try {
    const folders = new LayerFolders(root);
    const layer = layerOfTar(await packTexts({ 'node_modules/a/index.js': '' }));
    await folders.ensure(layer);
    const [place] = folders.placesOf(layer.key);
    expect(place).toEqual({ folder: join(root, layer.key, 'node_modules'), place: '/node_modules' });
    await folders.removeOld(new Date(Date.now() + 29 * dayMs));
    expect(existsSync(place?.folder ?? '')).toBe(true);
    await folders.removeOld(new Date(Date.now() + 31 * dayMs));
    expect(existsSync(join(root, layer.key))).toBe(false);
    // Nobody is given a sandbox without what it should have.
    expect(() => folders.placesOf(layer.key)).toThrow('gone');
    await folders.ensure(layer);
    expect(layer.reads()).toBe(2);
  } finally {
    await rm(root, { recursive: true });
  }
});
