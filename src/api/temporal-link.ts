import type { Config } from '../config.ts';

/** Where Temporal's web UI shows a workflow; null where no address of it is configured. */
export function temporalLink(
  config: Pick<Config, 'TEMPORAL_UI_ORIGIN' | 'TEMPORAL_NAMESPACE'>,
  workflowId: string,
): { id: string; url: string | null } {
  const { TEMPORAL_UI_ORIGIN: origin, TEMPORAL_NAMESPACE: namespace } = config;
  return { id: workflowId, url: origin === undefined ? null : `${origin}/namespaces/${namespace}/workflows/${workflowId}` };
}
