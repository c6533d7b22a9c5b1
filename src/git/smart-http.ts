import { spawn } from 'node:child_process';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { gitEnvironment } from './git.ts';

/** One request of git's smart HTTP protocol, taken apart and authorised by the caller. */
export interface SmartHttpRequest {
  /** Folder that holds the repositories. */
  readonly folder: string;
  /** Below the folder, such as `/<id>.git/info/refs`. */
  readonly path: string;
  /** Without the question mark. */
  readonly query: string;
  /** Shown in the reflog; an id. */
  readonly user: string;
}

/** Services of the protocol that change a repository. */
export const isPush = (path: string, query: string) =>
  path.endsWith('/git-receive-pack') || new URLSearchParams(query).get('service') === 'git-receive-pack';

/**
 * Answers through `git http-backend`, the CGI program that comes with git (RFC 3875). Request and answer are streamed; a client that
 * goes away ends the process.
 */
export async function serveSmartHttp(request: IncomingMessage, response: ServerResponse, input: SmartHttpRequest): Promise<void> {
  const child = spawn('git', ['http-backend'], {
    env: {
      ...gitEnvironment(),
      GIT_PROJECT_ROOT: input.folder,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: input.path,
      QUERY_STRING: input.query,
      REQUEST_METHOD: request.method ?? 'GET',
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      HTTP_GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      REMOTE_USER: input.user,
      REMOTE_ADDR: request.socket.remoteAddress ?? '',
      // git reads to the end of the stream where the length is not known (chunked pushes).
      ...(request.headers['content-length'] && { CONTENT_LENGTH: request.headers['content-length'] }),
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  // With the app's own and those of a pipeline they are one more than what Node takes for a leak.
  response.setMaxListeners(20);
  response.once('close', () => child.kill('SIGKILL'));
  const failed = new Promise<never>((_, reject) => child.once('error', reject));
  failed.catch(() => undefined);
  // The program may answer (and end) before it has read all: that is its right.
  pipeline(request, child.stdin).catch(() => undefined);
  const body = await Promise.race([readCgiHeaders(child.stdout, response), failed]);
  if (body.length > 0) response.write(body);
  await Promise.race([pipeline(child.stdout, response), failed]).catch((error: unknown) => {
    // A client that went away is no trouble of ours.
    if (!response.destroyed || response.writableFinished) throw error;
  });
}

/** Reads the CGI header block, sets status and headers, and returns what came after it. */
async function readCgiHeaders(stdout: NodeJS.ReadableStream, response: ServerResponse): Promise<Buffer> {
  let head = Buffer.alloc(0);
  return new Promise((resolve, reject) => {
    const onData = (chunk: Buffer) => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\r\n\r\n');
      if (end < 0 && head.length < 16_384) return;
      stop();
      if (end < 0) return reject(new Error('git http-backend sent no headers'));
      for (const line of head.subarray(0, end).toString('latin1').split('\r\n')) {
        const [name, value] = [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()];
        if (name.toLowerCase() === 'status') response.statusCode = Number.parseInt(value, 10);
        else response.setHeader(name, value);
      }
      return resolve(head.subarray(end + 4));
    };
    const onEnd = () => {
      stop();
      reject(new Error('git http-backend ended without an answer'));
    };
    const stop = () => {
      stdout.pause();
      stdout.off('data', onData);
      stdout.off('end', onEnd);
    };
    stdout.on('data', onData);
    stdout.on('end', onEnd);
  });
}
