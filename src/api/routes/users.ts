import { createHmac, randomBytes } from 'node:crypto';
import { sessionTtlMs } from '../../domain/sessions.ts';
import { selectXpTotal } from '../../services/progress.ts';
import { accessTokenOf, createAccessToken, login, logout, type OpenSession, refreshSession } from '../../services/sessions.ts';
import { registerStudent, selectUser } from '../../services/users.ts';
import { answerOnce } from '../answer-once.ts';
import type { usersContract } from '../contract/users.ts';
import type { Dependencies } from '../dependencies.ts';
import type { Handlers } from '../mount.ts';

const dayMs = 86_400_000;

export function usersHandlers({ tokens, config }: Dependencies): Handlers<typeof usersContract> {
  const tokensOf = (session: OpenSession) => {
    const { token, expiresAt } = tokens.sign(session);
    return {
      accessToken: token,
      tokenType: 'Bearer' as const,
      // Near its end the session goes first, and takes the access token along.
      expiresAt: expiresAt < session.expiresAt ? expiresAt : session.expiresAt,
      refreshToken: session.refreshToken,
      refreshExpiresAt: session.expiresAt,
    };
  };

  /** Known to nobody who does not have our secret. */
  const tokenSeed = (request: string) => createHmac('sha256', config.JWT_SECRET).update(`access-token ${request}`).digest();

  return {
    async register({ em, body }) {
      await registerStudent(em, body);
      return { body: { status: 'accepted' } };
    },
    async login({ em, body }) {
      return { body: tokensOf(await login(em, { ...body, ttlMs: sessionTtlMs })) };
    },
    /**
     * Public: the refresh token is all the proof there is, and the access token it renews may have run out. It travels in JSON bodies
     * only, in no cookie: there are no pages yet, so no browser that would send one by itself (and no CSRF to guard against).
     */
    async refresh({ em, body }) {
      return { body: tokensOf(await refreshSession(em, body.refreshToken)) };
    },
    async logout({ em, sessionId }) {
      await logout(em, sessionId);
      return { body: undefined };
    },
    async me({ em, actor }) {
      const [user, xp] = [await selectUser(em, actor.id), await selectXpTotal(em, actor.id)];
      return { body: { ...user, xp } };
    },
    /** What is stored for a repeat is without the token's text: the seed gives it again. */
    async createAccessToken({ em, actor, body, keyed }) {
      const { name, expiresInDays } = body;
      const seed = keyed.key === null ? randomBytes(32) : tokenSeed(`${actor.id} ${keyed.key}`);
      const ttlMs = expiresInDays * dayMs;
      const answer = await answerOnce(em, keyed, async (tx) => {
        const { token: _token, ...shown } = await createAccessToken(tx, { userId: actor.id, name, ttlMs, seed });
        return shown;
      });
      return { ...answer, body: { ...answer.body, token: accessTokenOf(seed) } };
    },
  };
}
