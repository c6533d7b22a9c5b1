import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { canonicalRepoUrl, parseRepoHosts } from '../../src/domain/repo-urls.ts';

const development = 'http://127.0.0.1:8418';
const hosts = parseRepoHosts(`github.com, gitlab.com/*,${development},https://git.example.edu/*`);

describe('parseRepoHosts', () => {
  it('reads host names, hosts with groups, and origins in full', () => {
    expect(hosts).toEqual([
      { origin: 'https://github.com', hasGroups: false, isOwnNetwork: false },
      { origin: 'https://gitlab.com', hasGroups: true, isOwnNetwork: false },
      { origin: development, hasGroups: false, isOwnNetwork: true },
      { origin: 'https://git.example.edu', hasGroups: true, isOwnNetwork: true },
    ]);
  });

  it('reads none as no hosts', () => {
    expect(parseRepoHosts(' none ')).toEqual([]);
  });

  it.each([
    '',
    'GitHub.com',
    'github',
    'localhost',
    'github.com.',
    '.github.com',
    '-a.example.com',
    'a-.example.com',
    '127.0.0.1',
    '1.2.3.04',
    'github.com:443',
    'github.com/',
    'github.com/owner',
    'github.com/*/*',
    '*.github.com',
    '*',
    'none,',
    'bücher.example',
    'user@github.com',
    'http://',
    'http://127.1:80',
    'http://2130706433',
    'http://0x7f.0.0.1:8418',
    'http://127.0.0.1:80',
    'https://git.example.edu:443',
    'http://127.0.0.1:99999',
    'http://127.0.0.1:08418',
    'http://127.0.0.1:8418/',
    'http://127.0.0.1:8418/path',
    'http://[::1]:8418',
    'http://Git.example.edu:8418',
    'ssh://git.example.edu',
    'file:///tmp',
    'ext::sh',
  ])('refuses %j', (entry) => {
    expect(() => parseRepoHosts(entry)).toThrow(RangeError);
  });

  it('says which entry is wrong, and does not repeat it', () => {
    expect(() => parseRepoHosts('github.com,https://eve:secret@gitlab.com')).toThrow('entry 2');
    expect(() => parseRepoHosts('github.com,https://eve:secret@gitlab.com')).not.toThrow('secret');
    expect(() => parseRepoHosts('github.com,github.com/*')).toThrow('entry 2 names a host again');
    expect(() => parseRepoHosts('github.com,https://github.com')).toThrow('entry 2 names a host again');
  });
});

describe('canonicalRepoUrl', () => {
  it.each([
    ['https://github.com/owner/name', 'https://github.com/owner/name.git'],
    ['https://github.com/owner/name.git', 'https://github.com/owner/name.git'],
    ['https://github.com/Own-er/na.me_1', 'https://github.com/Own-er/na.me_1.git'],
    ['https://github.com/owner/.github', 'https://github.com/owner/.github.git'],
    ['https://github.com/o/git', 'https://github.com/o/git.git'],
    ['https://github.com/owner/name-', 'https://github.com/owner/name-.git'],
    ['https://gitlab.com/group/name', 'https://gitlab.com/group/name.git'],
    ['https://gitlab.com/group/sub/sub2/name.git', 'https://gitlab.com/group/sub/sub2/name.git'],
    ['https://git.example.edu/course/2026/name', 'https://git.example.edu/course/2026/name.git'],
    [`${development}/owner/name`, `${development}/owner/name.git`],
  ])('takes %s', (url, canonical) => {
    expect(canonicalRepoUrl(hosts, url)).toBe(canonical);
    expect(canonicalRepoUrl(hosts, canonical)).toBe(canonical);
  });

  const hostile = {
    'other schemes': [
      'http://github.com/owner/name',
      'ssh://git@github.com/owner/name',
      'git://github.com/owner/name',
      'ftp://github.com/owner/name',
      'file:///etc/passwd',
      'file://github.com/owner/name',
      'git@github.com:owner/name.git',
      'ext::sh -c "touch /tmp/x"',
      'https::github.com/owner/name',
      'fd::17/owner/name',
      'javascript:alert(1)',
      'data:text/plain,x',
      '//github.com/owner/name',
      'github.com/owner/name',
      '/srv/git/name.git',
      '../name.git',
      '',
    ],
    'options of git': [
      '--upload-pack=touch /tmp/x',
      '-https://github.com/owner/name',
      'https://github.com/-o/name',
      'https://github.com/owner/--upload-pack=x',
    ],
    userinfo: [
      'https://user@github.com/owner/name',
      'https://user:password@github.com/owner/name',
      'https://@github.com/owner/name',
      'https://github.com@127.0.0.1/owner/name',
      'https://github.com:x@evil.example/owner/name',
      'https://github.com%40evil.example/owner/name',
    ],
    'ports, queries and fragments': [
      'https://github.com:443/owner/name',
      'https://github.com:/owner/name',
      'https://github.com:22/owner/name',
      'https://github.com/owner/name?x=1',
      'https://github.com/owner/name?',
      'https://github.com/owner/name#x',
      'https://github.com?/owner/name',
      'https://github.com#/owner/name',
    ],
    'other hosts': [
      'https://evil.example/owner/name',
      'https://github.com.evil.example/owner/name',
      'https://evilgithub.com/owner/name',
      'https://api.github.com/owner/name',
      'https://github.comm/owner/name',
      'https://github.co/owner/name',
      'https://github.com./owner/name',
      'https://.github.com/owner/name',
      'https://githu%62.com/owner/name',
      'https://ｇithub.com/owner/name',
      'https://gıthub.com/owner/name',
      'https://gіthub.com/owner/name',
      'https://xn--gthub-3ya.com/owner/name',
      'https://github。com/owner/name',
      'https://github\u00ad.com/owner/name',
    ],
    addresses: [
      'https://127.0.0.1/owner/name',
      'https://127.1/owner/name',
      'https://2130706433/owner/name',
      'https://017700000001/owner/name',
      'https://0x7f000001/owner/name',
      'https://0/owner/name',
      'https://[::1]/owner/name',
      'https://[::ffff:127.0.0.1]/owner/name',
      'https://10.0.0.1/owner/name',
      'https://169.254.169.254/latest/meta-data',
      'https://localhost/owner/name',
    ],
    'near the development origin': [
      'http://127.0.0.1:84180/owner/name',
      'http://127.0.0.1:841/owner/name',
      'http://127.0.0.1/owner/name',
      'https://127.0.0.1:8418/owner/name',
      'http://127.0.0.1:8418@evil.example/owner/name',
      'http://127.0.0.1:8418.evil.example/owner/name',
      'http://127.0.0.1:8418/name',
      'http://127.0.0.1:8418/a/b/c',
    ],
    'odd characters': [
      ' https://github.com/owner/name',
      'https://github.com/owner/name ',
      'https://github.com/owner/name\n',
      'https://github.com/owner/name\r\n--upload-pack=x',
      'https://github.com/ow\tner/name',
      'https://git\thub.com/owner/name',
      'https://github.com/owner/name\0',
      'https://github.com\\owner\\name',
      'https://github.com/owner\\..\\name',
      'https:\\\\github.com\\owner\\name',
      'https://github.com/own%65r/name',
      'https://github.com/owner/%2e%2e',
      'https://github.com/owner%2fname/x',
      'https://github.com/owner/na me',
      'https://github.com/owner/näme',
      'https://github.com/owner/name;id',
      'https://github.com/owner/$(id)',
      'https://github.com/~owner/name',
      'https://github.com/owner/na:me',
      'https://github.com/owner/na+me',
      'https://github.com/owner/\ud800',
    ],
    'other paths': [
      'https://github.com',
      'https://github.com/',
      'https://github.com/owner',
      'https://github.com/owner/',
      'https://github.com/owner/name/',
      'https://github.com/owner/name.git/',
      'https://github.com//owner/name',
      'https://github.com/owner//name',
      'https://github.com/./owner/name',
      'https://github.com/owner/../name',
      'https://github.com/owner/..',
      'https://github.com/../name',
      'https://github.com/owner/.',
      'https://github.com/owner/.git',
      'https://github.com/.git/name',
      'https://github.com/owner.git/name',
      'https://github.com/owner/..git',
      'https://github.com/owner/...git',
      'https://github.com/owner/name.git.git',
      'https://github.com/owner/name.GIT',
      'https://github.com/owner/name/tree/main',
      'https://gitlab.com/name',
      'https://gitlab.com/group/-/name',
      'https://gitlab.com/group//name',
      'https://gitlab.com/group/../name',
      'https://gitlab.com/group/sub/name/',
    ],
    'what a lenient reader would mend': [
      'HTTPS://github.com/owner/name',
      'Https://github.com/owner/name',
      'https://GitHub.com/owner/name',
      'https://GITHUB.COM/owner/name',
      'https:/github.com/owner/name',
      'https:///github.com/owner/name',
      'https:github.com/owner/name',
    ],
  };

  it.each(Object.entries(hostile).flatMap(([kind, urls]) => urls.map((url) => [kind, url] as const)))(
    'refuses %s: %j',
    (_kind, url) => {
      expect(canonicalRepoUrl(hosts, url)).toBeNull();
    },
  );

  it('refuses endless addresses', () => {
    expect(canonicalRepoUrl(hosts, `https://github.com/owner/${'n'.repeat(500)}`)).toBeNull();
    expect(canonicalRepoUrl(hosts, `https://gitlab.com/${'g/'.repeat(100_000)}name`)).toBeNull();
  });

  it('takes nothing where no host is listed', () => {
    expect(canonicalRepoUrl([], 'https://github.com/owner/name')).toBeNull();
  });

  it('takes only what every reader of addresses reads in the same way, whatever comes', () => {
    const bits = [
      'https://',
      'github.com',
      '/',
      'owner',
      '.git',
      '.',
      '..',
      '-',
      '@',
      ':',
      ':443',
      '?',
      '#',
      '%2e',
      '\\',
      '\t',
      '\n',
      '\0',
    ];
    const bit = fc.oneof(fc.constantFrom(...bits, '//', '[::1]', 'ｇ', 'user:pw@'), fc.string({ unit: 'binary', maxLength: 3 }));
    const segment = fc.stringMatching(/^[A-Za-z0-9._-]{1,5}$/);
    const plain = fc
      .tuple(fc.constantFrom(...hosts.map(({ origin }) => origin)), fc.array(segment, { minLength: 1, maxLength: 4 }))
      .map(([origin, path]) => [origin, ...path].join('/'));
    // Ordinary addresses, some with something put in or taken out anywhere; few of them are still allowed.
    const edited = fc
      .tuple(plain, fc.nat(60), fc.nat(2), bit)
      .map(([url, at, removed, added]) => url.slice(0, at) + added + url.slice(at + removed));
    const address = fc.oneof(
      plain,
      edited,
      fc.array(bit, { maxLength: 8 }).map((parts) => parts.join('')),
    );
    let taken = 0;
    fc.assert(
      fc.property(address, (url) => {
        const canonical = canonicalRepoUrl(hosts, url);
        if (canonical === null) return;
        taken += 1;
        const read = new URL(canonical);
        expect(hosts.map(({ origin }) => origin)).toContain(read.origin);
        expect([read.username, read.password, read.search, read.hash]).toEqual(['', '', '', '']);
        expect(read.href).toBe(canonical);
        expect(canonical).toBe(`${url.replace(/\.git$/, '')}.git`);
        expect(canonicalRepoUrl(hosts, canonical)).toBe(canonical);
      }),
      { numRuns: 3_000 },
    );
    // A property of what is taken says nothing where nothing is.
    expect(taken).toBeGreaterThan(200);
  });
});
