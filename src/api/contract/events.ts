import { z } from 'zod';
import { ById, defineContract, Instant } from './core.ts';

/** The number of the last event that is known already; the Last-Event-ID header says the same, and goes before. */
export const After = z
  .string()
  .regex(/^\d{1,10}$/)
  .transform(Number)
  .pipe(z.int().max(2_147_483_647))
  .meta({
    type: 'integer',
    minimum: 0,
    description: 'The number of the last event that you have; Last-Event-ID goes before it.',
  });

/** What an answer of type text/event-stream looks like. */
export const EventStream = (events: string) =>
  z.string().meta({
    description: `${events} Each has \`id:\` (its number), \`event:\` (its kind) and \`data:\` (JSON). Lines that begin with a colon are signs of life.`,
  });

export const eventsContract = defineContract({
  followSubmission: {
    method: 'get',
    path: '/submissions/{id}/events',
    tag: 'submissions',
    summary: 'Follow a submission live, from its first event or from where you left off, until it is closed',
    access: 'user',
    params: ById,
    query: z.object({
      after: After.optional(),
      ticket: z.string().max(200).optional().meta({
        description: 'In place of the access token, for clients that send no headers (EventSource); opens the stream once.',
      }),
    }),
    takesTicket: true,
    isStream: true,
    status: 200,
    response: EventStream("The submission's events: data is `{kind, at, data}`."),
  },
  createStreamTicket: {
    method: 'post',
    path: '/submissions/{id}/events/ticket',
    tag: 'submissions',
    summary: 'A ticket that opens the live events of a submission once, within a minute, for clients that send no headers',
    access: 'user',
    params: ById,
    status: 201,
    response: z.object({ ticket: z.string(), expiresAt: Instant }),
  },
});
