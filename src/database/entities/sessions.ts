import { defineEntity, p } from '@mikro-orm/core';
import { identified, instant } from '../columns.ts';
import { User } from './users.ts';

const SessionSchema = defineEntity({
  name: 'Session',
  schema: 'accounts',
  tableName: 'sessions',
  properties: {
    ...identified,
    user: () => p.manyToOne(User).ref(),
    /** The end of its life, set at the login; no refresh moves it. */
    expiresAt: instant(),
    revokedAt: instant().strictNullable(),
  },
});

/** One login; access tokens name it, so ending it ends them, and its refresh tokens too. */
export class Session extends SessionSchema.class {}
SessionSchema.setClass(Session);

const RefreshTokenSchema = defineEntity({
  name: 'RefreshToken',
  schema: 'accounts',
  tableName: 'refresh_tokens',
  indexes: [
    {
      name: 'refresh_tokens_one_live',
      expression:
        'create unique index "refresh_tokens_one_live" on "accounts"."refresh_tokens" ("session_id") where "used_at" is null',
    },
  ],
  properties: {
    ...identified,
    session: () => p.manyToOne(Session).ref(),
    /** SHA-256 in hex of the whole text; it has 256 random bits, so a slow hash would add nothing. */
    tokenHash: p.string().length(64).unique(),
    /** When it was refreshed, or gave way to another answer to the same refresh; null is the session's live one. */
    usedAt: instant().strictNullable(),
    /** What it was refreshed to, the last where that was repeated; null where it never was refreshed itself. */
    replacedBy: () => p.manyToOne(RefreshToken).ref().strictNullable(),
  },
});

/** What renews a session's access token, once; used-up rows stay, so that their reuse is known. At most one a session is live. */
export class RefreshToken extends RefreshTokenSchema.class {}
RefreshTokenSchema.setClass(RefreshToken);

const AccessTokenSchema = defineEntity({
  name: 'AccessToken',
  schema: 'accounts',
  tableName: 'access_tokens',
  properties: {
    ...identified,
    user: () => p.manyToOne(User).ref(),
    name: p.string().length(100),
    /** SHA-256 in hex; the token has 256 random bits, so a slow hash would add nothing. */
    tokenHash: p.string().length(64).unique(),
    expiresAt: instant(),
    revokedAt: instant().strictNullable(),
  },
});

/** What git presents as a password to /git; it opens nothing else. */
export class AccessToken extends AccessTokenSchema.class {}
AccessTokenSchema.setClass(AccessToken);
