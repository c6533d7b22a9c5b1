import { ApplicationFailure } from '@temporalio/workflow';
import type { Refusal } from '../domain/reviews.ts';

/** What a request is told that comes after the end. */
export const decidedAlready: Refusal = { kind: 'already-decided', message: 'This submission is closed.' };

/** For validators: an update that is refused leaves no trace in the history. */
export function refuse(refusal: Refusal | null): void {
  if (refusal !== null) throw refusalFailure(refusal);
}

/** What a refused update answers; the type is what the API maps to a problem. */
export function refusalFailure(refusal: { kind: string; message: string } | undefined): ApplicationFailure {
  return ApplicationFailure.nonRetryable(refusal?.message ?? 'The decision was not taken.', refusal?.kind ?? 'invalid-state');
}
