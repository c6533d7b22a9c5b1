import type { Request } from 'express';
import type { Orm } from '../../database/orm.ts';
import { DomainError } from '../../domain/errors.ts';
import type { Actor } from '../../domain/users.ts';
import { selectOptionalActor } from '../../services/sessions.ts';
import type { AccessTokens } from '../access-token.ts';

/** Who makes this request, and in which session. */
export interface Caller {
  readonly actor: Actor;
  readonly sessionId: string;
}

/**
 * The caller behind the bearer token, with session, account and role as the database has them now.
 *
 * @throws DomainError `unauthenticated`.
 */
export async function authenticate(request: Request, orm: Orm, tokens: AccessTokens): Promise<Caller> {
  // `headers` keeps only the first of several Authorization headers; two are no way to say who one is.
  const sent = request.rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'authorization');
  const token = /^Bearer ([A-Za-z0-9._-]+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const session = token === undefined || sent.length > 1 ? null : tokens.verify(token);
  const actor = session === null ? null : await selectOptionalActor(orm.em.fork(), session);
  if (session === null || actor === null)
    throw new DomainError('unauthenticated', 'Log in, and send the access token as a bearer.');
  return { actor, sessionId: session.sessionId };
}
