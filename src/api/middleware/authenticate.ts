import type { Request } from 'express';
import type { Orm } from '../../database/orm.ts';
import { DomainError } from '../../domain/errors.ts';
import type { Actor } from '../../domain/users.ts';
import { useStreamTicket } from '../../services/events.ts';
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

/**
 * The caller behind a ticket, which is used up; with session, account and role as the database has them now.
 *
 * @throws DomainError `unauthenticated`, also where the request says by a header as well who makes it.
 */
export async function authenticateByTicket(
  request: Request,
  orm: Orm,
  { ticket, submissionId }: { ticket: string; submissionId: string },
): Promise<Caller> {
  if (request.headers.authorization !== undefined) {
    throw new DomainError('unauthenticated', 'Send the access token or a ticket, not both.');
  }
  const session = await useStreamTicket(orm.em.fork(), { ticket, submissionId });
  const actor = await selectOptionalActor(orm.em.fork(), session);
  if (actor === null) throw new DomainError('unauthenticated', 'The session that this ticket was made in has ended.');
  return { actor, sessionId: session.sessionId };
}
