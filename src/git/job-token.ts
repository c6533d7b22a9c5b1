import jwt from 'jsonwebtoken';

/** Reads commits of one repository for one job; the judging worker makes it, the api accepts it. */
const audience = 'atelier-git';
const ttlSeconds = 300;

export function signJobToken(secret: string, repositoryId: string): string {
  return jwt.sign({}, secret, { algorithm: 'HS256', audience, subject: repositoryId, expiresIn: ttlSeconds });
}

/** Whether `token` reads this repository now. */
export function isJobToken(secret: string, token: string, repositoryId: string): boolean {
  try {
    jwt.verify(token, secret, { algorithms: ['HS256'], audience, subject: repositoryId, maxAge: ttlSeconds });
    return true;
  } catch {
    return false;
  }
}
