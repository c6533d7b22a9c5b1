import { createWriteStream } from 'node:fs';
import { access, chmod, constants, cp, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { Agent, get } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { messageOf, Refusal } from './errors.ts';
import { waitForLock } from './lock.ts';
import { runProgram } from './run-program.ts';

export interface TemporalCliOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Folder shared by all checkouts of this user. */
  readonly cacheFolder: string;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

export interface TemporalCli {
  readonly path: string;
  readonly version: string;
  readonly from: 'PATH' | 'cache' | 'download' | 'go';
}

const version = '1.5.1';
const goModule = `github.com/temporalio/cli/cmd/temporal@v${version}`;
/** Where the SDK, too, downloads its development server. */
const downloadOrigin = 'https://temporal.download';
const DownloadInfo = z.object({ archiveUrl: z.url({ protocol: /^https$/ }), fileToExtract: z.string() });
const connectTimeoutMs = 10_000;
const progressMs = 15_000;

/**
 * Finds the `temporal` program, which is Temporal's development server with its web UI: on PATH, in the cache, by download, or
 * built with Go where there is no way out but a module proxy.
 *
 * Safe to interrupt and repeat: the cache holds only what ran once, under its final name.
 *
 * @throws Refusal with the one thing to do when none of these works
 */
export async function findTemporalCli(options: TemporalCliOptions): Promise<TemporalCli> {
  for (const folder of (options.env['PATH'] ?? '').split(delimiter).filter((entry) => entry !== '')) {
    const path = join(folder, 'temporal');
    const found = (await isExecutable(path)) && (await versionOf(path));
    if (found) return { path, version: found, from: 'PATH' };
  }
  const folder = join(options.cacheFolder, `temporal-cli-${version}`);
  const path = join(folder, 'temporal');
  const cached = async (): Promise<TemporalCli | undefined> => {
    const found = (await isExecutable(path)) && (await versionOf(path));
    return found ? { path, version: found, from: 'cache' } : undefined;
  };
  const known = await cached();
  if (known) return known;
  await mkdir(folder, { recursive: true });
  const lock = await waitForLock(
    join(folder, 'lock'),
    'fetching the Temporal CLI',
    ({ pid }) => options.say(`Process ${pid} is fetching the Temporal CLI; waiting for it.`),
    options.signal,
  );
  try {
    return (await cached()) ?? (await fetchInto(folder, path, options));
  } finally {
    lock.release();
  }
}

async function fetchInto(folder: string, path: string, options: TemporalCliOptions): Promise<TemporalCli> {
  for (const name of await readdir(folder))
    if (name.startsWith('draft')) await rm(join(folder, name), { recursive: true, force: true });
  const draft = join(folder, `draft-${process.pid}`);
  await mkdir(draft);
  try {
    const from = await fetchDraft(draft, options);
    const found = await versionOf(join(draft, 'temporal'));
    if (!found) throw new Refusal(`The Temporal CLI that was fetched does not run on this machine. ${fix}`);
    await rename(join(draft, 'temporal'), path);
    return { path, version: found, from };
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

const fix =
  'Install it (https://docs.temporal.io/cli/setup-cli) so that `temporal` is on PATH, or name a server: TEMPORAL_ADDRESS=host:7233';

async function fetchDraft(draft: string, { env, say, signal }: TemporalCliOptions): Promise<'download' | 'go'> {
  const problems: string[] = [];
  try {
    say(`Temporal's development server (CLI ${version}) is not on this machine: downloading it (about 60 MB, once).`);
    await download(draft, env, say, signal);
    return 'download';
  } catch (error) {
    signal.throwIfAborted();
    problems.push(`the download failed (${messageOf(error)})`);
  }
  const hasGo = await runProgram('go', ['version'], { env, timeoutMs: 10_000 }).then(
    () => true,
    () => false,
  );
  if (hasGo) {
    try {
      say(`${capital(problems.join(', '))}: building it with Go instead (about 3 minutes and 250 MB, once).`);
      await buildWithGo(draft, env, say, signal);
      return 'go';
    } catch (error) {
      signal.throwIfAborted();
      problems.push(`the build with Go failed (${messageOf(error)})`);
    }
  } else problems.push('there is no Go to build it with');
  throw new Refusal(`Temporal's CLI is missing: ${problems.join(', ')}.\n${fix}`);
}

async function buildWithGo(
  draft: string,
  env: NodeJS.ProcessEnv,
  say: (text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const started = Date.now();
  let downloaded = 0;
  let compiled = 0;
  const timer = setInterval(() => {
    const seconds = Math.round((Date.now() - started) / 1000);
    say(`  ${downloaded} modules fetched, ${compiled} packages compiled, ${seconds} s`);
  }, progressMs);
  try {
    await runProgram('go', ['install', '-v', goModule], {
      env: { ...env, GOBIN: draft },
      signal,
      onLine: (line) => (line.startsWith('go: downloading') ? (downloaded += 1) : (compiled += 1)),
    });
  } finally {
    clearInterval(timer);
  }
}

async function download(draft: string, env: NodeJS.ProcessEnv, say: (text: string) => void, signal: AbortSignal): Promise<void> {
  const platform = process.platform === 'darwin' ? 'darwin' : 'linux';
  const arch = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const info = await open(`${downloadOrigin}/cli/v${version}?platform=${platform}&arch=${arch}&format=tar.gz`, env, signal);
  const { archiveUrl, fileToExtract } = DownloadInfo.parse(JSON.parse(await text(info)));
  const archive = await open(archiveUrl, env, signal);
  const total = Number(archive.headers['content-length'] ?? 0);
  let received = 0;
  archive.on('data', (chunk: Buffer) => (received += chunk.length));
  const megabytes = (bytes: number) => Math.round(bytes / 1_000_000);
  const timer = setInterval(() => say(`  ${megabytes(received)} of ${megabytes(total)} MB`), progressMs);
  try {
    const file = join(draft, 'archive.tar.gz');
    await pipeline(archive, createWriteStream(file), { signal });
    await runProgram('tar', ['-xzf', file, '-C', draft, fileToExtract], { signal });
  } finally {
    clearInterval(timer);
  }
  if (fileToExtract !== 'temporal') await cp(join(draft, fileToExtract), join(draft, 'temporal'));
  await chmod(join(draft, 'temporal'), 0o755);
}

/** GET that follows redirects and uses the proxy of the environment (HTTPS_PROXY), which `fetch` does not by itself. */
async function open(url: string, env: NodeJS.ProcessEnv, signal: AbortSignal, redirects = 5): Promise<IncomingMessage> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = get(url, { agent: new Agent({ proxyEnv: env }), signal, headers: { 'user-agent': 'atelier' } }, resolve);
    // Silence of that length, at any point: a network that drops packets instead of refusing.
    request.setTimeout(connectTimeoutMs, () => request.destroy(new Error(`no answer from ${new URL(url).host} within 10 s`)));
    request.once('error', reject);
  });
  const { statusCode = 0, headers } = response;
  if (statusCode >= 300 && statusCode < 400 && headers.location !== undefined && redirects > 0) {
    response.resume();
    return open(new URL(headers.location, url).href, env, signal, redirects - 1);
  }
  if (statusCode === 200) return response;
  response.resume();
  throw new Error(`${new URL(url).host} answered ${statusCode}`);
}

/** Gives the version of a CLI that has the development server; older tools of that name have not. */
async function versionOf(path: string): Promise<string | undefined> {
  try {
    await runProgram(path, ['server', 'start-dev', '--help'], { timeoutMs: 20_000 });
    const said = /\d+\.\d+\.\d+/.exec(await runProgram(path, ['--version'], { timeoutMs: 20_000 }))?.[0];
    // `go install` stamps no version into it.
    return said === undefined || said === '0.0.0' ? version : said;
  } catch {
    return undefined;
  }
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

const capital = (sentence: string) => sentence.charAt(0).toUpperCase() + sentence.slice(1);
