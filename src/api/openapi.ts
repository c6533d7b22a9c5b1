import { createDocument, type ZodOpenApiOperationObject } from 'zod-openapi';
import { type Contract, type Endpoint, Problem } from './contract/core.ts';

/** The OpenAPI 3.1 document of a contract, made from the schemas that validate. */
export function openApiDocument(contract: Contract, origin: string): object {
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {};
  for (const [name, endpoint] of Object.entries(contract)) {
    (paths[`/api${endpoint.path}`] ??= {})[endpoint.method] = operation(name, endpoint);
  }
  return createDocument({
    openapi: '3.1.1',
    info: {
      title: 'Atelier',
      version: '0.1.0',
      description: 'A coding academy: every submission is one durable workflow. Errors are problem documents (RFC 9457).',
    },
    servers: [{ url: origin }],
    components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } } },
    paths,
  });
}

const header = (name: string, description: string, required: boolean) => ({
  name,
  in: 'header' as const,
  required,
  description,
  schema: { type: 'string' as const, maxLength: 200 },
});

const answerHeader = (description: string) => ({ description, schema: { type: 'string' as const } });

function operation(name: string, endpoint: Endpoint): ZodOpenApiOperationObject {
  const headers = {
    ...(endpoint.hasETag && { ETag: answerHeader('What If-Match names to change just this.') }),
    ...(endpoint.isKeyed && { 'Idempotency-Replayed': answerHeader('`true` where the key was known.') }),
  };
  const answer = (description: string) => ({
    description,
    headers,
    content: { [endpoint.isStream ? 'text/event-stream' : 'application/json']: { schema: endpoint.response } },
  });
  const problem = (description: string) => ({ description, content: { 'application/problem+json': { schema: Problem } } });
  return {
    operationId: name,
    summary: endpoint.summary,
    tags: [endpoint.tag],
    security: endpoint.access === 'public' ? [] : [{ bearer: [] }],
    ...((endpoint.params ?? endpoint.query) && {
      requestParams: { ...(endpoint.params && { path: endpoint.params }), ...(endpoint.query && { query: endpoint.query }) },
    }),
    parameters: [
      ...(endpoint.isKeyed ? [header('Idempotency-Key', 'The same key has one effect, however often it is sent.', false)] : []),
      ...(endpoint.isStream ? [header('Last-Event-ID', 'The number of the last event that you have.', false)] : []),
      ...(endpoint.needsIfMatch ? [header('If-Match', 'The ETag of what you looked at.', true)] : []),
    ],
    ...(endpoint.body && {
      requestBody: {
        required: !endpoint.body.safeParse({}).success,
        content: { 'application/json': { schema: endpoint.body } },
      },
    }),
    responses: {
      [endpoint.status]: endpoint.status === 204 ? { description: 'done' } : answer('ok'),
      ...(endpoint.isStream && { 204: { description: 'nothing will follow any more: do not come back' } }),
      ...(endpoint.mayBeAccepted && { 202: answer('stored, and done later') }),
      ...(endpoint.access !== 'public' && { 401: problem('not logged in') }),
      ...(Array.isArray(endpoint.access) && { 403: problem('not for your role') }),
      ...(endpoint.params && { 404: problem('not there, or not visible to you') }),
      ...(endpoint.needsIfMatch && { 412: problem('changed meanwhile'), 428: problem('If-Match is missing') }),
      ...(endpoint.body && { 413: problem('the body is too large'), 415: problem('the body is not JSON in UTF-8') }),
      ...((endpoint.body ?? endpoint.query ?? endpoint.isKeyed) && {
        422: problem('not valid, or the key came with another body'),
      }),
      default: problem('refused, with the reason'),
    },
  };
}
