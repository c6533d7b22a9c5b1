import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readDatabaseUrl } from '../config.ts';
import { newId } from '../database/columns.ts';
import { Installation } from '../database/entities/operations.ts';
import { migrate } from '../database/migrate.ts';
import { type Em, openOrm } from '../database/orm.ts';
import { type Role, roles } from '../domain/users.ts';
import { readCourseContent } from '../services/content.ts';
import { publishCourse } from '../services/publish.ts';
import { ensureUser } from '../services/users.ts';

/**
 * One step before the processes start: migrates the database; where ATELIER_ACCOUNTS_FILE is set (by `npm start`), it also publishes
 * the demo academy and writes the accounts it made, with their passwords, into that file.
 */
const url = readDatabaseUrl(process.env);
const accountsFile = process.env['ATELIER_ACCOUNTS_FILE'];

const DemoAccount = z.object({ email: z.email(), name: z.string(), role: z.enum(roles), password: z.string().min(1) });

const demoAccounts: readonly { email: string; name: string; role: Role }[] = [
  { email: 'student@example.test', name: 'Sam Student', role: 'CODING_STUDENT' },
  { email: 'reviewer@example.test', name: 'Robin Reviewer', role: 'ACADEMY_REVIEWER' },
  { email: 'instructor@example.test', name: 'Iris Instructor', role: 'INSTRUCTOR' },
  { email: 'admin@example.test', name: 'Alex Admin', role: 'SUPER_ADMIN' },
];

async function markInstallation(em: Em): Promise<void> {
  if ((await em.count(Installation)) > 0) return;
  em.create(Installation, { id: newId(), createdAt: new Date() });
  await em.flush();
}

/** Passwords are written before the accounts are made, and read again after a crash in between: no account has a password unknown. */
async function seedDemoAcademy(em: Em, file: string): Promise<void> {
  await publishCourse(em.fork(), await readCourseContent(join(import.meta.dirname, '../../content/demo')), { isDefault: true });
  if (existsSync(file)) return;
  const begun = `${file}.begun`;
  if (!existsSync(begun)) {
    const accounts = demoAccounts.map((account) => ({ ...account, password: randomBytes(12).toString('base64url') }));
    await writeFile(`${begun}.partial`, `${JSON.stringify(accounts, null, 2)}\n`, { mode: 0o600, flush: true });
    await rename(`${begun}.partial`, begun);
  }
  const accounts = z.array(DemoAccount).parse(JSON.parse(await readFile(begun, 'utf8')));
  for (const account of accounts) await ensureUser(em.fork(), account);
  await rename(begun, file);
}

await migrate(url);
const orm = await openOrm(url);
try {
  await markInstallation(orm.em.fork());
  if (accountsFile !== undefined) await seedDemoAcademy(orm.em.fork(), accountsFile);
} finally {
  await orm.close();
}
