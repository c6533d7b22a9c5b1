import { createHash } from 'node:crypto';
import { LockMode, UniqueConstraintViolationException } from '@mikro-orm/core';
import { newId } from '../database/columns.ts';
import { User } from '../database/entities/users.ts';
import type { Em } from '../database/orm.ts';
import { uuidV7 } from '../domain/ids.ts';
import { canonicalEmail, type Role } from '../domain/users.ts';
import { recordActivity, recordAudit } from './activity.ts';
import { enrolInDefaultCourse } from './enrolments.ts';
import { notify } from './notifications.ts';
import { hashPassword } from './passwords.ts';

/**
 * Registers a student, enrolled in the default course where there is one. A used address changes nothing and is not an error: the
 * answer must not tell who has an account; the account's owner hears of it by mail.
 */
export async function registerStudent(em: Em, input: { email: string; name: string; password: string }): Promise<void> {
  const email = canonicalEmail(input.email);
  // Hashed in both cases, so that the time tells nothing either.
  const passwordHash = await hashPassword(input.password);
  try {
    await em.transactional(async (tx) => {
      const user = createUser(tx, { email, name: input.name, passwordHash, role: 'CODING_STUDENT' });
      await tx.flush();
      recordActivity(tx, 'user.registered', { actorId: user.id });
      await notify(tx, { userId: user.id, kind: 'welcome', causeId: user.id });
      await enrolInDefaultCourse(tx, user.id);
    });
  } catch (error) {
    if (!(error instanceof UniqueConstraintViolationException)) throw error;
    await em.fork().transactional(async (tx) => {
      // Locked, so that of many at once one writes the notification and the others find it.
      const owner = await tx.findOneOrFail(User, { email }, { lockMode: LockMode.PESSIMISTIC_WRITE });
      await notify(tx, { userId: owner.id, kind: 'already-registered', causeId: causeOfDay(owner.id) });
    });
  }
}

/** One cause a user and day: however often somebody registers with an address, its owner gets one mail a day. */
function causeOfDay(userId: string): string {
  const dayMs = 86_400_000;
  return uuidV7(Math.floor(Date.now() / dayMs) * dayMs, createHash('sha256').update(userId).digest());
}

function createUser(em: Em, input: { email: string; name: string; passwordHash: string; role: Role }): User {
  return em.create(User, { id: newId(), createdAt: new Date(), ...input, disabledAt: null, erasedAt: null });
}

/** Makes an account from the command line or a seed; an address that is taken keeps its account. Returns whether one was made. */
export async function ensureUser(
  em: Em,
  input: { email: string; name: string; password: string; role: Role },
): Promise<{ userId: string; isNew: boolean }> {
  const email = canonicalEmail(input.email);
  return em.transactional(async (tx) => {
    const known = await tx.findOne(User, { email });
    if (known !== null) return { userId: known.id, isNew: false };
    const user = createUser(tx, { email, name: input.name, passwordHash: await hashPassword(input.password), role: input.role });
    await tx.flush();
    recordAudit(tx, {
      action: 'user.created',
      actorId: null,
      target: { kind: 'user', id: user.id },
      via: 'command-line',
      data: { role: input.role },
    });
    if (input.role === 'CODING_STUDENT') await enrolInDefaultCourse(tx, user.id);
    return { userId: user.id, isNew: true };
  });
}

export interface UserView {
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly role: Role;
}

export async function selectUser(em: Em, userId: string): Promise<UserView> {
  const user = await em.findOneOrFail(User, userId);
  return { id: user.id, email: user.email, name: user.name, role: user.role };
}
