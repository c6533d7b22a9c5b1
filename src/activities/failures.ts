import { activityInfo, log } from '@temporalio/activity';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { DomainError, type ErrorKind } from '../domain/errors.ts';
import type { ParkedClass } from '../domain/submissions.ts';
import { MailRefused } from '../mail/mailer.ts';
import { SandboxError } from '../sandbox/sandbox.ts';
import { SandboxTrouble } from './sandbox-trouble.ts';

/** Which refusals of ours a repeat could turn: only what is about a part that was away. */
const isRetryable = {
  unauthenticated: false,
  'token-reused': false,
  forbidden: false,
  'self-review': false,
  'not-found': false,
  validation: false,
  'invalid-state': false,
  'already-decided': false,
  claimed: false,
  'changed-meanwhile': false,
  'repo-url-not-allowed': false,
  'rate-limited': false,
  'too-many-open': false,
  'queue-full': false,
  'nothing-pushed': false,
  'ref-not-found': false,
  'key-reused': false,
  'not-configured': false,
  'outcome-unknown': true,
  unavailable: true,
} as const satisfies Record<ErrorKind, boolean>;

/** Failures are stored in the history, in clear: short, and without stacks that quote data. */
const maxMessageLength = 1_000;
const maxStackLength = 4_000;

/** The sandbox's passing trouble: the first try and one more after each of these, then an admin looks. */
const sandboxRetryDelaysMs = [2_000, 4_000, 8_000];

function toFailure(error: unknown): unknown {
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return error;
  const message = (error instanceof Error ? error.message : String(error)).slice(0, maxMessageLength);
  if (error instanceof DomainError) {
    return ApplicationFailure.create({ message, type: error.kind, nonRetryable: !isRetryable[error.kind] });
  }
  // The class tells the admin who finds it parked whether trying again may help.
  if (error instanceof SandboxTrouble) {
    const nextRetryDelay = sandboxRetryDelaysMs[error.count - 1];
    const about = { message, type: 'sandbox', details: parkedAs('transient') };
    return nextRetryDelay === undefined
      ? ApplicationFailure.create({ ...about, nonRetryable: true })
      : ApplicationFailure.create({ ...about, nextRetryDelay });
  }
  if (error instanceof SandboxError) {
    return ApplicationFailure.create({ message, type: 'sandbox', nonRetryable: true, details: parkedAs('permanent') });
  }
  return ApplicationFailure.create({
    message,
    type: nameOf(error),
    nonRetryable: isOurMistake(error) || error instanceof MailRefused,
  });
}

const parkedAs = (parkedClass: ParkedClass) => [{ parkedClass }];

const nameOf = (error: unknown) => (error instanceof Error ? error.name : 'unknown');

/** A fault of our code does not go away by itself: SQLSTATE classes 22 (data) and 23 (constraint), and what JavaScript itself throws. */
function isOurMistake(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return (
    ['TypeError', 'RangeError', 'ReferenceError'].includes(nameOf(error)) || (typeof code === 'string' && /^2[23]/.test(code))
  );
}

type AnyActivities = Record<string, (input: never) => Promise<unknown>>;

/** Wraps activities so that what they throw is classified, shortened and logged once; shapes stay as they are. */
export function withFailures<A extends AnyActivities>(activities: A): A {
  const wrapped = Object.entries(activities).map(([name, run]) => [
    name,
    async (input: never) => {
      try {
        return await run(input);
      } catch (error) {
        const failure = toFailure(error);
        // The failure goes into the history; where it came from is for our own log.
        const origin = error instanceof SandboxTrouble ? error.cause : error;
        const stack = origin instanceof Error ? origin.stack?.slice(0, maxStackLength) : undefined;
        if (failure !== error) log.warn('activity failed', { name, attempt: activityInfo().attempt, stack });
        throw failure;
      }
    },
  ]);
  return Object.fromEntries(wrapped) as A;
}
