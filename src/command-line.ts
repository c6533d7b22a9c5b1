import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { z } from 'zod';
import { ConfigError, readDatabaseUrl, readDataFolder, readTemporalAddress } from './config.ts';
import { migrate } from './database/migrate.ts';
import { type Em, openOrm } from './database/orm.ts';
import type { DependencyList } from './domain/exercises.ts';
import { createLayerBuilder } from './layers/build-layer.ts';
import { LayerError } from './layers/layer-tar.ts';
import { createLogger } from './logger.ts';
import { readCourseContent } from './services/content.ts';
import { ContentError } from './services/content-format.ts';
import { publishCourse } from './services/publish.ts';
import { ensureUser } from './services/users.ts';
import { createBlobStore } from './storage/blobs.ts';
import { createTemporalClient } from './temporal/client.ts';
import { createWorkflowInspection } from './temporal/reconcile.ts';
import { reconcile } from './workers/reconciler.ts';

/** `npm run atelier`: what is done beside the API, on the database of ATELIER_DATABASE_URL. */
const program = new Command('atelier').description('Works on the database of ATELIER_DATABASE_URL.').showHelpAfterError();

program
  .command('migrate')
  .description('bring the database to this version; safe to repeat and to run in parallel')
  .action(() => migrate(readDatabaseUrl(process.env)));

/** Layers are read by the judging workers, from the blobs of the data folder that all processes share. */
function buildLayer(list: DependencyList): Promise<string> {
  const dataFolder = readDataFolder(process.env);
  return createLayerBuilder(createBlobStore(join(dataFolder, 'blobs')), process.env)(list);
}

program
  .command('publish <folder>')
  .description('publish a course from a content folder; what has changed becomes a new revision')
  .option('--default', 'everybody who registers is enrolled in it', false)
  .action(async (folder: string, options: { default: boolean }) => {
    const content = await readCourseContent(folder);
    await withDatabase((em) => publishCourse(em, content, { isDefault: options.default, buildLayer }));
    console.log(`published ${content.course.slug} with ${content.exercises.length} exercises`);
  });

program
  .command('reconcile')
  .description(
    'bring PostgreSQL and Temporal (TEMPORAL_ADDRESS) together at once, after one of them was restored; safe to repeat',
  )
  .action(async () => {
    const { address, namespace } = readTemporalAddress(process.env);
    const client = createTemporalClient(address, namespace);
    const orm = await openOrm(readDatabaseUrl(process.env));
    try {
      const inspection = createWorkflowInspection(client);
      const { restarted, ended } = await reconcile(
        { orm, inspection, logger: createLogger('reconcile', 'warn') },
        { lost: 0, idle: 0 },
      );
      console.log(`${restarted} to be started again, ${ended} ended that had nothing left to do`);
    } finally {
      await orm.close();
      await client.connection.close();
    }
  });

program
  .command('admin')
  .description('administrators')
  .command('create <email>')
  .description('make an administrator; without a password file a password is made and printed')
  .option('--name <name>', 'shown to others', 'Administrator')
  .option('--password-file <file>', 'file whose text is the password')
  .action(async (email: string, options: { name: string; passwordFile?: string }) => {
    const given = options.passwordFile === undefined ? null : (await readFile(options.passwordFile, 'utf8')).trim();
    const password = given ?? randomBytes(15).toString('base64url');
    const account = NewAdmin.parse({ email, name: options.name, password });
    const { isNew } = await withDatabase((em) => ensureUser(em, { ...account, role: 'SUPER_ADMIN' }));
    if (!isNew) throw new Refusal(`${email} has an account already: nothing was changed.`);
    console.log(`made the administrator ${email}${given === null ? `, password ${password}` : ''}`);
  });

const NewAdmin = z.object({ email: z.email().max(254), name: z.string().min(1).max(200), password: z.string().min(10).max(200) });

/** What the user can put right: shown without a stack. */
class Refusal extends Error {}

async function withDatabase<T>(use: (em: Em) => Promise<T>): Promise<T> {
  const orm = await openOrm(readDatabaseUrl(process.env));
  try {
    return await use(orm.em.fork());
  } finally {
    await orm.close();
  }
}

try {
  await program.parseAsync();
} catch (error) {
  console.error(explain(error));
  process.exitCode = 1;
}

/** In words where the user can put it right, with its stack where we must. */
function explain(error: unknown): unknown {
  if (error instanceof z.ZodError) return z.prettifyError(error);
  const isExpected = [Refusal, ConfigError, ContentError, LayerError].some((kind) => error instanceof kind);
  return isExpected ? (error as Error).message : error;
}
