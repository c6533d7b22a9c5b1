/**
 * How long a session lasts, from its login on; a refresh does not lengthen it. Thirty days: who learns here every week types the
 * password once a month, and a stolen session that nobody notices ends by itself.
 */
export const sessionTtlMs = 30 * 86_400_000;

/**
 * How long a refresh may be repeated, from the first time on. Ten seconds hold a lost answer and one more try; a thief who is later than
 * that is found out.
 */
export const repeatGraceMs = 10_000;

/** Of a refresh token, all that the rule needs. */
interface Use {
  readonly usedAt: Date | null;
}

/**
 * What it means that this refresh token is presented, where `successor` is what it was refreshed to (null where it never was):
 * - `first`: it is the session's live one; it is refreshed;
 * - `repeat`: it was refreshed less than `repeatGraceMs` ago and what came of that is still live. The same request came twice, or its
 *   answer was lost: it is refreshed again, and the first answer's token gives way to the new one;
 * - `reuse`: any other that is used up. Two parties hold the session's tokens, and one of them is not the user.
 *
 * A token that gave way has no successor, so it is `reuse` at once: of the answers to one refresh only the last lives, and a chain of
 * repeats ends `repeatGraceMs` after its first.
 */
export function presentationOf(token: Use, successor: Use | null, now: Date): 'first' | 'repeat' | 'reuse' {
  if (token.usedAt === null) return 'first';
  const isRecent = now.getTime() - token.usedAt.getTime() < repeatGraceMs;
  return isRecent && successor !== null && successor.usedAt === null ? 'repeat' : 'reuse';
}
