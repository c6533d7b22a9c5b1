import { createStreamTicket, lookAtSubmission } from '../../services/events.ts';
import type { eventsContract } from '../contract/events.ts';
import type { Dependencies } from '../dependencies.ts';
import type { Handlers } from '../mount.ts';

export function eventsHandlers({ orm }: Pick<Dependencies, 'orm'>): Handlers<typeof eventsContract> {
  return {
    followSubmission: ({ params }) =>
      Promise.resolve({
        topic: params.id.toLowerCase(),
        look: (actor, after) => lookAtSubmission(orm.em.fork(), actor, params.id, after),
      }),
    async createStreamTicket({ em, actor, sessionId, params }) {
      return { body: await createStreamTicket(em, actor, { submissionId: params.id, sessionId }) };
    },
  };
}
