/** Why the academy cannot start as asked, and what to do about it, in words for the person at the terminal: shown without a stack. */
export class Refusal extends Error {}

/** What went wrong, in one text; a connection that was tried at several addresses has one error for each and no words of its own. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ');
  return Error.isError(error) ? error.message : String(error);
}

/** The system's name of an error (`ENOENT`), where it has one. */
export function codeOf(error: unknown): string | undefined {
  return Error.isError(error) && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
