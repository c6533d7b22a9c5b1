import type { RequestListener } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/database/columns.ts';
import { commitPath, fetchCommit, toCommitFiles } from '../../src/git/fetch-commit.ts';
import { SourceProblem } from '../../src/git/read-commit.ts';
import { waitFor } from '../support/wait.ts';
import { type GitServer, startServer } from './support.ts';

const repositoryId = newId();
const commit = 'd'.repeat(40);
const files = [
  { path: 'empty', content: Buffer.alloc(0) },
  { path: 'src/Grüße 你好.bin', content: Buffer.from([0, 255, 10, 13, 0, 0xe9]) },
];

let answer: RequestListener;
let server: GitServer;

beforeEach(async () => {
  answer = (_request, response) => void response.end(JSON.stringify(toCommitFiles(files)));
  server = await startServer('/nowhere', (request, response) => answer(request, response));
});

afterEach(() => server.close());

const fetchFrom = (origin = server.origin, signal = new AbortController().signal) =>
  fetchCommit({ origin, repositoryId, token: 'a-token', commit, signal });

describe('fetchCommit', () => {
  it('asks for the commit with the token as the password, and gets the files byte for byte', async () => {
    expect(await fetchFrom()).toEqual(files);
    const authorization = `Basic ${Buffer.from('judge:a-token').toString('base64')}`;
    expect(server.seen).toMatchObject([{ method: 'GET', url: commitPath(repositoryId, commit), headers: { authorization } }]);
  });

  it.each([301, 302, 307, 308])('follows no redirect (%i): the token goes nowhere else', async (status) => {
    const other = await startServer('/nowhere', (_request, response) => void response.end('{}'));
    answer = (_request, response) => void response.writeHead(status, { Location: other.origin }).end();
    await expect(fetchFrom()).rejects.toThrow('fetch failed');
    expect(other.seen).toEqual([]);
    await other.close();
  });

  it('tells what is wrong with the commit from trouble of ours', async () => {
    answer = (_request, response) => void response.writeHead(422).end('{"detail":"The commit is not there."}');
    await expect(fetchFrom()).rejects.toThrow(new SourceProblem('The commit is not there.'));
    for (const status of [401, 403, 404, 429, 500, 502, 503]) {
      answer = (_request, response) => void response.writeHead(status).end('{"detail":"no"}');
      await expect(fetchFrom()).rejects.not.toBeInstanceOf(SourceProblem);
    }
  });

  it.each(['', '[]', '{"files":[{"path":"a","content":"not base64!"}]}'])(
    'takes no answer of another shape: %j',
    async (body) => {
      answer = (_request, response) => void response.end(body);
      await expect(fetchFrom()).rejects.toThrow(/JSON|expected|invalid/i);
    },
  );

  it('fails where nobody answers', async () => {
    const gone = await startServer('/nowhere');
    await gone.close();
    await expect(fetchFrom(gone.origin)).rejects.toThrow('fetch failed');
    // A TypeError is taken for our own mistake, which would park the submission for good.
    await expect(fetchFrom(gone.origin)).rejects.not.toBeInstanceOf(TypeError);
  });

  it('takes an answer that breaks off for trouble that passes', async () => {
    answer = (_request, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write('{"files":[');
      setImmediate(() => response.destroy());
    };
    await expect(fetchFrom()).rejects.not.toBeInstanceOf(TypeError);
  });

  it('ends when it is told to', async () => {
    answer = () => undefined;
    const stop = new AbortController();
    const fetching = fetchFrom(server.origin, stop.signal);
    fetching.catch(() => undefined);
    await waitFor('the request', async () => (server.seen.length > 0 ? true : null));
    stop.abort();
    await expect(fetching).rejects.toHaveProperty('name', 'AbortError');
  });
});
