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
    expiresAt: instant(),
    revokedAt: instant().strictNullable(),
  },
});

/** One login; access tokens name it, so ending it ends them. */
export class Session extends SessionSchema.class {}
SessionSchema.setClass(Session);

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
