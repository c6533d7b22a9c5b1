import { Client, Connection } from '@temporalio/client';
import { sendTrace } from './tracing.ts';

/** By default an outage of a minute is followed by half a minute in which gRPC does not try: what was accepted would wait for it. */
const channelArgs = { 'grpc.initial_reconnect_backoff_ms': 500, 'grpc.max_reconnect_backoff_ms': 2_000 };

/** A client over a connection of its own. */
export type TemporalClient = Client & { readonly connection: Connection };

/**
 * A client that connects when it is first used and again after the server was away: the api starts, and takes submissions, without
 * Temporal. The caller closes it by `client.connection.close()`.
 */
export function createTemporalClient(address: string, namespace: string): TemporalClient {
  const connection = Connection.lazy({ address, connectTimeout: '2s', channelArgs });
  return Object.assign(new Client({ connection, namespace, interceptors: { workflow: [sendTrace] } }), { connection });
}
