import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { git } from '../../src/git/git.ts';
import type { StarterFile } from '../../src/git/repositories.ts';
import { serveSmartHttp } from '../../src/git/smart-http.ts';

export const starter: readonly StarterFile[] = [
  { path: 'README.md', content: '# Grüße\n' },
  { path: 'src/main.js', content: 'export const answer = 42;\n' },
];

/** A folder that is gone after `use`. */
export async function makeFolder(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'atelier-git-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

export interface GitServer {
  readonly origin: string;
  readonly seen: SeenRequest[];
  /** What became of each `serveSmartHttp`. */
  readonly served: Promise<void>[];
  close(): Promise<void>;
}

/** An HTTP server that hands every request to `answer`, by default to `serveSmartHttp` over `folder`, without asking who comes. */
export async function startServer(folder: string, answer?: RequestListener): Promise<GitServer> {
  const seen: SeenRequest[] = [];
  const served: Promise<void>[] = [];
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request;
    seen.push({ method, url, headers });
    if (answer !== undefined) {
      answer(request, response);
      return;
    }
    const [path = '', query = ''] = url.split('?');
    served.push(serveSmartHttp(request, response, { folder, path, query, user: 'a-student' }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    served,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Entry {
  readonly mode: '100644' | '100755' | '120000' | '160000';
  readonly path: string;
  /** Bytes of a file, target of a symbolic link, commit id of a submodule. */
  readonly content: string | Buffer;
}

/** Writes a commit without a parent that holds exactly these entries, and lets the ref point to it. Returns its id. */
export async function importCommit(repository: string, ref: string, entries: readonly Entry[]): Promise<string> {
  const parts: (string | Buffer)[] = [
    `reset ${ref}\n\ncommit ${ref}\ncommitter A <a@example.test> 1767225601 +0000\ndata 4\nwork\n`,
  ];
  for (const { mode, path, content } of entries) {
    if (mode === '160000') parts.push(`M 160000 ${content.toString()} ${path}\n`);
    else parts.push(`M ${mode} inline ${path}\ndata ${Buffer.byteLength(content)}\n`, content, '\n');
  }
  const input = Buffer.concat(parts.map((part) => Buffer.from(part)));
  await git(repository, ['fast-import', '--quiet', '--force'], { input });
  return (await git(repository, ['rev-parse', ref])).toString('utf8').trim();
}

/** Trimmed stdout. */
export async function gitText(folder: string, ...args: string[]): Promise<string> {
  return (await git(folder, args)).toString('utf8').trim();
}

/** Whether the commit is there. */
export async function hasCommit(repository: string, commit: string): Promise<boolean> {
  const answer = await git(repository, ['cat-file', '--batch-check'], { input: `${commit}^{commit}\n` });
  return answer.toString('utf8').includes(' commit ');
}
