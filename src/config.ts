import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { type Language, languageNames } from './domain/check-runs.ts';
import { parseRepoHosts } from './domain/repo-urls.ts';
import { parseFaults } from './faults.ts';

/** These may come as `NAME` or, as container secrets do, in the file that `NAME_FILE` names. */
const secretNames = ['ASSISTANT_KEY', 'ATELIER_DATABASE_URL', 'DATABASE_URL', 'JWT_SECRET', 'METRICS_TOKEN', 'SMTP_URL'] as const;

/** What is set: `NAME=` means that it is not, and secrets are read from their files. */
export function settingsOf(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const settings = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  for (const name of secretNames) {
    const path = settings[`${name}_FILE`];
    const text = path === undefined ? '' : readFileSync(path, 'utf8').trim();
    if (text !== '') settings[name] ??= text;
  }
  return settings;
}

const origin = z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, ''));

const repoHosts = z.string().transform((text, context) => {
  try {
    return parseRepoHosts(text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    context.addIssue({ code: 'custom', message: error.message });
    return z.NEVER;
  }
});

const runnerSettings = {
  /** Names with space or commas between them: whose tools the runner image gets. Fewer make it smaller and its build shorter. */
  RUNNER_LANGUAGES: z
    .string()
    .transform((text) => text.split(/[\s,]+/).filter((name) => name !== ''))
    .pipe(z.array(z.enum(languageNames)).nonempty())
    .prefault(languageNames.join(' ')),
  /** The image on which the runner image is made, of the Debian family, with whatever else exercises need. */
  RUNNER_BASE: z.string().min(1).nullable().default(null),
};

const faults = z.string().refine((text) => {
  try {
    return parseFaults(text).length > 0;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return false;
  }
}, 'not step:point[:victim]');

const Environment = z.object({
  /** PostgreSQL; the role owns the database. */
  ATELIER_DATABASE_URL: z.string().min(1),
  TEMPORAL_ADDRESS: z.string().min(1),
  TEMPORAL_NAMESPACE: z.string().min(1).default('default'),
  /** Where an administrator's browser reaches Temporal's web UI. */
  TEMPORAL_UI_ORIGIN: origin.optional(),
  HOST: z.string().default('127.0.0.1'),
  PORT: z.coerce.number().int().min(0).max(65_535).default(3000),
  /** What links in mails, clone addresses and tokens are made of. */
  ATELIER_ORIGIN: origin,
  /** Where the judging worker fetches repositories; the api's address as the worker reaches it. */
  ATELIER_GIT_ORIGIN: origin,
  /** Folder for repositories, logs of check runs and the local mailbox. */
  ATELIER_DATA: z.string().min(1),
  /** Signs access tokens (HS256, RFC 7518 section 3.2: at least 256 bits). */
  JWT_SECRET: z
    .string()
    .min(32)
    .refine((secret) => !secret.startsWith('change-me'), 'a sample secret is not accepted'),
  ACCESS_TOKEN_TTL_MS: z.coerce.number().int().positive().default(3_600_000),
  /** `smtp://user:password@host:port`, or `smtps://…`; without it mails are written to the local mailbox. */
  SMTP_URL: z
    .url({ protocol: /^smtps?$/, error: 'must be smtp://user:password@host:port or smtps://…' })
    .refine((url) => URL.canParse(url) && new URL(url).hostname !== '', 'names no host')
    .optional(),
  MAIL_FROM: z
    .string()
    .regex(/^(?:[^\r\n<>@]*<[^\s<>@]+@[^\s<>@]+>|[^\s<>@]+@[^\s<>@]+)$/, 'must be Name <address> or an address')
    .default('Atelier <atelier@localhost>'),
  /** Servers whose repositories may be submitted; `none` for none but our own. */
  REPO_HOSTS: repoHosts.prefault('github.com,gitlab.com/*,codeberg.org'),
  SANDBOX: z.enum(['auto', 'docker', 'bubblewrap', 'none']).default('auto'),
  /** Sandboxes that one judging worker keeps ready for jobs to come; `auto`: from the machine's cores and memory; 0: none. */
  SANDBOX_POOL: z.union([z.literal('auto'), z.coerce.number().int().min(0).max(256)]).default('auto'),
  /** Runtime of the Docker engine, such as `runsc` (gVisor), used as it is. Default: the engine's own. */
  SANDBOX_RUNTIME: z.string().optional(),
  ...runnerSettings,
  /** Submissions judged at the same time by one judging worker; places that are free run test cases of those that are there. */
  JUDGE_CONCURRENCY: z.coerce.number().int().min(1).max(64).default(2),
  /** Submissions of all students that may wait for the judges; above it the api takes no more (503 `queue-full`). */
  MAX_QUEUED_SUBMISSIONS: z.coerce.number().int().min(1).default(2_000),
  /** Submissions of one student that may wait or be checked at once; above it the api takes no more of theirs (429 `too-many-open`). */
  MAX_OPEN_CHECKS_PER_STUDENT: z.coerce.number().int().min(1).default(10),
  /** Who sends it as a bearer may read the api's /metrics, from anywhere; without it the address decides (api/routes/metrics.ts). */
  METRICS_TOKEN: z
    .string()
    .regex(/^\S{16,}$/, 'must be 16 characters or more, without spaces')
    .optional(),
  /**
   * A server of the common chat completions form, such as `http://127.0.0.1:8080/v1`, which then drafts reviews where a reviewer asks
   * for one: it is sent the statement and the student's files. Off without it.
   */
  ASSISTANT_URL: origin.optional(),
  /** Sent to it as a bearer. */
  ASSISTANT_KEY: z
    .string()
    .regex(/^[\x21-\x7e]+$/, 'must be visible ASCII characters')
    .optional(),
  ASSISTANT_MODEL: z.string().max(200).optional(),
  /** `host:port` for a worker's own /metrics; nothing listens without it. Each worker of one host needs a port of its own. */
  WORKER_METRICS_ADDRESS: z
    .string()
    .regex(/^\S+:\d{1,5}$/, 'must be host:port')
    .optional(),
  /**
   * How long a stopping api goes on taking requests while `/health/ready` says `draining`. Behind a load balancer longer than this
   * needs to notice (interval × failures); nobody asks where there is none, so the default is not to wait.
   */
  DRAIN_MS: z.coerce.number().int().min(0).max(20_000).default(0),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  NODE_ENV: z.string().optional(),
  /** Where this process is to die, for tests (faults.ts). */
  FAULT: faults.optional(),
});

const Settings = Environment.refine(({ FAULT, NODE_ENV }) => FAULT === undefined || NODE_ENV !== 'production', {
  path: ['FAULT'],
  message: 'crash hooks are for tests, not for NODE_ENV=production',
}).refine(({ ASSISTANT_URL, ASSISTANT_MODEL }) => (ASSISTANT_URL === undefined) === (ASSISTANT_MODEL === undefined), {
  path: ['ASSISTANT_MODEL'],
  message: 'goes together with ASSISTANT_URL',
});

export type Config = z.output<typeof Environment>;

/** Configuration that cannot be used; the message is for the one who set it. */
export class ConfigError extends Error {}

/**
 * Reads the configuration of one process from its environment: the only place that knows `process.env`.
 *
 * @throws ConfigError that names every missing or wrong variable, without the values.
 */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const result = Settings.safeParse(settingsOf(env));
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `  ${issue.path.join('.')}: ${issue.message}`);
  throw new ConfigError(`the configuration is not usable:\n${problems.join('\n')}`);
}

/** Temporal's address and namespace alone. @throws ConfigError where the address is not given. */
export function readTemporalAddress(env: NodeJS.ProcessEnv): { address: string; namespace: string } {
  const { TEMPORAL_ADDRESS: address = '', TEMPORAL_NAMESPACE: namespace = 'default' } = settingsOf(env);
  if (address === '') throw new ConfigError('set TEMPORAL_ADDRESS (host:port)');
  return { address, namespace };
}

/** The folder of what is no row, alone. @throws ConfigError where it is not given. */
export function readDataFolder(env: NodeJS.ProcessEnv): string {
  const { ATELIER_DATA: folder = '' } = settingsOf(env);
  if (folder === '')
    throw new ConfigError('the content has dependencies: set ATELIER_DATA, the data folder of the judging workers');
  return folder;
}

/** The database alone, for programs that need nothing else. @throws ConfigError where it is not given. */
export function readDatabaseUrl(env: NodeJS.ProcessEnv): string {
  const { ATELIER_DATABASE_URL: url = '' } = settingsOf(env);
  if (url === '') throw new ConfigError('set ATELIER_DATABASE_URL (postgres://user:password@host:port/database)');
  return url;
}

/** What the runner image is to be made of. @throws ConfigError where a language is not known. */
export function readRunnerSettings(env: NodeJS.ProcessEnv): { languages: readonly Language[]; base: string | null } {
  const result = z.object(runnerSettings).safeParse(settingsOf(env));
  if (!result.success) throw new ConfigError(`RUNNER_LANGUAGES takes ${languageNames.join(' ')}`);
  return { languages: result.data.RUNNER_LANGUAGES, base: result.data.RUNNER_BASE };
}
