import jwt from 'jsonwebtoken';
import { z } from 'zod';

const issuer = 'atelier';
const audience = 'atelier-api';

/** What a verified token says; role and rights are read from the database, never from the token. */
const Claims = z.object({
  sub: z.uuid(),
  sid: z.uuid(),
  typ: z.literal('access'),
  iat: z.number().int(),
  exp: z.number().int(),
});

export interface AccessTokens {
  sign(session: { sessionId: string; userId: string }): { token: string; expiresAt: Date };
  /** The session that the token names; null where it is not one of ours, or too old. */
  verify(token: string): { sessionId: string; userId: string } | null;
}

/**
 * @param ttlMs life of a token in milliseconds; an hour by default (`config.ts`). Session and account are looked up for each request, so
 *   this is no bound on how long a revoked one works, but on how long a stolen one does that nobody misses; refresh tokens renew it.
 */
export function createAccessTokens(secret: string, ttlMs: number): AccessTokens {
  const ttlSeconds = Math.floor(ttlMs / 1000);
  return {
    sign({ sessionId, userId }) {
      const token = jwt.sign({ sid: sessionId, typ: 'access' }, secret, {
        algorithm: 'HS256',
        issuer,
        audience,
        subject: userId,
        expiresIn: ttlSeconds,
      });
      return { token, expiresAt: new Date(Date.now() + ttlSeconds * 1000) };
    },
    verify(token) {
      if (token.length > 4_096) return null;
      try {
        const { header, payload } = jwt.verify(token, secret, {
          algorithms: ['HS256'],
          issuer,
          audience,
          maxAge: ttlSeconds,
          complete: true,
        });
        // The library lets these pass: headers that change what a signature means, and tokens that outlive ours (promises.md M14).
        if (Object.keys(header).some((name) => name !== 'alg' && name !== 'typ')) return null;
        const claims = Claims.parse(payload);
        const nowSeconds = Date.now() / 1000;
        if (claims.iat > nowSeconds + 60 || claims.exp > claims.iat + ttlSeconds) return null;
        return { sessionId: claims.sid, userId: claims.sub };
      } catch {
        return null;
      }
    },
  };
}
