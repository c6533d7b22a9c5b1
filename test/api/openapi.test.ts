import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import request from 'supertest';
import { z } from 'zod';
import { contract } from '../../src/api/contract/contract.ts';
import type { Endpoint } from '../../src/api/contract/core.ts';
import { startApi, type TestApi } from './support.ts';

const endpoints = Object.entries(contract as Record<string, Endpoint>);

const Schema = z.looseObject({});
const Content = z.record(z.string(), z.strictObject({ schema: Schema }));
const Parameter = z.strictObject({
  name: z.string(),
  in: z.enum(['path', 'query', 'header']),
  required: z.boolean().optional(),
  description: z.string().optional(),
  schema: Schema,
});
const Operation = z.strictObject({
  operationId: z.string(),
  summary: z.string().min(10),
  tags: z.array(z.string()).length(1),
  security: z.array(z.record(z.string(), z.array(z.string()))),
  parameters: z.array(Parameter).optional(),
  requestBody: z.strictObject({ required: z.boolean().optional(), content: Content }).optional(),
  responses: z.record(
    z.string().regex(/^(?:[1-5]\d\d|default)$/),
    z.strictObject({ description: z.string(), content: Content.optional(), headers: z.record(z.string(), Schema).optional() }),
  ),
});
/** The parts of OpenAPI 3.1 that we use, and no others. */
const Document = z.strictObject({
  openapi: z.string().regex(/^3\.1\.\d+$/),
  info: z.strictObject({ title: z.string(), version: z.string(), description: z.string() }),
  servers: z.array(z.strictObject({ url: z.url() })).min(1),
  paths: z.record(z.string().startsWith('/'), z.partialRecord(z.enum(['get', 'post', 'patch', 'delete']), Operation)),
  components: z.strictObject({
    schemas: z.record(z.string().regex(/^[\w.-]+$/), Schema),
    securitySchemes: z.record(
      z.string(),
      z.strictObject({ type: z.literal('http'), scheme: z.literal('bearer'), bearerFormat: z.string() }),
    ),
  }),
});
type Operation = z.output<typeof Operation>;

let api: TestApi;
let text: string;
let document: z.output<typeof Document>;
let operations: Map<string, Operation & { path: string; method: string }>;

beforeAll(async () => {
  api = await startApi();
  const response = await request(api.server).get('/openapi.json');
  text = response.text;
  document = Document.parse(response.body);
  operations = new Map(
    Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]) => [operation.operationId, { ...operation, path, method }]),
    ),
  );
});

afterAll(() => api.close());

/** Every value under the key, at any depth. */
function valuesOf(key: string, within: unknown): unknown[] {
  if (typeof within !== 'object' || within === null) return [];
  return Object.entries(within).flatMap(([name, value]) => (name === key ? [value] : valuesOf(key, value)));
}

describe('the OpenAPI document', () => {
  test('has every endpoint of the contract and no other', () => {
    const described = [...operations.values()].map(({ operationId, method, path }) => `${operationId}: ${method} ${path}`);
    expect(described.toSorted()).toEqual(
      endpoints.map(([name, { method, path }]) => `${name}: ${method} /api${path}`).toSorted(),
    );
  });

  test('refers only to what it holds', () => {
    const references = valuesOf('$ref', document) as string[];
    expect(references.length).toBeGreaterThan(0);
    const missing = references.filter((reference) => {
      const name = /^#\/components\/schemas\/(.+)$/.exec(reference)?.[1];
      return name === undefined || !(name in document.components.schemas);
    });
    expect(missing).toEqual([]);
  });

  test('uses JSON Schema 2020-12, not the dialect of OpenAPI 3.0', () => {
    expect(valuesOf('nullable', document)).toEqual([]);
    expect(valuesOf('exclusiveMinimum', document).filter((value) => typeof value === 'boolean')).toEqual([]);
  });

  test.each(endpoints)('%s: parameters, body, rights and answers are those of the contract', (name, endpoint) => {
    const operation = operations.get(name);
    const parameters = (operation?.parameters ?? []).map((parameter) => `${parameter.in} ${parameter.name}`);
    expect(parameters.toSorted()).toEqual(
      [
        ...[...endpoint.path.matchAll(/\{(\w+)\}/g)].map((match) => `path ${match[1]}`),
        ...Object.keys(endpoint.query?.shape ?? {}).map((key) => `query ${key}`),
        ...(endpoint.isKeyed === true ? ['header Idempotency-Key'] : []),
        ...(endpoint.isStream === true ? ['header Last-Event-ID'] : []),
        ...(endpoint.needsIfMatch === true ? ['header If-Match'] : []),
      ].toSorted(),
    );
    const needed = ({ in: place, name: header }: { in: string; name: string }) => place === 'path' || header === 'If-Match';
    const optional = (operation?.parameters ?? []).filter((parameter) => needed(parameter) && parameter.required !== true);
    expect(optional).toEqual([]);
    expect(operation?.requestBody === undefined).toBe(endpoint.body === undefined);
    expect(operation?.security).toEqual(endpoint.access === 'public' ? [] : [{ bearer: [] }]);
    const answers = Object.keys(operation?.responses ?? {});
    expect(answers).toEqual(expect.arrayContaining([String(endpoint.status), 'default']));
    expect(answers.includes('401')).toBe(endpoint.access !== 'public');
    expect(answers.includes('202')).toBe(endpoint.status === 202 || endpoint.mayBeAccepted === true);
    const headers = Object.keys(operation?.responses[endpoint.status]?.headers ?? {});
    expect(headers.includes('ETag')).toBe(endpoint.hasETag === true);
    expect(headers.includes('Idempotency-Replayed')).toBe(endpoint.isKeyed === true);
    expect(answers.includes('404')).toBe(endpoint.params !== undefined);
    expect(answers.includes('412') && answers.includes('428')).toBe(endpoint.needsIfMatch === true);
    expect(answers.includes('413')).toBe(endpoint.body !== undefined);
    expect(answers.includes('403')).toBe(Array.isArray(endpoint.access));
    expect(operation?.responses[endpoint.status]?.content === undefined).toBe(endpoint.status === 204);
    expect('text/event-stream' in (operation?.responses['200']?.content ?? {})).toBe(endpoint.isStream === true);
  });

  test('a body may be left out only where nothing in it is needed', () => {
    expect(operations.get('submitTask')?.requestBody?.required ?? false).toBe(false);
    expect(operations.get('decideReview')?.requestBody?.required).toBe(true);
  });

  test('refuses unknown keys in what is sent', () => {
    const bodies = [...operations.values()].flatMap(({ requestBody }) => requestBody?.content['application/json']?.schema ?? []);
    expect(bodies).toHaveLength(endpoints.filter(([, { body }]) => body !== undefined).length);
    for (const schema of bodies) expect(schema).toMatchObject({ type: 'object', additionalProperties: false });
  });

  test('tells no secret and names this academy as its server', () => {
    expect(document.servers).toEqual([{ url: api.origin }]);
    expect(text).not.toMatch(/passwordHash|tokenHash|a secret for the tests/);
  });
});

describe('pages', () => {
  test.each([
    ['/', 'text/html', 'Atelier'],
    ['/docs', 'text/html', '/docs/start.js'],
    ['/docs/start.js', 'text/javascript', '/openapi.json'],
    ['/docs/swagger-ui.css', 'text/css', '.swagger-ui'],
    ['/docs/swagger-ui-bundle.js', 'text/javascript', 'SwaggerUIBundle'],
  ])('%s is %s behind a content security policy', async (path, type, content) => {
    const response = await request(api.server).get(path).buffer(true);
    expect(response.status).toBe(200);
    expect(response.headers['content-type']).toContain(type);
    expect(response.text).toContain(content);
    const policy = response.headers['content-security-policy'] ?? '';
    expect(policy).toContain("default-src 'self'");
    expect(policy).toContain("script-src 'self'");
    expect(policy).toContain("object-src 'none'");
    expect(policy).not.toMatch(/script-src[^;]*unsafe/);
    expect(response.headers['x-content-type-options']).toBe('nosniff');
    expect(response.headers['x-powered-by']).toBeUndefined();
  });

  test('no page has a script inside: the policy would not run it', async () => {
    for (const path of ['/', '/docs']) {
      const { text: html } = await request(api.server).get(path);
      expect(html).not.toMatch(/<script(?![^>]*src=)|\son\w+=|javascript:/i);
    }
  });

  test('nothing else of the Swagger folder is served', async () => {
    for (const file of ['package.json', 'index.html', '..%2fpackage.json', 'swagger-ui.css.map']) {
      expect((await request(api.server).get(`/docs/${file}`)).status).toBe(404);
    }
  });
});
