import { randomBytes } from 'node:crypto';
import { access, mkdir, readdir } from 'node:fs/promises';
import { request as httpRequest, type RequestListener } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { parseRepoHosts } from '../../src/domain/repo-urls.ts';
import { fetchRemote, isPublicAddress, type RemoteSource, sourceUnavailableText } from '../../src/git/fetch-remote.ts';
import { git } from '../../src/git/git.ts';
import { readCommit } from '../../src/git/read-commit.ts';
import { openRepositories, type Repositories } from '../../src/git/repositories.ts';
import { waitFor } from '../support/wait.ts';
import { commandLines } from './processes.ts';
import { type GitServer, gitText, hasCommit, importCommit, makeFolder, starter, startServer } from './support.ts';

let folder: Awaited<ReturnType<typeof makeFolder>>;
let repositories: Repositories;
let id: string;
/** The repository of somebody else's server, and this server. */
let remote: string;
let server: GitServer;

beforeEach(async () => {
  folder = await makeFolder();
  for (const name of ['own', 'scratch', 'remote/eve']) await mkdir(join(folder.path, name), { recursive: true });
  repositories = openRepositories(join(folder.path, 'own'));
  id = newId();
  await repositories.ensure(id, () => Promise.resolve(starter));
  remote = join(folder.path, 'remote/eve/work.git');
  await git(folder.path, ['init', '--quiet', '--bare', '--initial-branch=trunk', remote]);
  server = await startServer(join(folder.path, 'remote'));
});

afterEach(async () => {
  await server.close();
  const left = await readdir(join(folder.path, 'scratch'));
  await folder.remove();
  expect(left).toEqual([]);
});

const pinRefOf = (submissionId: string) => `refs/submissions/${submissionId}`;

function sourceAt(origin: string, options: Partial<RemoteSource> = {}): RemoteSource {
  return {
    url: `${origin}/eve/work.git`,
    hosts: parseRepoHosts(origin),
    repositoryPath: repositories.pathOf(id),
    pinRef: pinRefOf(newId()),
    scratchFolder: join(folder.path, 'scratch'),
    signal: new AbortController().signal,
    ...options,
  };
}

const fetchWork = (options?: Partial<RemoteSource>) => fetchRemote(sourceAt(server.origin, options));

const unavailable = (reason: string) => ({ status: 'unavailable', reason });

const work = (content: string | Buffer, ref = 'refs/heads/trunk') =>
  importCommit(remote, ref, [{ mode: '100644', path: 'work.txt', content }]);

/** Fetches from a server that answers so, and tells what came of it; there it must have been asked. */
async function fetchFrom(answer: RequestListener, options: Partial<RemoteSource> = {}) {
  const other = await startServer(folder.path, answer);
  try {
    const result = await fetchRemote(sourceAt(other.origin, options));
    expect(other.seen).not.toEqual([]);
    return result;
  } finally {
    await other.close();
  }
}

async function expectNoGitAt(origin: string): Promise<void> {
  await waitFor('the end of all git processes', async () =>
    (await commandLines()).some((line) => line.includes(origin)) ? null : true,
  );
}

describe('fetchRemote', () => {
  it('takes the default branch, a branch, tags of both kinds, and a commit by its id', async () => {
    const old = await work('old');
    const tip = await importCommit(remote, 'refs/heads/trunk', [{ mode: '100644', path: 'work.txt', content: 'tip' }]);
    const topic = await work('topic', 'refs/heads/topic/one');
    await git(remote, ['tag', 'light', old]);
    await git(remote, ['tag', '--annotate', '--message=done', 'signed-off', topic]);
    const commits: unknown[] = [];
    for (const ref of [undefined, 'HEAD', 'trunk', 'topic/one', 'light', 'signed-off', old]) {
      commits.push(await fetchWork({ ref }));
    }
    expect(commits).toEqual([tip, tip, tip, topic, old, topic, old].map((commit) => ({ status: 'fetched', commit })));
  });

  it('takes the branch where a tag has the same name, as our own repositories do', async () => {
    const branch = await work('branch', 'refs/heads/v1');
    await work('tag', 'refs/tags/v1');
    expect(await fetchWork({ ref: 'v1' })).toEqual({ status: 'fetched', commit: branch });
  });

  it('keeps the commit, without its history, where the judge reads it; the repository goes on as before', async () => {
    const first = await work('first');
    await git(remote, [
      'update-ref',
      'refs/heads/trunk',
      await gitText(remote, 'commit-tree', '-p', first, '-m', 'x', `${first}^{tree}`),
    ]);
    const submissionId = newId();
    const result = await fetchWork({ pinRef: pinRefOf(submissionId) });
    const commit = await gitText(remote, 'rev-parse', 'trunk');
    expect(result).toEqual({ status: 'fetched', commit });
    const path = repositories.pathOf(id);
    expect(await gitText(path, 'for-each-ref', '--format=%(refname) %(objectname)', 'refs/submissions')).toBe(
      `${pinRefOf(submissionId)} ${commit}`,
    );
    expect(await hasCommit(repositories.pathOf(id), first)).toBe(false);
    await git(path, ['fsck', '--strict', '--no-dangling']);

    const own = await startServer(repositories.folder);
    const clone = join(folder.path, 'clone');
    const url = `${own.origin}/${id}.git`;
    const files = await readCommit(path, commit, new AbortController().signal);
    expect(files.map(({ path: name, content }) => [name, content.toString()])).toEqual([['work.txt', 'first']]);
    await git(folder.path, ['clone', '--quiet', url, clone]);
    await git(clone, ['commit', '--quiet', '--allow-empty', '--message=more']);
    await git(clone, ['push', '--quiet', 'origin', 'HEAD']);
    expect(await repositories.resolve(id, 'main')).toMatchObject({ commit: await gitText(clone, 'rev-parse', 'HEAD') });
    await own.close();
  });

  it('asks once: repeated, it gives the same commit without network, wherever the branch has gone', async () => {
    const submitted = await work('submitted');
    const pinRef = pinRefOf(newId());
    expect(await fetchWork({ pinRef })).toEqual({ status: 'fetched', commit: submitted });
    const asked = server.seen.length;
    const newer = await work('newer');
    expect(await fetchWork({ pinRef })).toEqual({ status: 'fetched', commit: submitted });
    expect(server.seen).toHaveLength(asked);
    expect(await fetchWork()).toEqual({ status: 'fetched', commit: newer });
    await server.close();
    expect(await fetchWork({ pinRef, hosts: [] })).toEqual({ status: 'fetched', commit: submitted });
  });

  it('gives one commit to two attempts at once, between which the branch moved', async () => {
    const one = await work('one');
    const pinRef = pinRefOf(newId());
    let posts = 0;
    let goOn: (() => void) | null = null;
    // The first attempt knows its commit, and waits for it until the second is done.
    const slow = await startServer(folder.path, (request, response) => {
      if (request.method === 'POST' && ++posts === 2) goOn = () => pass(server.origin, request, response);
      else pass(server.origin, request, response);
    });
    const first = fetchRemote(sourceAt(slow.origin, { pinRef }));
    const release = await waitFor('the request for the commit', () => Promise.resolve(goOn));
    const two = await work('two');
    expect(await fetchWork({ pinRef })).toEqual({ status: 'fetched', commit: two });
    release();
    expect(await first).toEqual({ status: 'fetched', commit: two });
    await slow.close();
    // It had its own, and came second.
    expect(await hasCommit(repositories.pathOf(id), one)).toBe(true);
  });

  it('takes trees with links and submodules, follows neither, and runs nothing', async () => {
    const marker = join(folder.path, 'marker');
    const commit = await importCommit(remote, 'refs/heads/trunk', [
      { mode: '100644', path: '.gitattributes', content: '* filter=evil export-subst\n' },
      {
        mode: '100644',
        path: '.gitmodules',
        content: `[submodule "m"]\n path = m\n url = file://${folder.path}\n update = checkout\n`,
      },
      { mode: '160000', path: 'm', content: 'd'.repeat(40) },
      { mode: '120000', path: 'passwords', content: '/etc/passwd' },
      { mode: '100755', path: 'hooks/post-checkout', content: `#!/bin/sh\ntouch ${marker}\n` },
      { mode: '100644', path: 'config', content: `[core]\n fsmonitor = touch ${marker}\n` },
    ]);
    expect(await fetchWork()).toEqual({ status: 'fetched', commit });
    expect(server.seen.every(({ url }) => url.startsWith('/eve/work.git/'))).toBe(true);
    await expect(access(marker)).rejects.toThrow('ENOENT');
  });
});

/** Hands a request on to another server, and its answer back. */
const pass = (origin: string, ...[request, response]: Parameters<RequestListener>) => {
  const { method, headers, url } = request;
  const onward = httpRequest(`${origin}${url}`, { method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 500, answer.headers);
    answer.pipe(response);
  });
  request.pipe(onward);
};

describe('what is unavailable', () => {
  it('is a repository that is missing, private, empty or broken', async () => {
    expect(await fetchWork()).toEqual(unavailable('empty'));
    expect(await fetchWork({ url: `${server.origin}/eve/other.git` })).toEqual(unavailable('not-found-or-private'));
    const statuses = [];
    for (const status of [401, 403, 404, 410, 429, 500, 503]) {
      const headers = status === 401 ? { 'WWW-Authenticate': 'Basic realm="password of the database"' } : {};
      statuses.push(await fetchFrom((_request, response) => void response.writeHead(status, headers).end()));
    }
    const [notFound, error] = [unavailable('not-found-or-private'), unavailable('server-error')];
    expect(statuses).toEqual([notFound, notFound, notFound, notFound, error, error, error]);
    // What git takes for a file server without refs.
    expect(await fetchFrom((_request, response) => void response.end('<html>'))).toEqual(unavailable('empty'));
  });

  it('is a ref that is not there, and one that is no commit', async () => {
    const commit = await work('x');
    await git(remote, ['update-ref', 'refs/tags/tree', await gitText(remote, 'rev-parse', `${commit}^{tree}`)]);
    expect(await fetchWork({ ref: 'no-such-branch' })).toEqual(unavailable('ref-not-found'));
    expect(await fetchWork({ ref: 'd'.repeat(40) })).toEqual(unavailable('ref-not-found'));
    expect(await fetchWork({ ref: commit.slice(0, 12) })).toEqual(unavailable('ref-not-found'));
    expect(await fetchWork({ ref: 'tree' })).toEqual(unavailable('not-a-commit'));
  });

  it('is a ref that could be more than a name, of which nobody is asked', async () => {
    const refs = [
      '--upload-pack=touch marker',
      '--upload-pack=touch-marker',
      '-q',
      '',
      'a b',
      'a:refs/heads/main',
      '+trunk',
      '^trunk',
      '*',
      'tr*',
      'trunk~1',
      'trunk^{tree}',
      '@{u}',
      '@',
      'a..b',
      '../../HEAD',
      '/trunk',
      'trunk/',
      'a//b',
      'a/./b',
      '.hidden',
      'trunk.lock',
      'trunk\n',
      'trunk\0',
      'trünk',
      'x'.repeat(201),
    ];
    // The branch is really there.
    await git(remote, ['update-ref', 'refs/heads/--upload-pack=touch-marker', await work('x')]);
    const resolveHost = () => Promise.reject(new Error('asked'));
    const results = [];
    for (const ref of refs) results.push([ref, await fetchWork({ ref, resolveHost })]);
    expect(results).toEqual(refs.map((ref) => [ref, unavailable('refused-ref')]));
    expect(server.seen).toEqual([]);
  });

  it('is an address in another form, and one of a host that is not listed (any more)', async () => {
    await work('x');
    const resolveHost = () => Promise.reject(new Error('asked'));
    for (const url of [
      `${server.origin}/eve/work`,
      `${server.origin}/eve/../eve/work.git`,
      `file://${remote}`,
      remote,
      'ext::sh -c x',
    ]) {
      expect(await fetchWork({ url, resolveHost })).toEqual(unavailable('refused-url'));
    }
    expect(await fetchWork({ hosts: [], resolveHost })).toEqual(unavailable('refused-url'));
    expect(server.seen).toEqual([]);
  });

  it('is what redirects, and nobody goes there', async () => {
    await work('x');
    for (const status of [301, 302, 303, 307, 308]) {
      const result = await fetchFrom((request, response) => {
        response.writeHead(status, { Location: `${server.origin}${request.url}` }).end();
      });
      expect(result).toEqual(unavailable('redirect'));
    }
    const late = await fetchFrom((request, response) => {
      if (request.method === 'GET') pass(server.origin, request, response);
      else response.writeHead(307, { Location: `${server.origin}${request.url}?late` }).end();
    });
    expect(late).toEqual(unavailable('redirect'));
    expect(server.seen.filter(({ method, url }) => method !== 'GET' || url.includes('late'))).toEqual([]);
  });

  it('is a commit with objects that would harm who checks it out', async () => {
    const blob = (await git(remote, ['hash-object', '-w', '--stdin'], { input: 'x' })).toString('utf8').trim();
    const inner = (await git(remote, ['mktree'], { input: `100644 blob ${blob}\tconfig\n` })).toString('utf8').trim();
    const entry = Buffer.concat([Buffer.from('40000 .git\0'), Buffer.from(inner, 'hex')]);
    const tree = await git(remote, ['hash-object', '-t', 'tree', '-w', '--stdin', '--literally'], { input: entry });
    const commit = await gitText(remote, 'commit-tree', '-m', 'evil', tree.toString('utf8').trim());
    await git(remote, ['update-ref', 'refs/heads/trunk', commit]);
    expect(await fetchWork()).toEqual(unavailable('bad-objects'));
    await importCommit(remote, 'refs/heads/trunk', [
      { mode: '100644', path: '.gitmodules', content: '[submodule "m"]\n path = m\n url = --upload-pack=touch\n' },
    ]);
    expect(await fetchWork()).toEqual(unavailable('bad-objects'));
    expect(await hasCommit(repositories.pathOf(id), commit)).toBe(false);
  });

  it('is a server that drips', async () => {
    const drip: RequestListener = (_request, response) => {
      response.writeHead(200, { 'Content-Type': 'application/x-git-upload-pack-advertisement' });
      const timer = setInterval(() => response.write('0'), 100);
      response.once('close', () => clearInterval(timer));
    };
    expect(await fetchFrom(drip, { limits: { lowSpeedSeconds: 1 } })).toEqual(unavailable('timeout'));
  });

  it('is a server that never answers, a resolver that never does, and nobody there', async () => {
    const silent = await startServer(folder.path, () => undefined);
    expect(await fetchRemote(sourceAt(silent.origin, { limits: { wallTimeMs: 500 } }))).toEqual(unavailable('timeout'));
    await expectNoGitAt(silent.origin);
    await silent.close();
    expect(await fetchRemote(sourceAt(silent.origin))).toEqual(unavailable('unreachable'));
    const resolveHost = () => new Promise<never>(() => undefined);
    expect(await fetchWork({ resolveHost, limits: { wallTimeMs: 100 } })).toEqual(unavailable('timeout'));
  });

  it('is what is too large, also before it is there', async () => {
    await work(randomBytes(4 * 1024 * 1024));
    const limits = { bytes: 1024 * 1024 };
    expect(await fetchWork({ limits })).toEqual(unavailable('too-large'));
    // This server stops halfway, so that only its size can end the fetch.
    const halfway = await fetchFrom(
      (request, response) => {
        const { method, headers, url } = request;
        const onward = httpRequest(`${server.origin}${url}`, { method, headers }, (answer) => {
          response.writeHead(answer.statusCode ?? 500, answer.headers);
          let sent = 0;
          answer.on('data', (chunk: Buffer) => {
            if (sent < 2 * limits.bytes) response.write(chunk);
            sent += chunk.length;
          });
          answer.on('end', () => sent < 2 * limits.bytes && response.end());
        });
        request.pipe(onward);
      },
      { limits },
    );
    expect(halfway).toEqual(unavailable('too-large'));
    expect(await fetchWork()).toMatchObject({ status: 'fetched' });
  });

  it('says nothing of what the server said, and takes no trouble of the server for ours', async () => {
    const said = 'No space left on device; secret-of-the-network';
    const line = (text: string) => `${(text.length + 4).toString(16).padStart(4, '0')}${text}`;
    const results = [
      await fetchFrom((_request, response) => void response.writeHead(500, { 'Content-Type': 'text/plain' }).end(said)),
      await fetchFrom((_request, response) => {
        response.writeHead(200, { 'Content-Type': 'application/x-git-upload-pack-advertisement' });
        response.end(`${line('# service=git-upload-pack\n')}0000${line(`ERR ${said}`)}0000`);
      }),
    ];
    expect(results).toEqual([unavailable('server-error'), unavailable('server-error')]);
    expect(sourceUnavailableText).not.toMatch(/\d|host|network|address(?:es)? of|redirect|time/i);
  });
});

describe('the address', () => {
  const listed = { url: 'https://github.com/eve/work.git', hosts: parseRepoHosts('github.com') };

  it('is refused for a listed host where a single one is private, before anyone connects', async () => {
    for (const addresses of [
      ['127.0.0.1'],
      ['10.1.2.3'],
      ['::1'],
      ['140.82.121.3', '192.168.1.1'],
      ['2606:50c0:8000::64', 'fd00::1'],
      ['140.82.121.3', '::ffff:127.0.0.1'],
    ]) {
      expect(await fetchWork({ ...listed, resolveHost: () => Promise.resolve(addresses) })).toEqual(
        unavailable('refused-address'),
      );
    }
  });

  it('must be there, and be one', async () => {
    for (const addresses of [[], ['localhost'], ['fe80::1%eth0'], ["140.82.121.3' 'x'='y"]]) {
      expect(await fetchWork({ ...listed, resolveHost: () => Promise.resolve(addresses) })).toEqual(unavailable('dns'));
    }
    const resolveHost = () => Promise.reject(new Error('ENOTFOUND'));
    expect(await fetchWork({ ...listed, resolveHost })).toEqual(unavailable('dns'));
  });

  it('is the one that was looked up, once: git asks nobody for a name', async () => {
    const commit = await work('x');
    const origin = `http://git.example.invalid:${new URL(server.origin).port}`;
    const asked: string[] = [];
    const resolveHost = (host: string) => {
      asked.push(host);
      // Nobody listens at the first.
      return Promise.resolve(asked.length === 1 ? ['::1', '127.0.0.1'] : ['192.0.2.1']);
    };
    expect(await fetchRemote(sourceAt(origin, { resolveHost, ref: 'trunk' }))).toEqual({ status: 'fetched', commit });
    expect(asked).toEqual(['git.example.invalid']);
    expect(server.seen.length).toBeGreaterThan(1);
    expect(new Set(server.seen.map(({ headers }) => headers.host))).toEqual(new Set([new URL(origin).host]));
  });

  it('is used for https too, with the name that was asked for, and a stranger there is not believed', async () => {
    const hellos: Buffer[] = [];
    const stranger = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', (hello) => {
        hellos.push(hello);
        socket.end();
      });
    });
    await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
    const origin = `https://git.example.invalid:${(stranger.address() as AddressInfo).port}`;
    const result = await fetchRemote(sourceAt(origin, { resolveHost: () => Promise.resolve(['127.0.0.1']) }));
    stranger.close();
    expect(result).toEqual(unavailable('unreachable'));
    // A TLS handshake, and the name in it.
    expect(hellos[0]?.[0]).toBe(22);
    expect(hellos[0]?.includes('git.example.invalid')).toBe(true);
  });
});

describe('isPublicAddress', () => {
  it('does not hold for what is special, private, or leads there', () => {
    const addresses = [
      '0.0.0.0',
      '0.1.2.3',
      '10.255.255.255',
      '100.64.0.1',
      '100.127.255.255',
      '127.0.0.1',
      '127.255.255.254',
      '169.254.169.254',
      '172.16.0.1',
      '172.31.255.255',
      '192.0.0.8',
      '192.0.2.1',
      '192.88.99.1',
      '192.168.0.1',
      '198.18.0.1',
      '198.19.255.255',
      '198.51.100.1',
      '203.0.113.1',
      '224.0.0.1',
      '239.255.255.255',
      '240.0.0.1',
      '255.255.255.255',
      '::',
      '::1',
      '::7f00:1',
      '::ffff:127.0.0.1',
      '::ffff:140.82.121.3',
      '::ffff:0:127.0.0.1',
      '64:ff9b::7f00:1',
      '64:ff9b:1::1',
      '100::1',
      '2001::1',
      '2001:2::1',
      '2001:10::1',
      '2001:db8::1',
      '2002:7f00:1::1',
      '3fff::1',
      '4000::1',
      '5f00::1',
      'fc00::1',
      'fd12:3456::1',
      'fe80::1',
      'fec0::1',
      'ff02::1',
    ];
    expect(addresses.filter(isPublicAddress)).toEqual([]);
  });

  it('holds for all others, next to those too', () => {
    const addresses = [
      '1.1.1.1',
      '9.255.255.255',
      '11.0.0.1',
      '100.63.255.255',
      '100.128.0.1',
      '126.0.0.1',
      '128.0.0.1',
      '140.82.121.3',
      '172.15.255.255',
      '172.32.0.1',
      '192.0.3.1',
      '198.17.255.255',
      '198.20.0.1',
      '223.255.255.255',
      '2001:200::1',
      '2606:50c0:8000::64',
      '2a01:4f8::1',
      '3ffe::1',
    ];
    expect(addresses.filter((address) => !isPublicAddress(address))).toEqual([]);
  });
});

describe('trouble of ours', () => {
  it('is thrown: no repository of ours, no scratch folder', async () => {
    await work('x');
    await expect(fetchWork({ repositoryPath: join(folder.path, 'gone.git') })).rejects.toMatchObject({ name: 'GitError' });
    await expect(fetchWork({ scratchFolder: join(folder.path, 'gone') })).rejects.toMatchObject({ code: 'ENOENT' });
    expect(server.seen).toEqual([]);
  });
});

describe('an end from outside', () => {
  it('ends git too, and leaves nothing behind', async () => {
    const silent = await startServer(folder.path, () => undefined);
    const stop = new AbortController();
    const fetching = fetchRemote(sourceAt(silent.origin, { signal: stop.signal }));
    fetching.catch(() => undefined);
    await waitFor('the request', () => Promise.resolve(silent.seen.length > 0 ? true : null));
    stop.abort();
    await expect(fetching).rejects.toMatchObject({ name: 'AbortError' });
    expect(await readdir(join(folder.path, 'scratch'))).toEqual([]);
    await expectNoGitAt(silent.origin);
    await silent.close();
    await expect(fetchWork({ signal: stop.signal })).rejects.toMatchObject({ name: 'AbortError' });
  });
});
