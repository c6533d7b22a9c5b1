import { selectXpTotal } from '../../services/progress.ts';
import { createAccessToken, login, logout } from '../../services/sessions.ts';
import { registerStudent, selectUser } from '../../services/users.ts';
import type { usersContract } from '../contract/users.ts';
import type { Dependencies } from '../dependencies.ts';
import type { Handlers } from '../mount.ts';

/** How long a session lasts, whatever its access tokens do. */
const sessionTtlMs = 12 * 3_600_000;
const dayMs = 86_400_000;

export function usersHandlers({ tokens }: Dependencies): Handlers<typeof usersContract> {
  return {
    async register({ em, body }) {
      await registerStudent(em, body);
      return { body: { status: 'accepted' } };
    },
    async login({ em, body }) {
      const session = await login(em, { ...body, ttlMs: sessionTtlMs });
      const { token, expiresAt } = tokens.sign(session);
      return { body: { accessToken: token, tokenType: 'Bearer', expiresAt } };
    },
    async logout({ em, sessionId }) {
      await logout(em, sessionId);
      return { body: undefined };
    },
    async me({ em, actor }) {
      const [user, xp] = [await selectUser(em, actor.id), await selectXpTotal(em, actor.id)];
      return { body: { ...user, xp } };
    },
    async createAccessToken({ em, actor, body }) {
      const { name, expiresInDays } = body;
      return { body: await createAccessToken(em, { userId: actor.id, name, ttlMs: expiresInDays * dayMs }) };
    },
  };
}
