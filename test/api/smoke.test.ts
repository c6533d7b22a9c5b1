import { afterAll, beforeAll, expect, test } from '@jest/globals';
import request from 'supertest';
import { createUser } from '../support/factories.ts';
import { as, signIn, startApi, type TestApi } from './support.ts';
let api: TestApi;
beforeAll(async () => { api = await startApi(); });
afterAll(() => api.close());
test('me', async () => {
  const s = await createUser(api.orm);
  const r = await as(api, await signIn(api, s)).get('/api/me');
  expect(r.status).toBe(200);
  console.log(r.body, (await request(api.server).get('/health/ready')).body);
  const a = as(api, await signIn(api, await createUser(api.orm, 'ACADEMY_REVIEWER')));
  console.log((await a.post('/api/courses/%00/enrolments')).body);
  const rs = await Promise.all(Array.from({length: 8}, () => a.post('/api/courses/small-tools/enrolments').then(x => x)));
  console.log(rs.map(x => x.status));
  console.log((await request(api.server).post('/api/auth/login').set('content-type','application/json').send('{"email":"a@b.cd","password":"x","__proto__":{"a":1}}')).body);
});
