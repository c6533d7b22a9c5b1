import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { identify } from '../../src/embedded/process-identity.ts';
import { removeLeftBases } from '../../src/sandbox/base-folder.ts';
import { canBootstrap } from '../../src/sandbox/local-base.ts';
import { waitFor } from '../support/wait.ts';

/** In place of debootstrap, which takes a minute and a network; in the end it does what `END` says. */
const standIn = `#!/bin/sh
mkdir -p "$4/proc" && mount -t proc proc "$4/proc" || exit 2
case "$END" in
  never) sleep 86400 & touch "$TMPDIR/mounted"; wait ;;
  trouble) echo 'E: no such luck'; exit 1 ;;
  well) umount "$4/proc" ;;
esac`;

const source = (name: string) => JSON.stringify(new URL(`../../src/sandbox/${name}`, import.meta.url).href);
/** `OTHERS`: somebody else in the process listens for the signal, too. */
const maker = `import { dockerEngine } from ${source('docker.ts')};
import { ensureLocalBase } from ${source('local-base.ts')};
if (process.env.OTHERS === 'yes') process.once('SIGTERM', () => undefined);
await ensureLocalBase(dockerEngine(process.env.ENGINE), ['hello'], () => undefined);`;

const mountsIn = (folder: string) =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(` ${folder}/`));

// It mounts, as debootstrap does.
(canBootstrap() ? describe : describe.skip)('a base made on this machine (root on Debian, with debootstrap)', () => {
  let home: string;
  /** Where the maker's temporary files are. */
  let place: string;
  let engine: Server;
  let taking: PromiseWithResolvers<void>;
  const makers: ChildProcess[] = [];

  beforeEach(async () => {
    home = realpathSync(await mkdtemp(join(tmpdir(), 'atelier-making-')));
    place = join(home, 'tmp');
    mkdirSync(place);
    writeFileSync(join(home, 'debootstrap'), standIn, { mode: 0o755 });
    taking = Promise.withResolvers();
    // It has no image, and takes one without ever saying so.
    engine = createServer(({ method }, response) => {
      if (method === 'POST') taking.resolve();
      else response.writeHead(404).end('{"message":"no such image"}');
    }).listen(join(home, 'engine.sock'));
  });

  afterEach(() => {
    for (const process of makers) process.kill('SIGKILL');
    engine.closeAllConnections();
    engine.close();
    for (const line of mountsIn(place).toReversed()) execFileSync('umount', ['--lazy', line.split(' ')[4] ?? '']);
    rmSync(home, { recursive: true });
  });

  function startMaker(end: 'never' | 'trouble' | 'well', env: NodeJS.ProcessEnv = {}): ChildProcess {
    // The stand-in is debootstrap for this process and what it starts, and for nobody else.
    const script = 'mount --bind "$1" /usr/sbin/debootstrap && shift && exec "$@"';
    const node = [process.execPath, '--input-type=module', '-e', maker];
    const child = spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', join(home, 'debootstrap'), ...node], {
      env: { PATH: process.env['PATH'], TMPDIR: place, END: end, ENGINE: join(home, 'engine.sock'), ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    makers.push(child);
    return child;
  }

  /** Process ids of all that any maker has started and that still runs. */
  const running = () =>
    readdirSync('/proc').filter((pid) => {
      try {
        return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`TMPDIR=${place}`);
      } catch {
        return false;
      }
    });
  const bases = () => readdirSync(place).filter((name) => name.startsWith('atelier-base-'));
  const isMounted = () => waitFor('the stand-in', async () => (existsSync(join(place, 'mounted')) ? true : null));
  const nothingRuns = () => waitFor('its processes to end', async () => (running().length === 0 ? true : null));

  test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('%s ends debootstrap, then clears its folder', async (signal) => {
    const child = startMaker('never');
    await isMounted();
    expect(bases()).toHaveLength(1);
    child.kill(signal);
    expect(await once(child, 'exit')).toEqual([null, signal]);
    expect(running()).toEqual([]);
    expect(bases()).toEqual([]);
  });

  test('so it does while the engine takes what was made', async () => {
    const child = startMaker('well');
    await taking.promise;
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([null, 'SIGTERM']);
    expect(running()).toEqual([]);
    expect(bases()).toEqual([]);
  });

  test('asked twice, it ends without waiting for its folder to go, but not without debootstrap', async () => {
    const child = startMaker('never');
    await isMounted();
    child.kill('SIGTERM');
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([null, expect.stringMatching(/^SIG(TERM|INT)$/)]);
    await nothingRuns();
  });

  test('how the process itself ends is left to whoever listens for the signal, too', async () => {
    const child = startMaker('never', { OTHERS: 'yes' });
    await isMounted();
    child.kill('SIGTERM');
    // The error that making the base ended with.
    expect(await once(child, 'exit')).toEqual([1, null]);
    expect(running()).toEqual([]);
    expect(bases()).toEqual([]);
  });

  test('where debootstrap fails, its words are told and its folder is cleared', async () => {
    const child = startMaker('trouble');
    let errors = '';
    child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    expect(await once(child, 'close')).toEqual([1, null]);
    expect(errors).toContain('debootstrap: E: no such luck');
    expect(bases()).toEqual([]);
  });

  test('a killed process takes debootstrap along; its folder is cleared by the next one', async () => {
    const child = startMaker('never');
    await isMounted();
    child.kill('SIGKILL');
    await nothingRuns();
    expect(bases()).toHaveLength(1);
    await once(startMaker('trouble'), 'close');
    expect(bases()).toEqual([]);
  });

  describe('a folder that is found', () => {
    const told: string[] = [];
    const clear = () => removeLeftBases(place, (message) => told.push(message));
    const gone = () => {
      const owner = spawn('true');
      return once(owner, 'exit').then(() => ({ pid: owner.pid, startedAt: 'long-ago' }));
    };

    function leave(name: string, owner: { readonly pid?: number | undefined; readonly startedAt?: string } | undefined): string {
      const folder = join(place, `atelier-base-${name}`);
      mkdirSync(join(folder, 'root/proc'), { recursive: true });
      if (owner !== undefined) writeFileSync(join(folder, 'owner'), `${owner.pid} ${owner.startedAt}`);
      return folder;
    }

    test('is unmounted and removed where its process is gone, also where the process id is in use again', async () => {
      // A blank and letters of more than a byte, as the kernel writes the one in octal.
      const left = leave('with a blänk', await gone());
      execFileSync('mount', ['-t', 'proc', 'proc', join(left, 'root/proc')]);
      execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', join(left, 'root')]);
      leave('again', { pid: process.pid, startedAt: 'long-ago' });
      await clear();
      expect(bases()).toEqual([]);
      expect(mountsIn(place)).toEqual([]);
    });

    test('stays where its process runs, and where it does not say whose it is', async () => {
      leave('ours', identify(process.pid));
      leave('unknown', undefined);
      await clear();
      expect(bases().toSorted()).toEqual(['atelier-base-ours', 'atelier-base-unknown']);
    });

    test('stays, with all that is in it, where something in it cannot be unmounted', async () => {
      const left = leave('busy', await gone());
      const mounted = join(left, 'root/proc');
      execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', mounted]);
      writeFileSync(join(mounted, 'precious'), '');
      const user = spawn('sleep', ['86400'], { cwd: mounted });
      await once(user, 'spawn');
      await clear();
      expect(readdirSync(mounted)).toEqual(['precious']);
      expect(told.join()).toContain('busy');
      user.kill();
      await once(user, 'exit');
      await clear();
      expect(bases()).toEqual([]);
    });
  });
});
