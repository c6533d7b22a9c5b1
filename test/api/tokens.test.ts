import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { request as sendRequest } from 'node:http';
import request from 'supertest';
import { newId } from '../../src/database/columns.ts';
import { Session } from '../../src/database/entities/sessions.ts';
import { signJobToken } from '../../src/git/job-token.ts';
import { createUser, password } from '../support/factories.ts';
import { login } from '../../src/services/sessions.ts';
import { exchange, expectProblem, secret, signIn, startApi, type TestApi, withoutAddress } from './support.ts';

let api: TestApi;
let user: { id: string; email: string };
/** A token that is accepted; every forged one differs from it in one way. */
let genuine: string;

beforeAll(async () => {
  api = await startApi();
  user = await createUser(api.orm);
  genuine = await signIn(api, user);
});

afterAll(() => api.close());

const encode = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const decode = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString('utf8')) as Record<string, unknown>;
const now = () => Math.floor(Date.now() / 1000);

interface Forgery {
  readonly header?: Record<string, unknown>;
  readonly claims?: Record<string, unknown>;
  readonly without?: readonly string[];
  readonly key?: string;
  readonly hash?: 'sha256' | 'sha512';
}

/** The genuine token, changed and signed again. */
function forge({ header = {}, claims = {}, without = [], key = secret, hash = 'sha256' }: Forgery): string {
  const [genuineHeader = '', genuineClaims = ''] = genuine.split('.');
  const changed = Object.entries({ ...decode(genuineClaims), ...claims }).filter(([name]) => !without.includes(name));
  const signed = `${encode({ ...decode(genuineHeader), ...header })}.${encode(Object.fromEntries(changed))}`;
  return `${signed}.${createHmac(hash, key).update(signed).digest('base64url')}`;
}

function signedWithRsa(): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const signed = `${encode({ alg: 'RS256', typ: 'JWT' })}.${genuine.split('.')[1]}`;
  return `${signed}.${sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`;
}

const unsigned = (alg: string) => `${encode({ alg, typ: 'JWT' })}.${genuine.split('.')[1]}.`;
const foreignKey = { kty: 'oct', k: encode('attacker') };

const forgeries: readonly (readonly [string, () => string])[] = [
  ['alg none', () => unsigned('none')],
  ['alg None', () => unsigned('None')],
  ['alg none with the genuine signature', () => unsigned('none') + genuine.split('.')[2]],
  ['no signature', () => genuine.slice(0, genuine.lastIndexOf('.') + 1)],
  ['two parts', () => genuine.slice(0, genuine.lastIndexOf('.'))],
  ['another secret', () => forge({ key: `${secret}!` })],
  ['an empty secret', () => forge({ key: '' })],
  ['HS512', () => forge({ header: { alg: 'HS512' }, hash: 'sha512' })],
  ['RS256', signedWithRsa],
  [
    'a claim changed after signing',
    () => genuine.replace(/\.[^.]+\./, `.${encode({ ...decode(genuine.split('.')[1] ?? ''), sub: newId() })}.`),
  ],
  ['expired', () => forge({ claims: { iat: now() - 3_700, exp: now() - 100 } })],
  ['no exp', () => forge({ without: ['exp'] })],
  ['exp in ten years', () => forge({ claims: { exp: now() + 315_360_000 } })],
  ['exp as text', () => forge({ claims: { exp: String(now() + 60) } })],
  ['no iat', () => forge({ without: ['iat'] })],
  ['iat in an hour', () => forge({ claims: { iat: now() + 3_600, exp: now() + 7_000 } })],
  ['not valid before an hour', () => forge({ claims: { nbf: now() + 3_600 } })],
  ['another audience', () => forge({ claims: { aud: 'atelier-git' } })],
  ['no audience', () => forge({ without: ['aud'] })],
  ['another issuer', () => forge({ claims: { iss: 'https://evil.example' } })],
  ['no issuer', () => forge({ without: ['iss'] })],
  ["git's job token", () => signJobToken(secret, newId())],
  ["git's job token for the user's id", () => signJobToken(secret, user.id)],
  ['another typ claim', () => forge({ claims: { typ: 'refresh' } })],
  ['no typ claim', () => forge({ without: ['typ'] })],
  ['kid', () => forge({ header: { kid: '../../../../dev/null' } })],
  ['jku', () => forge({ header: { jku: 'https://evil.example/keys' } })],
  ['x5u', () => forge({ header: { x5u: 'https://evil.example/certificate' } })],
  ['jwk', () => forge({ header: { jwk: foreignKey }, key: 'attacker' })],
  ['crit', () => forge({ header: { crit: ['exp'] } })],
  ['b64', () => forge({ header: { b64: false, crit: ['b64'] } })],
  ['no sub', () => forge({ without: ['sub'] })],
  ['sub null', () => forge({ claims: { sub: null } })],
  ['sub a list', () => forge({ claims: { sub: [user.id] } })],
  ['sub of another user', () => forge({ claims: { sub: newId() } })],
  ['sub no id', () => forge({ claims: { sub: "' or '1'='1" } })],
  ['a session that does not exist', () => forge({ claims: { sid: newId() } })],
  ['no session', () => forge({ without: ['sid'] })],
  [
    'claims that are no object',
    () => {
      const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode('"text"')}`;
      return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
    },
  ],
  [
    'claims that are no JSON',
    () => {
      const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode('{')}`;
      return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
    },
  ],
  ['a header that is no JSON', () => `${encode('{')}.${genuine.split('.')[1]}.AAAA`],
  ['one dot', () => '.'],
  ['two dots', () => '..'],
  ['9 kB of claims', () => forge({ claims: { padding: 'x'.repeat(9_000) } })],
];

test('the genuine token, taken apart and signed again, is accepted', async () => {
  const response = await request(api.server)
    .get('/api/me')
    .set('Authorization', `Bearer ${forge({})}`);
  expect(response.body).toMatchObject({ id: user.id });
});

test.each(forgeries)('refused: %s', async (_name, make) => {
  const response = await request(api.server).get('/api/me').set('Authorization', `Bearer ${make()}`);
  expectProblem(response, 401, 'unauthenticated');
  expect(response.headers['www-authenticate']).toBe('Bearer');
});

test('every refusal reads the same, whatever was wrong', async () => {
  const refusals = await Promise.all(
    [undefined, 'Bearer x', `Bearer ${forge({ claims: { exp: now() - 10 } })}`].map(async (value) => {
      const sent = request(api.server).get('/api/me');
      if (value !== undefined) sent.set('Authorization', value);
      return withoutAddress(expectProblem(await sent, 401, 'unauthenticated'));
    }),
  );
  expect(refusals[1]).toEqual(refusals[0]);
  expect(refusals[2]).toEqual(refusals[0]);
});

describe('what is no bearer token', () => {
  test.each<readonly [string, () => string]>([
    ['Basic', () => `Basic ${encode(`user:${genuine}`)}`],
    ['an empty Bearer', () => 'Bearer '],
    ['Bearer alone', () => 'Bearer'],
    ['the token alone', () => genuine],
    ['two tokens', () => `Bearer ${genuine} ${genuine}`],
    ['a token with a comma', () => `Bearer ${genuine}, Bearer ${genuine}`],
    ['two blanks', () => `Bearer  ${genuine}`],
    ['quotes', () => `Bearer "${genuine}"`],
  ])('%s', async (_name, value) => {
    const response = await request(api.server).get('/api/me').set('Authorization', value());
    expectProblem(response, 401, 'unauthenticated');
  });

  test('two Authorization headers, both with the genuine token', async () => {
    const response = await fetchRaw(['Authorization', `Bearer ${genuine}`, 'authorization', `Bearer ${genuine}`]);
    expect(response).toBe(401);
    expect(await fetchRaw(['Authorization', `Bearer ${genuine}`])).toBe(200);
  });

  test.each(['access_token', 'token', 'authorization'])('the genuine token as ?%s=', async (name) => {
    expectProblem(await request(api.server).get(`/api/me?${name}=${genuine}`), 401, 'unauthenticated');
  });

  test('the genuine token in a cookie', async () => {
    expectProblem(await request(api.server).get('/api/me').set('Cookie', `token=${genuine}`), 401, 'unauthenticated');
  });

  test('a token of 64 kB is refused before it is read', async () => {
    const token = 'x'.repeat(65_536);
    const answer = await exchange(api.origin, `GET /api/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`);
    // Node's own bound on all headers comes first.
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
  });
});

test('the scheme may be written in any case', async () => {
  expect((await request(api.server).get('/api/me').set('Authorization', `bearer ${genuine}`)).status).toBe(200);
});

test('a session that has run out takes its token along', async () => {
  const token = await signIn(api, user);
  const { sessionId } = api.tokens.verify(token) ?? { sessionId: '' };
  await api.orm.em.fork().nativeUpdate(Session, { id: sessionId }, { expiresAt: new Date(Date.now() - 1) });
  expectProblem(await request(api.server).get('/api/me').set('Authorization', `Bearer ${token}`), 401, 'unauthenticated');
});

describe('a refresh token', () => {
  const open = async () => (await login(api.orm.em.fork(), { email: user.email, password, ttlMs: 60_000 })).refreshToken;

  test('opens nothing as a bearer', async () => {
    const response = await request(api.server)
      .get('/api/me')
      .set('Authorization', `Bearer ${await open()}`);
    expectProblem(response, 401, 'unauthenticated');
  });

  test('is no password for git', async () => {
    const response = await request(api.server)
      .get(`/git/${newId()}.git/info/refs?service=git-upload-pack`)
      .set('Authorization', `Basic ${Buffer.from(`ann:${await open()}`).toString('base64')}`);
    expectProblem(response, 401, 'unauthenticated');
  });

  test.each<readonly [string, (token: string) => request.Test]>([
    ['a bearer', (token) => request(api.server).post('/api/auth/refresh').set('Authorization', `Bearer ${token}`)],
    ['a cookie', (token) => request(api.server).post('/api/auth/refresh').set('Cookie', `refreshToken=${token}`)],
    ['the query', (token) => request(api.server).post(`/api/auth/refresh?refreshToken=${token}`)],
  ])('is not taken from %s, only from the body', async (_name, send) => {
    const token = await open();
    expectProblem(await send(token).send({}), 422, 'validation');
    expect((await request(api.server).post('/api/auth/refresh').send({ refreshToken: token })).status).toBe(200);
  });

  test('cannot be had from any other of our tokens', async () => {
    for (const refreshToken of [genuine, forge({ claims: { typ: 'refresh' } }), signJobToken(secret, user.id)]) {
      expectProblem(await request(api.server).post('/api/auth/refresh').send({ refreshToken }), 401, 'unauthenticated');
    }
  });
});

/** Status of GET /api/me with exactly these headers; fetch and supertest merge equal names. */
async function fetchRaw(headers: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = sendRequest(`${api.origin}/api/me`, { headers: ['Host', 'localhost', 'Connection', 'close', ...headers] });
    sent.once('response', (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.once('error', reject);
    sent.end();
  });
}
