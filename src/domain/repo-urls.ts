/** A server that submissions may be fetched from: one entry of the REPO_HOSTS setting. */
export interface RepoHost {
  /** Scheme, host and port as addresses begin with them: `https://github.com`. */
  readonly origin: string;
  /** Whether repositories may lie in groups of groups, below more than two path segments. */
  readonly hasGroups: boolean;
  /** Whether it was given as an origin in full: it may be in our own network, and may speak http. */
  readonly isOwnNetwork: boolean;
}

const hostName = /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]$/;
const originInFull = /^https?:\/\/[a-z0-9.-]+(?::[0-9]+)?$/;
const groupsMark = '/*';

function parseRepoHost(entry: string): RepoHost | null {
  const hasGroups = entry.endsWith(groupsMark);
  const server = hasGroups ? entry.slice(0, -groupsMark.length) : entry;
  if (hostName.test(server)) return { origin: `https://${server}`, hasGroups, isOwnNetwork: false };
  // The second condition refuses what URL parsers mend, such as `http://127.1` or a port that is the scheme's own.
  if (!originInFull.test(server) || !URL.canParse(server) || new URL(server).origin !== server) return null;
  return { origin: server, hasGroups, isOwnNetwork: true };
}

/**
 * Reads the REPO_HOSTS setting: entries with commas between them, or `none`.
 *
 * - `github.com`: https at a public address; repositories are at `/owner/name`.
 * - `gitlab.com/*`: the same, and there may be groups: `/group/more/groups/name`.
 * - `http://127.0.0.1:8418`, `https://git.example.edu/*`: an origin in full may also be in the own network. http is for development.
 *
 * @throws RangeError that says which entry is wrong, and does not repeat it: it may hold a password.
 */
export function parseRepoHosts(text: string): readonly RepoHost[] {
  if (text.trim() === 'none') return [];
  const hosts: RepoHost[] = [];
  for (const [index, entry] of text.split(',').entries()) {
    const host = parseRepoHost(entry.trim());
    if (host === null) {
      throw new RangeError(
        `entry ${index + 1} is neither a host name in lower case (github.com, with groups gitlab.com/*) nor an origin (http://127.0.0.1:8418)`,
      );
    }
    if (hosts.some(({ origin }) => origin === host.origin)) throw new RangeError(`entry ${index + 1} names a host again`);
    hosts.push(host);
  }
  return hosts;
}

/** The host of the list that a canonical address belongs to. */
export function repoHostOf(hosts: readonly RepoHost[], url: string): RepoHost | null {
  return hosts.find(({ origin }) => url.startsWith(`${origin}/`)) ?? null;
}

/** Longer than the deepest groups of any host; in characters. */
const maxUrlLength = 500;

/** No `.` and `..`, nothing that could be an option, and no `.git` beside the suffix that is taken off. */
const isSegment = (segment: string) => /^(?!-|\.\.?$)[A-Za-z0-9._-]+$/.test(segment) && !/\.git$/i.test(segment);

/**
 * The one form in which the address of a remote repository is stored and fetched, or null where it is not allowed. Nothing is mended:
 * an address is of a listed host, letter for letter, and of plain path segments, or it is refused.
 *
 * The form ends with `.git`: GitLab answers the address without it with a redirect, and we follow none.
 */
export function canonicalRepoUrl(hosts: readonly RepoHost[], url: string): string | null {
  const host = repoHostOf(hosts, url);
  if (host === null || url.length > maxUrlLength) return null;
  const path = url.slice(host.origin.length + 1).replace(/\.git$/, '');
  const segments = path.split('/');
  const hasRightDepth = host.hasGroups ? segments.length >= 2 : segments.length === 2;
  return hasRightDepth && segments.every(isSegment) ? `${host.origin}/${path}.git` : null;
}
