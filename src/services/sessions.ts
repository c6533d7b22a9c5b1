import { createHash, randomBytes } from 'node:crypto';
import { newId } from '../database/columns.ts';
import { AccessToken, Session } from '../database/entities/sessions.ts';
import { User } from '../database/entities/users.ts';
import type { Em } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import { type Actor, canonicalEmail } from '../domain/users.ts';
import { verifyPassword } from './passwords.ts';

/**
 * Opens a session for who knows the password.
 *
 * @param ttlMs how long the session lasts, in milliseconds.
 * @throws DomainError `unauthenticated`, the same for an unknown address, a wrong password and a disabled account.
 */
export async function login(
  em: Em,
  input: { email: string; password: string; ttlMs: number },
): Promise<{ sessionId: string; userId: string; expiresAt: Date }> {
  const user = await em.findOne(User, { email: canonicalEmail(input.email), disabledAt: null, erasedAt: null });
  const isRight = await verifyPassword(user?.passwordHash ?? null, input.password);
  if (user === null || !isRight) throw new DomainError('unauthenticated', 'The e-mail address or the password is wrong.');
  const session = em.create(Session, {
    id: newId(),
    createdAt: new Date(),
    user,
    expiresAt: new Date(Date.now() + input.ttlMs),
    revokedAt: null,
  });
  await em.flush();
  return { sessionId: session.id, userId: user.id, expiresAt: session.expiresAt };
}

/** Ends a session, and with it every access token that names it; again is no error. */
export async function logout(em: Em, sessionId: string): Promise<void> {
  await em.nativeUpdate(Session, { id: sessionId, revokedAt: null }, { revokedAt: new Date() });
}

/** Whose live session this is, with the role as it is now: a demotion or a block acts at once. Null where there is none. */
export async function selectOptionalActor(em: Em, input: { sessionId: string; userId: string }): Promise<Actor | null> {
  const session = await em.findOne(
    Session,
    {
      id: input.sessionId,
      user: { id: input.userId, disabledAt: null, erasedAt: null },
      revokedAt: null,
      expiresAt: { $gt: new Date() },
    },
    { populate: ['user'] },
  );
  return session === null ? null : { id: session.user.id, role: session.user.$.role };
}

const hashToken = (token: string) => createHash('sha256').update(token).digest('hex');

/** Makes an access token for git; its text is returned once and never stored. */
export async function createAccessToken(
  em: Em,
  input: { userId: string; name: string; ttlMs: number },
): Promise<{ id: string; token: string; expiresAt: Date }> {
  const token = `atl_${randomBytes(32).toString('base64url')}`;
  const row = em.create(AccessToken, {
    id: newId(),
    createdAt: new Date(),
    user: input.userId,
    name: input.name,
    tokenHash: hashToken(token),
    expiresAt: new Date(Date.now() + input.ttlMs),
    revokedAt: null,
  });
  await em.flush();
  return { id: row.id, token, expiresAt: row.expiresAt };
}

/** Whose live access token this is; null where there is none. */
export async function selectOptionalActorByAccessToken(em: Em, token: string): Promise<Actor | null> {
  const row = await em.findOne(
    AccessToken,
    { tokenHash: hashToken(token), revokedAt: null, expiresAt: { $gt: new Date() }, user: { disabledAt: null, erasedAt: null } },
    { populate: ['user'] },
  );
  return row === null ? null : { id: row.user.id, role: row.user.$.role };
}
