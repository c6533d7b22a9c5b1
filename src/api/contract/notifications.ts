import { z } from 'zod';
import { notificationKinds } from '../../domain/notifications.ts';
import { ById, defineContract, Id, Instant, pageLimit } from './core.ts';

export const notificationsContract = defineContract({
  listNotifications: {
    method: 'get',
    path: '/notifications',
    tag: 'notifications',
    summary: 'Your notifications, newest first',
    access: 'user',
    query: z.object({
      limit: pageLimit(20),
      before: Id.optional().meta({ description: 'Id of the last notification of the page before.' }),
    }),
    status: 200,
    response: z.object({
      items: z.array(
        z.object({
          id: z.uuid(),
          kind: z.enum(notificationKinds),
          submissionId: z.uuid().nullable(),
          exerciseTitle: z.string().nullable(),
          createdAt: Instant,
          readAt: Instant.nullable(),
        }),
      ),
      unread: z.int(),
    }),
  },
  readNotification: {
    method: 'post',
    path: '/notifications/{id}/read',
    tag: 'notifications',
    summary: 'Mark a notification as read',
    access: 'user',
    params: ById,
    status: 204,
    response: z.undefined(),
  },
});
