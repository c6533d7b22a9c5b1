import { LockMode, ref } from '@mikro-orm/core';
import { createHash, randomBytes } from 'node:crypto';
import { newId } from '../database/columns.ts';
import { AccessToken, RefreshToken, Session } from '../database/entities/sessions.ts';
import { User } from '../database/entities/users.ts';
import type { Em } from '../database/orm.ts';
import { DomainError } from '../domain/errors.ts';
import { presentationOf } from '../domain/sessions.ts';
import { type Actor, canonicalEmail } from '../domain/users.ts';
import { recordAudit } from './activity.ts';
import { verifyPassword } from './passwords.ts';

/** A session as its holder needs it. */
export interface OpenSession {
  readonly sessionId: string;
  readonly userId: string;
  /** When it ends, and its refresh tokens with it. */
  readonly expiresAt: Date;
  /** The session's live refresh token: told here and never again. */
  readonly refreshToken: string;
}

/**
 * Opens a session for who knows the password.
 *
 * @param ttlMs how long the session lasts, in milliseconds.
 * @throws DomainError `unauthenticated`, the same for an unknown address, a wrong password and a disabled account.
 */
export async function login(em: Em, input: { email: string; password: string; ttlMs: number }): Promise<OpenSession> {
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
  const { text } = createRefreshToken(em, session);
  await em.flush();
  return { sessionId: session.id, userId: user.id, expiresAt: session.expiresAt, refreshToken: text };
}

const newRefreshToken = () => `atr_${randomBytes(32).toString('base64url')}`;
const hashToken = (token: string) => createHash('sha256').update(token).digest('hex');

function createRefreshToken(em: Em, session: Session): { text: string; token: RefreshToken } {
  const text = newRefreshToken();
  const token = em.create(RefreshToken, {
    id: newId(),
    createdAt: new Date(),
    session,
    tokenHash: hashToken(text),
    usedAt: null,
    replacedBy: null,
  });
  return { text, token };
}

/**
 * Uses a refresh token up and returns the one that takes its place; the session's end stays where it is.
 *
 * Nobody but the last to be answered holds a live token. To repeat a refresh is no error for ten seconds, as long as what it brought was
 * not used: a client may send it twice at once, or again when the answer was lost, and keeps the answer that was made last; the tokens
 * of the others are used up (`presentationOf` is the rule). Any other used-up token ends the session, with every token of it, and is
 * written to the audit once.
 *
 * @throws DomainError `unauthenticated` for what is no refresh token of ours, and where the session or its account has ended;
 *   `token-reused`.
 */
export async function refreshSession(em: Em, refreshToken: string): Promise<OpenSession> {
  // Refusals are returned and thrown here: thrown in the transaction, they would undo the end of the session.
  const result = await em.transactional((tx) => rotate(tx, hashToken(refreshToken)));
  if (result instanceof DomainError) throw result;
  return result;
}

async function rotate(tx: Em, tokenHash: string): Promise<OpenSession | DomainError> {
  const ended = new DomainError('unauthenticated', 'The refresh token opens no session: log in again.');
  const found = await tx.findOne(RefreshToken, { tokenHash });
  if (found === null) return ended;
  // Refreshes of one session take turns, and what was read before its turn is read again.
  const session = await tx.findOneOrFail(Session, found.session.id, { lockMode: LockMode.PESSIMISTIC_WRITE, refresh: true });
  const token = await tx.findOneOrFail(RefreshToken, found.id, { populate: ['replacedBy'], refresh: true });
  const now = new Date();
  if (session.revokedAt !== null || session.expiresAt <= now) return ended;

  const successor = token.replacedBy?.getEntity() ?? null;
  if (presentationOf(token, successor, now) === 'reuse') {
    session.revokedAt = now;
    recordAudit(tx, {
      action: 'session.reused',
      // The user or a thief: that is what nobody knows.
      actorId: null,
      target: { kind: 'session', id: session.id },
      via: 'api',
      data: { userId: session.user.id, refreshTokenId: token.id },
    });
    return new DomainError('token-reused', 'This refresh token was used before. Its session has ended: log in again.');
  }
  const user = await tx.findOne(User, { id: session.user.id, disabledAt: null, erasedAt: null });
  if (user === null) return ended;

  // In a repeat it is the first answer's token that gives way.
  const live = successor ?? token;
  live.usedAt = now;
  // Before the next one is there: the database holds no two live ones of a session.
  await tx.flush();
  const next = createRefreshToken(tx, session);
  token.replacedBy = ref(next.token);
  return { sessionId: session.id, userId: user.id, expiresAt: session.expiresAt, refreshToken: next.text };
}

/** Ends a session, and with it every access and refresh token of it; again is no error. */
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

/** The text of the access token that a seed gives. */
export const accessTokenOf = (seed: Buffer) => `atl_${seed.toString('base64url')}`;

/**
 * Makes an access token for git; its text is returned once and never stored.
 *
 * @param input.seed of the request, where it may be repeated: the same seed gives the same token, so that its repeat can be answered
 *   without the text being stored. At least 256 secret bits; null makes a token by chance.
 */
export async function createAccessToken(
  em: Em,
  input: { userId: string; name: string; ttlMs: number; seed: Buffer | null },
): Promise<{ id: string; token: string; expiresAt: Date }> {
  const token = accessTokenOf(input.seed ?? randomBytes(32));
  const known = await em.findOne(AccessToken, { tokenHash: hashToken(token), user: input.userId });
  if (known !== null) {
    if (known.name !== input.name) throw new DomainError('key-reused', 'This Idempotency-Key came with another body before.');
    return { id: known.id, token, expiresAt: known.expiresAt };
  }
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
