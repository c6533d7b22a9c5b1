import { Client, Connection } from '@temporalio/client';
import { sendTrace } from './tracing.ts';

/** A client over a connection of its own. */
export type TemporalClient = Client & { readonly connection: Connection };

/**
 * A client that connects when it is first used and again after the server was away: the api starts, and takes submissions, without
 * Temporal. The caller closes it by `client.connection.close()`.
 */
export function createTemporalClient(address: string, namespace: string): TemporalClient {
  const connection = Connection.lazy({ address, connectTimeout: '2s' });
  return Object.assign(new Client({ connection, namespace, interceptors: { workflow: [sendTrace] } }), { connection });
}
