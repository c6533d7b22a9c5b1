/** One role per user; student rights come from being a task's assignee, so every role may learn too. */
export const roles = ['CODING_STUDENT', 'ACADEMY_REVIEWER', 'INSTRUCTOR', 'SUPER_ADMIN'] as const;
export type Role = (typeof roles)[number];

/** Who asks: the account behind a request, as read from the database for this request. */
export interface Actor {
  readonly id: string;
  readonly role: Role;
}

/** May look at the queue and decide (never own work: `reviews.ts`). */
export function mayReview(actor: Actor): boolean {
  return actor.role === 'ACADEMY_REVIEWER' || actor.role === 'SUPER_ADMIN';
}

/**
 * Canonical form of an e-mail address, under which it is unique: NFKC, trimmed, lower case. The local part is lower-cased too, although
 * RFC 5321 (2.4) lets hosts tell case apart: nobody expects `Ann@x` and `ann@x` to be two people.
 */
export function canonicalEmail(email: string): string {
  return email.normalize('NFKC').trim().toLowerCase();
}
