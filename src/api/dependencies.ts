import type { Assistant } from '../assistants/assistant.ts';
import type { Config } from '../config.ts';
import type { Orm } from '../database/orm.ts';
import type { QueueLimits } from '../domain/queue.ts';
import type { Repositories } from '../git/repositories.ts';
import type { Logger } from '../logger.ts';
import type { OverrideWorkflows } from '../temporal/overrides.ts';
import type { SubmissionWorkflows } from '../temporal/submissions.ts';
import type { TrialWorkflows } from '../temporal/trial-runs.ts';
import type { AccessTokens } from './access-token.ts';
import type { Drain } from './drain.ts';
import type { LiveStreams } from './live-streams.ts';

/** All that the routes work with; tests give fakes of what they are not about. */
export interface Dependencies {
  readonly config: Pick<
    Config,
    'ATELIER_ORIGIN' | 'JWT_SECRET' | 'METRICS_TOKEN' | 'REPO_HOSTS' | 'TEMPORAL_UI_ORIGIN' | 'TEMPORAL_NAMESPACE'
  >;
  readonly orm: Orm;
  readonly repositories: Repositories;
  readonly workflows: SubmissionWorkflows;
  readonly overrides: OverrideWorkflows;
  readonly trials: TrialWorkflows;
  readonly streams: LiveStreams;
  readonly tokens: AccessTokens;
  /** Drafts reviews for reviewers; null where none is configured. */
  readonly assistant: Assistant | null;
  readonly logger: Logger;
  readonly queueLimits: QueueLimits;
  /** Where a stopping api says so, and where what streams without end learns of it. */
  readonly drain: Drain;
}
