import { z } from 'zod';
import { deliveryChannels, deliveryStatuses, notificationKinds } from '../../domain/notifications.ts';
import { ById, defineContract, Id, Instant, pageLimit } from './core.ts';

const admins = ['SUPER_ADMIN'] as const;

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
          taskId: z.uuid().nullable(),
          exerciseTitle: z.string().nullable(),
          createdAt: Instant,
          readAt: Instant.nullable(),
          deliveries: z
            .array(z.object({ channel: z.enum(deliveryChannels), status: z.enum(deliveryStatuses) }))
            .meta({ description: 'The ways in which it also goes out; none for kinds that stay in the academy.' }),
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
  readNotifications: {
    method: 'post',
    path: '/notifications/read',
    tag: 'notifications',
    summary: 'Mark all your notifications as read',
    access: 'user',
    body: z.strictObject({
      upTo: Id.optional().meta({ description: 'Id of the newest that you have seen: those that came later stay unread.' }),
    }),
    status: 200,
    response: z.object({ unread: z.int() }),
  },
  listDeliveries: {
    method: 'get',
    path: '/admin/deliveries',
    tag: 'admin',
    summary: 'Mails that are on their way or were given up, newest first',
    access: admins,
    query: z.object({
      status: z.enum(['failed', 'pending']).default('failed'),
      limit: pageLimit(50),
      before: z.uuid().optional().meta({ description: 'Id of the last delivery of the page before.' }),
    }),
    status: 200,
    response: z.object({
      items: z.array(
        z.object({
          id: z.uuid(),
          channel: z.enum(deliveryChannels),
          status: z.enum(deliveryStatuses),
          kind: z.enum(notificationKinds),
          userId: z.uuid(),
          createdAt: Instant,
          startedAt: Instant.nullable(),
          failedAt: Instant.nullable(),
          lastError: z.string().nullable().meta({ description: 'Why the last try failed.' }),
          workflow: z.object({ id: z.string(), url: z.string().nullable() }),
        }),
      ),
    }),
  },
  retryDelivery: {
    method: 'post',
    path: '/admin/deliveries/{id}/retry',
    tag: 'admin',
    summary: 'Have a mail that was given up tried for another day',
    access: admins,
    isKeyed: true,
    params: ById,
    status: 202,
    response: z.object({ status: z.literal('retrying') }),
  },
});
