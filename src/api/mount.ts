import { type Request, Router } from 'express';
import type { z } from 'zod';
import type { Em, Orm } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import type { Actor } from '../domain/users.ts';
import type { KeyedRequest } from '../services/idempotency.ts';
import type { AccessTokens } from './access-token.ts';
import type { Contract, Endpoint, ParsedRequest } from './contract/core.ts';
import { ById } from './contract/core.ts';
import { After } from './contract/events.ts';
import type { LiveStreams, StreamSource } from './live-streams.ts';
import { authenticate, authenticateByTicket, type Caller } from './middleware/authenticate.ts';
import { jsonBody } from './middleware/json-body.ts';
import { HttpProblem } from './middleware/problems.ts';

/** The caller of an endpoint that is not public. */
interface CallerOf<E extends Endpoint> {
  readonly actor: E['access'] extends 'public' ? undefined : Actor;
  readonly sessionId: E['access'] extends 'public' ? undefined : string;
}

/** What a handler works with; `em` is this request's own. */
export type HandlerInput<E extends Endpoint> = ParsedRequest<E> &
  CallerOf<E> & {
    readonly em: Em;
    /** The caller's Idempotency-Key with what it is about; its key is null where none was sent. */
    readonly keyed: KeyedRequest;
    /** The entity tag of the If-Match header, without its quotes. */
    readonly ifMatch: E['needsIfMatch'] extends true ? string : undefined;
  };

/** What a handler answers; `isReplay` says that an Idempotency-Key was known, `isAccepted` that it is stored and will be done. */
export type Answer<E extends Endpoint> = {
  readonly body: z.input<E['response']>;
  readonly isReplay?: boolean;
  readonly isAccepted?: boolean;
} & (E['hasETag'] extends true
  ? {
      /** The entity tag of what is shown, without quotes. */
      readonly etag: string;
    }
  : { readonly etag?: never });

export type Handlers<C extends Contract> = {
  readonly [K in keyof C]: (input: HandlerInput<C[K]>) => Promise<C[K]['isStream'] extends true ? StreamSource : Answer<C[K]>>;
};

type AnyAnswer = Omit<Answer<Endpoint>, 'etag'> & { readonly etag?: string };
type AnyHandler = (input: object) => Promise<AnyAnswer | StreamSource>;

/** A router that parses, authenticates and authorises each request by the contract before its handler sees it. */
export function mount<C extends Contract>(
  contract: C,
  handlers: Handlers<C>,
  dependencies: { orm: Orm; tokens: AccessTokens; streams: LiveStreams },
): Router {
  const router = Router({ caseSensitive: true });
  const methodsByPath = new Map<string, string[]>();
  for (const [name, endpoint] of Object.entries(contract)) {
    const path = expressPath(endpoint.path);
    const handler = handlers[name] as unknown as AnyHandler;
    methodsByPath.set(path, [...(methodsByPath.get(path) ?? []), endpoint.method.toUpperCase()]);
    router[endpoint.method](path, jsonBody(endpoint.maxBodyBytes), async (request, response) => {
      const caller = endpoint.access === 'public' ? undefined : await callerOf(endpoint, request, dependencies);
      if (caller !== undefined && Array.isArray(endpoint.access) && !endpoint.access.includes(caller.actor.role)) {
        throw new DomainError('forbidden', 'Your role does not allow this.');
      }
      const parsed = parseRequest(endpoint, request);
      const keyed = {
        userId: caller?.actor.id ?? '',
        route: routeOf(endpoint, parsed.params),
        key: keyOf(request),
        body: parsed.body,
      };
      const ifMatch = endpoint.needsIfMatch === true ? ifMatchOf(request) : undefined;
      const after = endpoint.isStream === true ? lastEventOf(request) : 0;
      const answer = await handler({ ...parsed, ...caller, em: dependencies.orm.em.fork(), keyed, ifMatch });
      if ('look' in answer) {
        if (caller !== undefined) await dependencies.streams.serve(response, { caller, source: answer, after });
        return;
      }
      response.status(answer.isAccepted === true ? 202 : endpoint.status).set('Cache-Control', 'no-store');
      if (answer.etag !== undefined) response.set('ETag', `"${answer.etag}"`);
      if (answer.isReplay === true) response.set('Idempotency-Replayed', 'true');
      if (endpoint.status === 204) response.end();
      else response.json(endpoint.response.parse(answer.body));
    });
  }
  for (const [path, methods] of methodsByPath) {
    router.all(path, (request) => {
      const allow = methods.includes('GET') ? [...methods, 'HEAD'] : methods;
      throw new HttpProblem(405, 'method-not-allowed', `${request.method} is not possible here.`, {
        headers: { Allow: allow.join(', ') },
      });
    });
  }
  return router;
}

/** By the access token, or by the ticket of an endpoint that takes one. */
async function callerOf(
  endpoint: Endpoint,
  request: Request,
  { orm, tokens }: { orm: Orm; tokens: AccessTokens },
): Promise<Caller> {
  const { ticket } = request.query;
  const params = ById.safeParse(request.params);
  if (endpoint.takesTicket !== true || typeof ticket !== 'string' || !params.success) return authenticate(request, orm, tokens);
  return authenticateByTicket(request, orm, { ticket, submissionId: params.data.id });
}

/** The last event that the reader of a stream has: a browser that comes back names it in the header, whatever its address says. */
function lastEventOf(request: Request): number {
  return parse(After, request.get('Last-Event-ID') ?? request.query['after'] ?? '0', 'Last-Event-ID');
}

/** A request's address in one spelling: an id in capitals or a letter that is percent-encoded makes no other request of it. */
const routeOf = ({ method, path }: Endpoint, params: Readonly<Record<string, unknown>> = {}) =>
  `${method} ${path.replaceAll(/\{(\w+)\}/g, (_match, name: string) => String(params[name]))}`;

const expressPath = (path: string) => path.replaceAll(/\{(\w+)\}/g, ':$1');

function parseRequest(endpoint: Endpoint, request: Request) {
  const params = endpoint.params?.safeParse(request.params);
  // An id that cannot be one names nothing: the same answer as for one that does not exist.
  if (params?.success === false) throw new DomainError('not-found', 'There is nothing at this address.');
  return {
    params: params?.data,
    query: endpoint.query === undefined ? undefined : parse(endpoint.query.strict(), request.query, 'query'),
    body: endpoint.body === undefined ? undefined : parseBody(endpoint.body, request.body),
  };
}

function parseBody(schema: z.ZodType, body: unknown) {
  // No body says as much as an empty object; where that is too little, an object is missing and not its fields.
  if (body === undefined && !schema.safeParse({}).success) {
    throw new HttpProblem(400, 'malformed-json', 'Send a JSON object as the body.');
  }
  return parse(schema, body ?? {}, 'body');
}

function parse<S extends z.ZodType>(schema: S, value: unknown, where: string): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const errors = result.error.issues.map((issue) => ({ path: [where, ...issue.path].join('.'), message: issue.message }));
  throw new HttpProblem(422, 'validation', `The ${where} is not valid: ${errors[0]?.path} ${errors[0]?.message}.`, { errors });
}

/** The one entity tag of If-Match; a list, a weak tag or `*` names nothing that could be compared, and so never matches. */
function ifMatchOf(request: Request): string {
  const header = request.get('If-Match');
  if (header === undefined) {
    throw new HttpProblem(428, 'precondition-required', 'Send If-Match with the ETag of what you looked at.');
  }
  return /^"([\x21\x23-\x7e]{1,100})"$/.exec(header)?.[1] ?? '';
}

function keyOf(request: Request): string | null {
  const key = request.get('Idempotency-Key');
  if (key === undefined) return null;
  if (!/^[\x21-\x7e]{1,200}$/.test(key)) {
    throw new HttpProblem(400, 'malformed-idempotency-key', 'An Idempotency-Key has 1 to 200 visible ASCII characters.');
  }
  return key;
}
