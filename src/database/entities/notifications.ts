import { defineEntity, p } from '@mikro-orm/core';
import { deliveryChannels, notificationKinds } from '../../domain/notifications.ts';
import { identified, instant } from '../columns.ts';
import { Submission } from './submissions.ts';
import { Task } from './tasks.ts';
import { User } from './users.ts';

const NotificationSchema = defineEntity({
  name: 'Notification',
  schema: 'notifications',
  tableName: 'notifications',
  uniques: [{ properties: ['user', 'kind', 'causeId'] }],
  properties: {
    ...identified,
    user: () => p.manyToOne(User).ref(),
    kind: p.enum([...notificationKinds]),
    /** What it is about; with kind and user it is unique, so that an event tells nobody twice. */
    causeId: p.uuid(),
    submission: () => p.manyToOne(Submission).ref().strictNullable(),
    /** The task that it is about; null where it is about none. */
    task: () => p.manyToOne(Task).ref().strictNullable(),
    readAt: instant().strictNullable(),
  },
});

export class Notification extends NotificationSchema.class {}
NotificationSchema.setClass(Notification);

const DeliverySchema = defineEntity({
  name: 'Delivery',
  schema: 'notifications',
  tableName: 'deliveries',
  uniques: [{ properties: ['notification', 'channel'] }],
  indexes: [
    {
      name: 'deliveries_undelivered',
      expression:
        'create index "deliveries_undelivered" on "notifications"."deliveries" ("created_at") where "delivered_at" is null',
    },
    {
      name: 'deliveries_unstarted',
      expression: 'create index "deliveries_unstarted" on "notifications"."deliveries" ("created_at") where "started_at" is null',
    },
  ],
  properties: {
    ...identified,
    notification: () => p.manyToOne(Notification).ref(),
    channel: p.enum([...deliveryChannels]),
    /** When the relay knew the delivery's workflow to be started; null makes this row an outbox entry. */
    startedAt: instant().strictNullable(),
    deliveredAt: instant().strictNullable(),
    /** When it was given up; an admin may have it tried again. */
    failedAt: instant().strictNullable(),
    /** The last error, short and for admins; null where none is known. */
    lastError: p.text().strictNullable(),
    /** 1, 2, … of its workflows: a delivery that is tried again gets another one. */
    workflowRunNo: p.integer(),
    traceId: p.string().length(32).strictNullable(),
  },
});

/** One notification on its way through one channel. */
export class Delivery extends DeliverySchema.class {}
DeliverySchema.setClass(Delivery);
