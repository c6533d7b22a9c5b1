import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { DependencyList } from '../../src/domain/exercises.ts';
import { createLayerBuilder } from '../../src/layers/build-layer.ts';
import { LayerError, readLayer } from '../../src/layers/layer-tar.ts';
import { type BlobStore, createBlobStore } from '../../src/storage/blobs.ts';
import { npmList, npmLock, pipList, whenRegistry } from '../support/registry.ts';

let folder: string;
let blobs: BlobStore;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atelier-built-'));
  blobs = createBlobStore(folder);
});

afterAll(() => rm(folder, { recursive: true }));

/** Where nobody listens. */
const nobody = 'https://127.0.0.1:9/';

const build = (list: DependencyList, env = process.env) => createLayerBuilder(blobs, env)(list);

await whenRegistry('npm', () => {
  test('a list of npm becomes its packages and nothing else, the same each time', async () => {
    const key = await build(npmList);
    const files = await readLayer(await blobs.get(key));
    expect(files.map(({ path }) => path)).toEqual(
      ['LICENSE', 'README.md', 'index.js', 'package.json'].map((name) => `node_modules/isarray/${name}`),
    );
    expect(await build(npmList)).toBe(key);
  }, 120_000);

  test('a package that is not what its hash says is refused, and nothing is stored', async () => {
    const before = await readdir(folder, { recursive: true });
    const wrongHash = npmLock.replace(/sha512-.{6}/, 'sha512-AAAAAA');
    const list = { ...npmList, files: { ...npmList.files, 'package-lock.json': wrongHash } };
    const error: unknown = await build(list).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(LayerError);
    expect(error).toHaveProperty('message', expect.stringMatching(/^isarray@2\.0\.5 cannot be installed: .*EINTEGRITY/s));
    expect(await readdir(folder, { recursive: true })).toEqual(before);
  }, 120_000);
});

await whenRegistry('pip', () => {
  test('a list of pip becomes its packages and nothing else, the same each time', async () => {
    const key = await build(pipList);
    const paths = (await readLayer(await blobs.get(key))).map(({ path }) => path.replace('opt/python-packages/', ''));
    expect(paths).toContain('iniconfig/__init__.py');
    expect(paths.filter((path) => !/^iniconfig(?:-2\.0\.0\.dist-info)?\//.test(path))).toEqual([]);
    expect(paths.filter((path) => /RECORD|INSTALLER|\.pyc$/.test(path))).toEqual([]);
    expect(await build(pipList)).toBe(key);
  }, 120_000);

  test('a package that is not what its hash says is refused', async () => {
    const files = { 'requirements.txt': `iniconfig==2.0.0 --hash=sha256:${'0'.repeat(64)}\n` };
    await expect(build({ ...pipList, files })).rejects.toThrow(/iniconfig@2\.0\.0 cannot be installed: .*(?:HASHES|hash)/s);
  }, 120_000);
});

test.each([
  ['npm', npmList, { PATH: '/nowhere' }, 'npm is not installed on this machine'],
  ['Python', pipList, { PATH: '/nowhere' }, 'apt-get install -y python3-pip'],
  ['a registry for npm', npmList, { npm_config_registry: nobody, npm_config_fetch_retries: '0' }, 'needs a registry'],
  ['a registry for pip', pipList, { PIP_CONFIG_FILE: '/dev/null', PIP_INDEX_URL: nobody, PIP_RETRIES: '0' }, 'needs a registry'],
] as const)(
  'without %s it says what to do',
  async (_, list, changed, message) => {
    const env = { ...process.env, npm_config_cache: join(folder, 'empty'), PIP_NO_CACHE_DIR: '1', ...changed };
    await expect(build(list, env)).rejects.toThrow(new RegExp(`cannot be installed: .*${message}`, 's'));
  },
  120_000,
);
