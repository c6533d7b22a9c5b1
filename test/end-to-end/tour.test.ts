import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { contract } from '../../src/api/contract/contract.ts';
import type { Endpoint } from '../../src/api/contract/core.ts';
import type { Role } from '../../src/domain/users.ts';
import { probeSandboxes } from '../../src/sandbox/choose.ts';
import { ensureUser } from '../../src/services/users.ts';
import { run } from '../scripts/fixture.ts';
import { password } from '../support/factories.ts';
import { Academy } from './academy.ts';

const projectFolder = join(import.meta.dirname, '../..');
const usable = (await probeSandboxes()).find(({ usable: isUsable }) => isUsable)?.kind;

let academy: Academy;

beforeAll(async () => {
  // Where neither is there, judging waits and the tour fails: that is what a reader would see.
  academy = await Academy.start(usable ?? 'bubblewrap');
}, 120_000);

afterAll(() => academy.stop(), 60_000);

it('runs docs/tour.md as it stands', async () => {
  const accounts = [
    { email: 'reviewer@example.test', name: 'Robin', role: 'ACADEMY_REVIEWER' as Role, password },
    { email: 'admin@example.test', name: 'Alex', role: 'SUPER_ADMIN' as Role, password },
  ];
  for (const account of accounts) await ensureUser(academy.orm.em.fork(), account);
  const file = join(academy.folder, 'accounts.json');
  writeFileSync(file, JSON.stringify(accounts));
  const environment = { PATH: process.env['PATH'], HOME: academy.folder, ORIGIN: academy.origin, ACCOUNTS: file };
  const tour = run(process.execPath, [join(projectFolder, 'scripts/tour.js')], environment);
  const exit = await tour.ended;
  // Shown where it failed.
  expect(exit === 0 ? '' : tour.output().slice(-2_000)).toBe('');

  const log = readFileSync(join(academy.folder, 'logs/api.log'), 'utf8');
  // What Node itself has to say, such as of listeners that seem to leak.
  for (const name of ['api', 'submissions', 'judging', 'notifications'] as const)
    expect(academy.log(name).match(/^\(node:\d+\).*/gm)).toBeNull();

  const requests = log.matchAll(/"method":"(\w+)","url":"([^"?]+)/g);
  const asked = new Set(
    [...requests].map(([, method = '', url = '']) => `${method} ${url.replaceAll(/[0-9a-f-]{36}/g, '{id}')}`),
  );
  const missing = Object.entries(contract as Record<string, Endpoint>)
    .filter(([, { method, path }]) => !asked.has(`${method.toUpperCase()} /api${path.replace('{slug}', 'small-tools')}`))
    .map(([name]) => name);
  // Nothing is parked and no mail is given up where all goes well; the text names these routes.
  expect(missing.toSorted()).toEqual(['closeSubmission', 'redriveSubmission', 'retryDelivery']);
}, 180_000);
