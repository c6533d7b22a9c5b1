import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { settingsOf } from '../config.ts';
import { Refusal } from './errors.ts';

const projectFolder = dirname(dirname(import.meta.dirname));
const origin = z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, ''));

/** Variables the launcher itself looks at; every other one reaches the processes untouched (src/config.ts). */
const Environment = z.object({
  ATELIER_DATA: z.string().default(join(projectFolder, '.atelier')),
  HOST: z.string().default('127.0.0.1'),
  /** 0 takes any free port. */
  PORT: z.coerce.number('must be a number').int().min(0).max(65_535).default(3000),
  ATELIER_ORIGIN: origin.optional(),
  ATELIER_GIT_ORIGIN: origin.optional(),
  ATELIER_DATABASE_URL: z.string().optional(),
  DATABASE_URL: z.string().optional(),
  TEMPORAL_ADDRESS: z.string().optional(),
  TEMPORAL_NAMESPACE: z.string().default('default'),
  TEMPORAL_UI_ORIGIN: origin.optional(),
  JWT_SECRET: z.string().optional(),
  SMTP_URL: z.string().optional(),
  SANDBOX: z.string().default('auto'),
  DOCKER_HOST: z.string().optional(),
  /** `no` is --no-install: nothing is installed with the machine's package manager, no user is made. */
  ATELIER_INSTALL: z.enum(['yes', 'no']).default('yes'),
  XDG_CACHE_HOME: z.string().optional(),
  /** Folder of the processes' programs; tests of the launcher put their own there. */
  ATELIER_PROGRAMS: z.string().default(join(projectFolder, 'src')),
});

/** What `npm start` was asked for. */
export interface LauncherConfig {
  readonly projectFolder: string;
  readonly programs: string;
  readonly dataFolder: string;
  readonly cacheFolder: string;
  readonly host: string;
  readonly port: number;
  readonly origin: string | undefined;
  readonly gitOrigin: string | undefined;
  readonly database: { readonly own: string | undefined; readonly common: string | undefined };
  readonly temporal: { readonly address: string | undefined; readonly namespace: string; readonly uiOrigin: string | undefined };
  readonly jwtSecret: string | undefined;
  readonly smtpUrl: string | undefined;
  readonly sandbox: string;
  readonly dockerHost: string | undefined;
  readonly install: boolean;
  /** The whole environment, to be handed on. */
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Reads what the launcher was asked for.
 *
 * @throws Refusal that names every wrong variable
 */
export function readLauncherConfig(env: NodeJS.ProcessEnv): LauncherConfig {
  const result = Environment.safeParse(settingsOf(env));
  if (!result.success) {
    const problems = result.error.issues.map((issue) => `  ${issue.path.join('.')}: ${issue.message}`);
    throw new Refusal(`Atelier cannot start with these settings:\n${problems.join('\n')}`);
  }
  const values = result.data;
  return {
    projectFolder,
    programs: resolve(values.ATELIER_PROGRAMS),
    dataFolder: resolve(values.ATELIER_DATA),
    cacheFolder: join(values.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'atelier'),
    host: values.HOST,
    port: values.PORT,
    origin: values.ATELIER_ORIGIN,
    gitOrigin: values.ATELIER_GIT_ORIGIN,
    database: { own: values.ATELIER_DATABASE_URL, common: values.DATABASE_URL },
    temporal: { address: values.TEMPORAL_ADDRESS, namespace: values.TEMPORAL_NAMESPACE, uiOrigin: values.TEMPORAL_UI_ORIGIN },
    jwtSecret: values.JWT_SECRET,
    smtpUrl: values.SMTP_URL,
    sandbox: values.SANDBOX,
    dockerHost: values.DOCKER_HOST,
    install: values.ATELIER_INSTALL === 'yes',
    env: settingsOf(env),
  };
}
