import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { BlockList, isIP } from 'node:net';
import { join } from 'node:path';
import { canonicalRepoUrl, type RepoHost, repoHostOf } from '../domain/repo-urls.ts';
import { git, GitError } from './git.ts';
import { fetchPrefix } from './stale-fetches.ts';

/** Why a remote commit could not be had. For the log only: to a student it would tell about our network. */
export type UnavailableReason =
  | 'refused-url'
  | 'refused-ref'
  | 'dns'
  | 'refused-address'
  | 'unreachable'
  | 'redirect'
  | 'not-found-or-private'
  | 'empty'
  | 'ref-not-found'
  | 'not-a-commit'
  | 'too-large'
  | 'timeout'
  | 'bad-objects'
  | 'server-error';

export type FetchedRemote =
  | { readonly status: 'fetched'; readonly commit: string }
  | { readonly status: 'unavailable'; readonly reason: UnavailableReason };

/** What a student is told, whatever the reason was. */
export const sourceUnavailableText =
  'The repository could not be fetched. Check that its address and the branch, tag or commit are right, that everybody may read it ' +
  'without a password, and that it is not large; then submit again. This attempt does not count.';

/** Bounds of one fetch: a project exercise is small, and a server of somebody else's may be slow for ever. */
export interface FetchLimits {
  /** From the first question to DNS until the commit is kept. */
  readonly wallTimeMs: number;
  /** What git may write while it fetches; compressed, and with nothing but the one commit. */
  readonly bytes: number;
  /** A server that sends less than 1,000 bytes a second for so long is given up. */
  readonly lowSpeedSeconds: number;
}

const defaultLimits: FetchLimits = { wallTimeMs: 60_000, bytes: 64 * 1024 * 1024, lowSpeedSeconds: 20 };

/** Often enough that even a quick line brings little more than the limit. */
const sizeCheckMs = 50;

export interface RemoteSource {
  /** In the form that `canonicalRepoUrl` gives. */
  readonly url: string;
  /** Branch, tag or full commit id; without it, the server's default branch. */
  readonly ref?: string | undefined;
  readonly hosts: readonly RepoHost[];
  /** Our own bare repository, and the ref in it that keeps the commit. */
  readonly repositoryPath: string;
  readonly pinRef: string;
  readonly scratchFolder: string;
  readonly signal: AbortSignal;
  /** All IP addresses of a host; by default those that the machine's resolver gives. */
  readonly resolveHost?: (host: string) => Promise<readonly string[]>;
  readonly limits?: Partial<FetchLimits>;
}

/**
 * Resolves a ref of a remote repository to a commit, and keeps this commit (without its history) in our own repository.
 *
 * Safe to repeat: once `pinRef` is there, its commit is the answer, without network, wherever the remote branch has gone.
 * git asks no DNS: it connects to addresses that were looked up and checked here, and follows no redirect. Of an address that is not
 * in the form, or whose host is no longer listed, nothing is asked at all.
 *
 * @throws GitError or a system error where the trouble is ours: no git 2.37, a full disk, no own repository; the reason of `signal`
 * where that ended it. Trouble of the remote is a result.
 */
export async function fetchRemote(source: RemoteSource): Promise<FetchedRemote> {
  const { repositoryPath, pinRef } = source;
  const pinned = await selectOptionalCommit(repositoryPath, pinRef);
  if (pinned !== null) return { status: 'fetched', commit: pinned };
  // The name is one of those that `removeStaleFetches` removes after a crash.
  const folder = await mkdtemp(join(source.scratchFolder, fetchPrefix));
  const limits = { ...defaultLimits, ...source.limits };
  const overLimit = new AbortController();
  const timer = setTimeout(() => overLimit.abort(new Unavailable('timeout')), limits.wallTimeMs);
  const signal = AbortSignal.any([source.signal, overLimit.signal]);
  const stopWatching = watchSize(folder, limits.bytes, () => overLimit.abort(new Unavailable('too-large')));
  try {
    const candidates = remoteRefs(source.ref);
    const environment = fetchEnvironment(source.url, await checkedAddresses(source, signal), limits);
    await requirePinning(folder);
    await git(folder, ['init', '--quiet', '--bare', '--template=', '.']);
    await fetchFirst(folder, source.url, candidates, { signal, environment, timeoutMs: limits.wallTimeMs });
    if ((await bytesWritten(folder)) > limits.bytes) throw new Unavailable('too-large');
    const commit = await selectOptionalCommit(folder, fetchedRef);
    if (commit === null) throw new Unavailable('not-a-commit');
    signal.throwIfAborted();
    return { status: 'fetched', commit: await keepCommit(folder, commit, { repositoryPath, pinRef }) };
  } catch (error) {
    if (error instanceof Unavailable) return { status: 'unavailable', reason: error.reason };
    throw error;
  } finally {
    clearTimeout(timer);
    stopWatching();
    // git's helpers may still be ending.
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Trouble of the remote repository, or with what is asked of it. */
class Unavailable extends Error {
  readonly reason: UnavailableReason;

  constructor(reason: UnavailableReason) {
    super(reason);
    this.reason = reason;
  }
}

const fetchedRef = 'refs/atelier/fetched';

/** The commit that a ref of a local repository leads to, or null where there is none. */
async function selectOptionalCommit(repository: string, ref: string): Promise<string | null> {
  try {
    const output = await git(repository, ['rev-parse', '--verify', '--quiet', '--end-of-options', `${ref}^{commit}`]);
    return output.toString('utf8').trim();
  } catch (error) {
    // Anything else is trouble with the repository itself.
    if (error instanceof GitError && error.exitCode === 1) return null;
    throw error;
  }
}

/** What to ask the server for, first to last; nothing of it can be an option, a pattern or two refs. */
function remoteRefs(ref = 'HEAD'): readonly string[] {
  if (ref === 'HEAD' || /^[0-9a-f]{40}$/.test(ref)) return [ref];
  const isName = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$/.test(ref) && !/\.\.|\/\/|\/\.|\.\/|[/.]$|\.lock(\/|$)/.test(ref);
  if (!isName) throw new Unavailable('refused-ref');
  return [`refs/heads/${ref}`, `refs/tags/${ref}`];
}

/** What is not of the public internet (IANA special-purpose registries). Two lists: Node compares IPv4 with IPv6 subnets too. */
const specialIpv4 = new BlockList();
for (const subnet of [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
]) {
  const [network = '', prefix] = subnet.split('/');
  specialIpv4.addSubnet(network, Number(prefix), 'ipv4');
}
/** All but 2000::/3, and in that what holds or tunnels to other addresses: mapped ones, NAT64, Teredo, 6to4. */
const specialIpv6 = new BlockList();
for (const subnet of ['::/3', '4000::/2', '8000::/1', '2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20']) {
  const [network = '', prefix] = subnet.split('/');
  specialIpv6.addSubnet(network, Number(prefix), 'ipv6');
}

/** Whether an IP address, without a zone, is one of the public internet. */
export function isPublicAddress(address: string): boolean {
  return isIP(address) === 4 ? !specialIpv4.check(address, 'ipv4') : !specialIpv6.check(address, 'ipv6');
}

const lookupAll = async (host: string) => (await lookup(host, { all: true })).map(({ address }) => address);

/** The addresses of the url's host, all of them allowed. A name with a single one that is not is refused: what is mixed is an attack. */
async function checkedAddresses(source: RemoteSource, signal: AbortSignal): Promise<readonly string[]> {
  const { url, hosts, resolveHost = lookupAll } = source;
  const host = repoHostOf(hosts, url);
  if (host === null || canonicalRepoUrl(hosts, url) !== url) throw new Unavailable('refused-url');
  signal.throwIfAborted();
  const addresses = await Promise.race([
    resolveHost(new URL(url).hostname).catch(() => []),
    // A resolver cannot be told to stop.
    once(signal, 'abort').then(() => []),
  ]);
  signal.throwIfAborted();
  // An address with a zone (fe80::1%eth0) is link-local, and not what the lists can read.
  if (addresses.length === 0 || !addresses.every((address) => isIP(address) !== 0 && !address.includes('%'))) {
    throw new Unavailable('dns');
  }
  if (!host.isOwnNetwork && !addresses.every(isPublicAddress)) throw new Unavailable('refused-address');
  return addresses;
}

function fetchEnvironment(url: string, addresses: readonly string[], limits: FetchLimits): Record<string, string> {
  const { protocol, hostname, port } = new URL(url);
  const portNumber = port === '' ? { 'https:': '443', 'http:': '80' }[protocol] : port;
  const pin = addresses.map((address) => (isIP(address) === 6 ? `[${address}]` : address)).join(',');
  const settings = {
    // Without the `+` of its manual: with it, curl asks DNS again after a minute.
    'http.curloptResolve': `${hostname}:${portNumber}:${pin}`,
    'http.lowSpeedLimit': '1000',
    'http.lowSpeedTime': String(limits.lowSpeedSeconds),
    // With it, git also keeps the objects in one pack, however few they are: the pack's size is what is watched.
    'transfer.fsckObjects': 'true',
    'pack.threads': '1',
  };
  return environmentOf(protocol.slice(0, -1), settings);
}

/** What git gets beside `gitEnvironment`; the values hold no quotes. */
function environmentOf(protocol: string, settings: Readonly<Record<string, string>>): Record<string, string> {
  // A small pack may unfold to files of gigabytes: these go through a buffer, not into memory.
  const all = { ...settings, 'core.bigFileThreshold': '1m' };
  return {
    GIT_ALLOW_PROTOCOL: protocol,
    GIT_CONFIG_PARAMETERS: Object.entries(all)
      .map(([key, value]) => `'${key}'='${value}'`)
      .join(' '),
  };
}

/** @throws Error where git is so old (before 2.37) that it would pass over `http.curloptResolve` and ask DNS itself. */
async function requirePinning(folder: string): Promise<void> {
  const version = (await git(folder, ['version'])).toString('utf8');
  const [, major = '0', minor = '0'] = /(\d+)\.(\d+)/.exec(version) ?? [];
  if (Number(major) < 2 || (Number(major) === 2 && Number(minor) < 37)) {
    throw new Error('repositories of other servers need git 2.37 or newer');
  }
}

/** Fetches the first of these refs that the server has as `fetchedRef`. */
async function fetchFirst(
  folder: string,
  url: string,
  refs: readonly string[],
  options: { signal: AbortSignal; environment: Record<string, string>; timeoutMs: number },
): Promise<void> {
  const args = ['fetch', '--quiet', '--depth=1', '--no-tags', '--no-recurse-submodules', '--no-write-fetch-head', '--', url];
  let reason: UnavailableReason = 'ref-not-found';
  for (const ref of refs) {
    try {
      await git(folder, [...args, `${ref}:${fetchedRef}`], options);
      return;
    } catch (error) {
      if (!(error instanceof GitError)) throw error;
      reason = reasonOf(error);
      if (reason !== 'ref-not-found') break;
    }
  }
  throw new Unavailable(reason === 'ref-not-found' && refs[0] === 'HEAD' ? 'empty' : reason);
}

/** What git or curl says where the machine, not the remote, is the trouble. */
const ownTrouble =
  /no space left on device|disk quota exceeded|cannot allocate memory|out of memory|too many open files|died of signal/i;

const reasons: readonly (readonly [UnavailableReason, RegExp])[] = [
  ['ref-not-found', /couldn't find remote ref|not our ref|unadvertised object/i],
  ['not-found-or-private', /repository '' not found|could not read (?:username|password)|returned error: (?:401|403|404|410)/i],
  ['redirect', /returned error: 3\d\d|redirect/i],
  ['timeout', /operation too slow|timed out/i],
  ['unreachable', /failed to connect|couldn't connect|could not resolve|unable to access .*(?:ssl|tls|certificate)/i],
  ['bad-objects', /fsck error|index-pack|unpack|bad (?:object|pack)|bad tree|missing blob|invalid/i],
];

/** @throws GitError where the trouble is ours, without what the server said. */
function reasonOf(error: GitError): UnavailableReason {
  // Lines that git has from the server; they may say anything.
  const ownWords = error.stderr
    .split('\n')
    .filter((line) => !line.startsWith('remote: '))
    .join('\n')
    // Addresses, which may hold any word.
    .replaceAll(/'[^'\n]*'/g, "''");
  const isRemoteError = ownWords.includes('remote error: ');
  const trouble = error.exitCode === null ? 'killed' : ownTrouble.exec(ownWords)?.[0];
  if (trouble !== undefined && !isRemoteError) throw new GitError('fetch', error.exitCode, trouble);
  return reasons.find(([, words]) => words.test(ownWords))?.[0] ?? 'server-error';
}

/**
 * Moves a commit from the throw-away repository into our own. Of two attempts at once the first to pin wins; the other returns its
 * commit. No signal ends it: a git that is killed here would leave its locks in our repository.
 */
async function keepCommit(
  folder: string,
  commit: string,
  { repositoryPath, pinRef }: { repositoryPath: string; pinRef: string },
): Promise<string> {
  const args = ['fetch', '--quiet', '--no-tags', '--no-recurse-submodules', '--no-write-fetch-head', '--update-shallow'];
  try {
    // The one git that reads a path. The commit's history stays away, which --update-shallow writes down.
    await git(repositoryPath, [...args, '--', folder, `${commit}:${pinRef}`], { environment: environmentOf('file', {}) });
    return commit;
  } catch (error) {
    const pinned = await selectOptionalCommit(repositoryPath, pinRef);
    if (pinned === null) throw error;
    return pinned;
  }
}

const packsOf = (folder: string) => join(folder, 'objects', 'pack');

/** Size of all packs of a repository, finished or not, in bytes. */
async function bytesWritten(folder: string): Promise<number> {
  const names = await readdir(packsOf(folder)).catch(() => []);
  // A file may get its final name between the two questions.
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(packsOf(folder), name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Calls `onTooLarge` when git has written more than so many bytes. Returns what ends the watch. */
function watchSize(folder: string, maxBytes: number, onTooLarge: () => void): () => void {
  const timer = setInterval(() => {
    void bytesWritten(folder).then((bytes) => bytes > maxBytes && onTooLarge());
  }, sizeCheckMs);
  return () => clearInterval(timer);
}
