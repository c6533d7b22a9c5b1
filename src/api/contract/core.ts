import { z } from 'zod';
import type { Role } from '../../domain/users.ts';

/** One endpoint: all that server, typed client and OpenAPI document need to know of it. */
export interface Endpoint {
  readonly method: 'get' | 'post' | 'patch' | 'delete';
  /** Below /api, in OpenAPI form: `/tasks/{id}`. */
  readonly path: `/${string}`;
  readonly summary: string;
  readonly tag: string;
  /** Who may call at all: anybody, who is logged in, or these roles. What they may see of it, the service decides. */
  readonly access: 'public' | 'user' | readonly Role[];
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodObject;
  /** Answers with a stream of events, and takes the Last-Event-ID header. */
  readonly isStream?: true;
  /** Takes `?ticket=` in place of an access token. */
  readonly takesTicket?: true;
  readonly status: 200 | 201 | 202 | 204;
  /** May also answer 202 with the same shape: stored, and done later. */
  readonly mayBeAccepted?: true;
  readonly response: z.ZodType;
  /** Takes an Idempotency-Key header: the same key has one effect. */
  readonly isKeyed?: true;
  /** Its answer has an ETag, for the If-Match of what changes the same. */
  readonly hasETag?: true;
  /** Needs an If-Match header with the ETag of what is changed. */
  readonly needsIfMatch?: true;
  /** Largest JSON body in bytes; 100 kB unless given. */
  readonly maxBodyBytes?: number;
}

export type Contract = Readonly<Record<string, Endpoint>>;

export const defineContract = <const C extends Contract>(contract: C): C => contract;

type Parsed<E, K extends 'params' | 'query' | 'body'> = E extends { readonly [P in K]: infer S extends z.ZodType }
  ? z.output<S>
  : undefined;

/** What a handler of endpoint `E` is given, parsed. */
export interface ParsedRequest<E extends Endpoint> {
  readonly params: Parsed<E, 'params'>;
  readonly query: Parsed<E, 'query'>;
  readonly body: Parsed<E, 'body'>;
}

/** Text from outside: PostgreSQL stores no NUL, and a lone surrogate has no UTF-8 form. */
export const text = (maxLength: number, minLength = 1) =>
  z
    .string()
    .min(minLength)
    .max(maxLength)
    .refine((value) => !value.includes('\0') && value.isWellFormed(), 'must be well-formed Unicode without NUL');

/** The length of a page, in a query: digits only. */
export const pageLimit = (standard: number) =>
  z
    .string()
    .regex(/^\d{1,3}$/)
    .transform(Number)
    .pipe(z.int().min(1).max(100))
    .default(standard)
    .meta({ type: 'integer', minimum: 1, maximum: 100, default: standard });

/** As a `Date`, or as the text that a stored answer has in its place. */
export const Instant = z
  .custom<Date | string>((value) => value instanceof Date || (typeof value === 'string' && !Number.isNaN(Date.parse(value))))
  .meta({ type: 'string', format: 'date-time' });

/** An id from outside, as the database writes it: ids are compared as text, and those in capitals are the same ones. */
export const Id = z.uuid().toLowerCase();

export const ById = z.object({ id: Id });

/** RFC 9457. */
export const Problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string(),
    requestId: z.string(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: 'Problem' });
export type Problem = z.output<typeof Problem>;
