import { msToTs } from '@temporalio/common/lib/time.js';
import { searchAttributes } from '../workflows/contract.ts';
import type { TemporalClient } from './client.ts';

/** Temporal's numbers for the types of search attributes (IndexedValueType). */
const indexedValueTypes: Readonly<Record<string, number>> = {
  TEXT: 1,
  KEYWORD: 2,
  INT: 3,
  DOUBLE: 4,
  BOOL: 5,
  DATETIME: 6,
  KEYWORD_LIST: 7,
};

/** How long closed workflows stay to be looked at. */
const retention = msToTs('30 days');

/**
 * Registers the search attributes that are missing and sets the retention, so that any Temporal server will do. Safe to repeat.
 *
 * @throws Error where attributes are missing and may not be registered: no workflow could be started.
 */
export async function prepareNamespace(client: TemporalClient): Promise<void> {
  const { namespace } = client.options;
  const { operatorService, workflowService } = client.connection;
  const { customAttributes } = await operatorService.listSearchAttributes({ namespace });
  const missing = Object.values(searchAttributes).filter(({ name }) => customAttributes?.[name] === undefined);
  if (missing.length > 0) {
    const types = Object.fromEntries(missing.map(({ name, type }) => [name, indexedValueTypes[type] ?? 0]));
    await operatorService.addSearchAttributes({ namespace, searchAttributes: types });
  }
  const { config } = await workflowService.describeNamespace({ namespace });
  if (Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0) >= Number(retention.seconds)) return;
  await workflowService.updateNamespace({ namespace, config: { workflowExecutionRetentionTtl: retention } });
}
