/**
 * For developers: `npm run migration -- check` fails when an entity has changed without a migration, `-- create NAME` writes one.
 * Needs ATELIER_DATABASE_URL of a database that has all migrations.
 */
import { openOrm } from '../src/database/orm.ts';

const [command, name] = process.argv.slice(2);
const orm = await openOrm(process.env['ATELIER_DATABASE_URL'] ?? '');
try {
  if (command === 'check') {
    if (await orm.migrator.checkSchema())
      throw new Error('an entity has changed without a migration: npm run migration -- create NAME');
  } else if (command === 'create') {
    const { fileName } = await orm.migrator.create(undefined, false, false, name);
    console.log(fileName === '' ? 'nothing to do' : `${fileName}: list it in src/database/migrations/index.ts`);
  } else {
    throw new Error('usage: npm run migration -- check | create NAME');
  }
} finally {
  await orm.close();
}
