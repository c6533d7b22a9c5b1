import { afterEach, describe, expect, it, jest } from '@jest/globals';
import jwt from 'jsonwebtoken';
import { newId } from '../../src/database/columns.ts';
import { isJobToken, signJobToken } from '../../src/git/job-token.ts';

const secret = 'a secret for the tests of job tokens';
const repositoryId = newId();

afterEach(() => {
  jest.restoreAllMocks();
});

describe('a job token', () => {
  it('opens its own repository, and no other', () => {
    const token = signJobToken(secret, repositoryId);
    expect(isJobToken(secret, token, repositoryId)).toBe(true);
    expect(isJobToken(secret, token, newId())).toBe(false);
  });

  it('opens nothing after five minutes', () => {
    const token = signJobToken(secret, repositoryId);
    const signedAt = Date.now();
    const after = (seconds: number) => {
      jest.spyOn(Date, 'now').mockReturnValue(signedAt + seconds * 1_000);
      return isJobToken(secret, token, repositoryId);
    };
    expect([after(298), after(302)]).toEqual([true, false]);
  });

  it.each([
    ['signed with another secret', signJobToken('another secret', repositoryId)],
    ['for another audience', jwt.sign({}, secret, { audience: 'atelier-api', subject: repositoryId, expiresIn: 60 })],
    ['without an end, and old', jwt.sign({ iat: 1_000 }, secret, { audience: 'atelier-git', subject: repositoryId })],
    ['without a signature', jwt.sign({}, '', { algorithm: 'none', audience: 'atelier-git', subject: repositoryId })],
    ['with another algorithm', jwt.sign({}, secret, { algorithm: 'HS512', audience: 'atelier-git', subject: repositoryId })],
    ['that is none', 'token'],
  ])('%s opens nothing', (_case, token) => {
    expect(isJobToken(secret, token, repositoryId)).toBe(false);
  });
});
