import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { messageOf, Refusal } from './errors.ts';
import type { RememberedPorts } from './ports.ts';
import type { Supervisor } from './supervisor.ts';

export interface TemporalOptions {
  /** The `temporal` program. */
  readonly cli: string;
  readonly supervisor: Supervisor;
  readonly ports: RememberedPorts;
  readonly env: NodeJS.ProcessEnv;
  readonly namespace: string;
  /** Keeps all workflows. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

export interface TemporalServer {
  readonly address: string;
  readonly uiOrigin: string;
  /** Whether its queues heed fairness keys: students take turns at the judges. */
  readonly isFair: boolean;
}

/** Dynamic configuration without which server 1.29 heeds no task's priority: submissions are judged before code that is tried. */
export const prioritySettings = ['matching.useNewMatcher=true'] as const;

/** The same for fairness keys. */
export const fairnessSettings = ['matching.enableFairness=true'] as const;

/** Marks a folder whose queues are fair from their first task on. */
const fairMark = 'fair-queues';

const readyTimeoutMs = 60_000;
/** It closes its database file in one or two seconds. */
const graceMs = 10_000;

/** Starts Temporal's development server with its web UI under the supervisor and waits until it serves our namespace. */
export async function startTemporal(options: TemporalOptions): Promise<TemporalServer> {
  const { supervisor, ports } = options;
  const isFair = prepareFolder(options.folder);
  for (let attempt = 1; ; attempt += 1) {
    const port = await ports.choose('temporal');
    const uiPort = await ports.choose('temporal-ui');
    supervisor.start({
      name: 'temporal',
      command: options.cli,
      args: commandLine(options, isFair, port, uiPort),
      env: options.env,
      graceMs,
    });
    try {
      await waitUntilServing(`127.0.0.1:${port}`, options);
      return { address: `127.0.0.1:${port}`, uiOrigin: `http://127.0.0.1:${uiPort}`, isFair };
    } catch (error) {
      await supervisor.stop(['temporal'], options.signal);
      options.signal.throwIfAborted();
      const words = supervisor.lastLines('temporal', 8);
      // A port was taken between looking and listening.
      if (!words.includes('address already in use') || attempt === 5) {
        throw new Error(`Temporal did not start (log: ${supervisor.logFile('temporal')}): ${messageOf(error)}\n${words}`, {
          cause: error,
        });
      }
      await ports.renew('temporal');
      await ports.renew('temporal-ui');
    }
  }
}

/**
 * Checks that something listens at the given Temporal address; what it is, the workers find out.
 *
 * @throws Refusal
 */
export async function probeTemporal(address: string): Promise<void> {
  const [, host = '', port = '7233'] = /^(?:\w+:\/\/)?\[?(.*?)\]?(?::(\d+))?$/.exec(address) ?? [];
  try {
    await new Promise<void>((resolve, reject) => {
      const socket = connect({ host, port: Number(port), timeout: 5_000 }, () => resolve(void socket.destroy()));
      socket.once('timeout', () => socket.destroy(new Error('no answer within 5 s')));
      socket.once('error', reject);
    });
  } catch (error) {
    const reason = messageOf(error);
    throw new Refusal(
      `Temporal at ${address} (TEMPORAL_ADDRESS) was not reached: ${reason}\nStart it, correct TEMPORAL_ADDRESS, or unset it to use the embedded one.`,
    );
  }
}

const databaseOf = (folder: string) => join(folder, 'temporal.db');

/**
 * Makes the folder, and says whether its queues are fair. The server keeps fair queues apart from the others: what waits in a folder from
 * before there were any would never be found again, so such a folder stays as it is.
 */
function prepareFolder(folder: string): boolean {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const mark = join(folder, fairMark);
  if (!existsSync(databaseOf(folder))) writeFileSync(mark, '');
  return existsSync(mark);
}

function commandLine({ namespace, folder }: TemporalOptions, isFair: boolean, port: number, uiPort: number): string[] {
  return [
    ...['server', 'start-dev', '--namespace', namespace, '--db-filename', databaseOf(folder)],
    ...['--ip', '127.0.0.1', '--port', String(port), '--ui-port', String(uiPort)],
    ...[...prioritySettings, ...(isFair ? fairnessSettings : [])].flatMap((setting) => ['--dynamic-config-value', setting]),
    ...['--log-level', 'error', '--color', 'never'],
  ];
}

async function waitUntilServing(address: string, { supervisor, namespace, signal }: TemporalOptions): Promise<void> {
  const deadline = Date.now() + readyTimeoutMs;
  for (;;) {
    signal.throwIfAborted();
    if (supervisor.failures('temporal') > 0) throw new Error('it ended by itself');
    try {
      const connection = await Connection.connect({ address, connectTimeout: '2 seconds' });
      try {
        await connection.workflowService.describeNamespace({ namespace });
      } finally {
        await connection.close();
      }
      // The port may be somebody else's server, ours having failed meanwhile.
      if (supervisor.failures('temporal') > 0) throw new Error('it ended by itself');
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await sleep(100);
  }
}
