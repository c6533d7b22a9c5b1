import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { readRunnerSettings } from '../src/config.ts';
import { codeOf, Refusal } from '../src/embedded/errors.ts';
import { readLauncherConfig } from '../src/embedded/launcher-config.ts';
import { LockHeld, takeLock } from '../src/embedded/lock.ts';
import { RememberedPorts } from '../src/embedded/ports.ts';
import { type EmbeddedPostgres, openPostgres } from '../src/embedded/postgres.ts';
import { signal as sendSignal } from '../src/embedded/process-identity.ts';
import { ensureSandbox } from '../src/embedded/sandbox-probe.ts';
import { endLeftovers, Supervisor } from '../src/embedded/supervisor.ts';
import { findTemporalCli } from '../src/embedded/temporal-cli.ts';
import { dockerEngine } from '../src/sandbox/docker.ts';
import { ensureRunnerImage } from '../src/sandbox/image.ts';

/**
 * Runs jest against a PostgreSQL made for this run alone, in a folder of its own: two runs side by side do not
 * meet, and nothing of an academy's data is touched.
 */

const folderPrefix = 'atelier-test-';
/** A smaller runner image than an academy's: all languages would take two minutes more, and 1.2 GB. `RUNNER_LANGUAGES=` tests them all. */
const runnerLanguages = process.env['RUNNER_LANGUAGES'] ?? 'javascript typescript python c cpp';
/** Old enough that its run has taken its lock, if it lives. */
const sweepAfterMs = 60_000;
const report = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numPendingTests: z.number(),
  numTodoTests: z.number(),
  numRuntimeErrorTestSuites: z.number(),
  testResults: z.array(
    z.object({ name: z.string(), assertionResults: z.array(z.object({ fullName: z.string(), status: z.string() })) }),
  ),
});

const say = (text: string) => console.log(text);

async function main(args: readonly string[]): Promise<number> {
  const stop = new AbortController();
  let stoppedBy = 0;
  const onStop = (signal: NodeJS.Signals) => {
    stoppedBy = 128 + constants.signals[signal];
    stop.abort();
  };
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, onStop);
  process.once('disconnect', () => onStop('SIGHUP'));
  process.channel?.unref();

  await sweep();
  const folder = mkdtempSync(join(tmpdir(), folderPrefix));
  // Passed through by user `postgres` where root runs this.
  chmodSync(folder, 0o711);
  const lock = takeLock(join(folder, 'run', 'lock'), 'npm test');
  const parts = new TestParts(folder, stop.signal);
  try {
    await parts.start();
    const exitCode = await runJest(args, join(folder, 'results.json'), parts.environment(), stop.signal);
    if (stop.signal.aborted) return stoppedBy;
    return summarise(args, join(folder, 'results.json'), exitCode);
  } catch (error) {
    if (stop.signal.aborted) return stoppedBy;
    console.error(error instanceof Refusal ? `\n${error.message}` : error);
    return 1;
  } finally {
    await parts.stop();
    lock.release();
    rmSync(folder, { recursive: true, force: true });
    if (summary !== '') say(summary);
  }
}

/** The last line; kept until everything else has been said. */
let summary = '';

/** PostgreSQL without fsync: nothing here has to survive. Suites start Temporal servers of their own, with this CLI. */
class TestParts {
  readonly #folder: string;
  readonly #signal: AbortSignal;
  readonly #supervisor: Supervisor;
  #postgres: EmbeddedPostgres | undefined;
  #environment: NodeJS.ProcessEnv = {};

  constructor(folder: string, signal: AbortSignal) {
    this.#folder = folder;
    this.#signal = signal;
    this.#supervisor = new Supervisor({
      dataFolder: folder,
      onEvent: (event) => event.kind === 'exited' && say(`${event.name} ended (${event.how})`),
    });
  }

  environment(): NodeJS.ProcessEnv {
    return this.#environment;
  }

  async start(): Promise<void> {
    const { env, cacheFolder, install, dockerHost } = readLauncherConfig({ ...process.env, ATELIER_DATA: this.#folder });
    const ports = new RememberedPorts(join(this.#folder, 'ports.json'));
    const startPostgres = async () => {
      const postgres = await openPostgres({ dataFolder: this.#folder, durable: false, ports, install, say });
      this.#postgres = postgres;
      this.#supervisor.record('postgres', await postgres.pid());
      return postgres;
    };
    const findTemporal = () => findTemporalCli({ env, cacheFolder, say, signal: this.#signal });
    const prepareSandbox = async () => {
      const found = await ensureSandbox({ env, dockerHost, install, say });
      // Once and before the tests: those that run side by side would each make the image.
      const runner = readRunnerSettings({ ...env, RUNNER_LANGUAGES: runnerLanguages });
      if (!found.includes('Docker')) return found;
      const making = ensureRunnerImage({ engine: dockerEngine(), onProgress: say, runner });
      // The suites that need it say that they could not run.
      await making.catch((error: Error) => say(error.message));
      return found;
    };
    const starting = [startPostgres(), findTemporal(), prepareSandbox()] as const;
    // All of them, also when one fails: what was started must be known to be stopped.
    await Promise.allSettled(starting);
    const [postgres, temporal, sandbox] = await Promise.all(starting);
    this.#signal.throwIfAborted();
    say(`Tests use: PostgreSQL ${postgres.version}, Temporal CLI ${temporal.version}, sandbox: ${sandbox}\n`);
    this.#environment = {
      ...env,
      RUNNER_LANGUAGES: runnerLanguages,
      NODE_OPTIONS: `${env['NODE_OPTIONS'] ?? ''} --experimental-vm-modules --disable-warning=ExperimentalWarning`.trim(),
      TEST_DATABASE_URL: postgres.url('postgres'),
      TEST_TEMPORAL_CLI: temporal.path,
    };
  }

  async stop(): Promise<void> {
    await this.#postgres?.stop();
    this.#supervisor.close();
    if (this.#postgres) rmSync(this.#postgres.folder, { recursive: true, force: true });
  }
}

async function runJest(args: readonly string[], outputFile: string, env: NodeJS.ProcessEnv, stop: AbortSignal): Promise<number> {
  const jest = join(import.meta.dirname, '..', 'node_modules', 'jest', 'bin', 'jest.js');
  // A group of its own, so that its workers end with it; the interactive modes need the terminal's.
  const detached = !args.some((arg) => arg.startsWith('--watch'));
  const child = spawn(process.execPath, [jest, '--json', `--outputFile=${outputFile}`, ...args], {
    cwd: join(import.meta.dirname, '..'),
    env,
    detached,
    stdio: 'inherit',
  });
  const { pid } = child;
  const kill = () => pid !== undefined && sendSignal(detached ? -pid : pid, 'SIGTERM');
  if (stop.aborted) kill();
  stop.addEventListener('abort', kill);
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  if (detached && pid !== undefined) sendSignal(-pid, 'SIGKILL');
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

/** Arguments by which jest runs no test. */
const informing = /^--(listTests|help|version|showConfig|clearCache)$/;

function summarise(args: readonly string[], file: string, exitCode: number): number {
  if (args.some((arg) => informing.test(arg))) return exitCode;
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    say('jest gave no results: see above.');
    summary = '0 passed, 1 failed';
    return exitCode || 1;
  }
  const results = report.parse(JSON.parse(text));
  const skipped = results.testResults.flatMap(({ name, assertionResults }) =>
    assertionResults
      .filter(({ status }) => ['pending', 'todo', 'skipped', 'disabled'].includes(status))
      .map(({ fullName }) => `  ${basename(name)}: ${fullName}`),
  );
  // With a name pattern jest calls everything skipped that was not asked for.
  const isSelection = args.some((arg) => /^(-t|--testNamePattern)/.test(arg));
  if (skipped.length > 0 && !isSelection) say(`\nSkipped:\n${skipped.join('\n')}\n`);
  // A suite that cannot be loaded has no failing test, yet nothing of it was tested.
  const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
  const skippedCount = results.numPendingTests + results.numTodoTests;
  summary = `${results.numPassedTests} passed, ${failed} failed${skippedCount > 0 ? `, ${skippedCount} skipped` : ''}`;
  if (failed > 0 || results.numPassedTests === 0) return exitCode || 1;
  return exitCode;
}

/** Removes what killed runs left: their servers and folders. */
async function sweep(): Promise<void> {
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(folderPrefix))) {
    const folder = join(tmpdir(), name);
    try {
      if (Date.now() - statSync(folder).mtimeMs < sweepAfterMs) continue;
      const lock = takeLock(join(folder, 'run', 'lock'), 'removing what a killed run left');
      await endLeftovers(folder);
      lock.release();
      rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      const code = codeOf(error);
      if (!(error instanceof LockHeld) && code !== 'EACCES' && code !== 'EPERM' && code !== 'ENOENT') throw error;
    }
  }
}

process.exitCode = await main(process.argv.slice(2));
// The channel to scripts/test.js is no reason to stay.
if (process.connected) process.disconnect();
