import { execFile, type ExecFileException } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { ExerciseRevision } from '../../src/database/entities/exercises.ts';
import { readLayer } from '../../src/layers/layer-tar.ts';
import { createBlobStore } from '../../src/storage/blobs.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { npmLock, npmManifest, whenRegistry } from '../support/registry.ts';

const project = join(import.meta.dirname, '../..');

let database: TestDatabase;
let folder: string;

/** The demo, one exercise of which has a package. */
beforeEach(async () => {
  database = await createTestDatabase();
  folder = await mkdtemp(join(tmpdir(), 'atelier-publish-'));
  await cp(join(project, 'content/demo'), join(folder, 'course'), { recursive: true });
  const dependencies = join(folder, 'course/exercises/night-bus-board/dependencies');
  await mkdir(dependencies);
  await writeFile(join(dependencies, 'package.json'), npmManifest);
  await writeFile(join(dependencies, 'package-lock.json'), npmLock);
});

afterEach(async () => {
  await database.close();
  await rm(folder, { recursive: true });
});

/** `npm run atelier -- publish`, without what starts it. */
function publish(changed: NodeJS.ProcessEnv): Promise<{ readonly stdout: string }> {
  const env = { ...process.env, ATELIER_DATABASE_URL: database.url, ...changed };
  return promisify(execFile)(process.execPath, ['src/command-line.ts', 'publish', join(folder, 'course')], { cwd: project, env });
}

const refusalOf = async (changed: NodeJS.ProcessEnv) => {
  const error: unknown = await publish(changed).catch((reason: unknown) => reason);
  return (error as ExecFileException).stderr;
};

const layers = async () =>
  (await database.orm.em.fork().find(ExerciseRevision, {})).flatMap(({ checks }) => checks.dependencies ?? []);

test('publishing dependencies says in words what it misses, and publishes nothing', async () => {
  expect(await refusalOf({ ATELIER_DATA: '' })).toBe(
    'the content has dependencies: set ATELIER_DATA, the data folder of the judging workers\n',
  );
  const unreachable = { npm_config_registry: 'https://127.0.0.1:9/', npm_config_fetch_retries: '0' };
  const said = await refusalOf({ ATELIER_DATA: folder, npm_config_cache: join(folder, 'empty'), ...unreachable });
  expect(said).toMatch(/^isarray@2\.0\.5 cannot be installed: /);
  expect(said).toMatch(/needs a registry .* Nothing was published\.\n$/);
  expect(await database.orm.em.fork().count(ExerciseRevision)).toBe(0);
}, 60_000);

await whenRegistry('npm', () => {
  test('publishing dependencies leaves a layer among the blobs of the data folder', async () => {
    expect((await publish({ ATELIER_DATA: folder })).stdout).toMatch(/^published /);
    const [layer] = await layers();
    expect(layer?.packages).toEqual(['isarray@2.0.5']);
    const files = await readLayer(await createBlobStore(join(folder, 'blobs')).get(layer?.key ?? ''));
    expect(files.map(({ path }) => path)).toContain('node_modules/isarray/index.js');
  }, 60_000);
});
