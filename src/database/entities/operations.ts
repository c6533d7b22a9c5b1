import { defineEntity, p } from '@mikro-orm/core';
import { identified, instant } from '../columns.ts';

const InstallationSchema = defineEntity({
  name: 'Installation',
  schema: 'operations',
  tableName: 'installation',
  properties: {
    id: p.uuid().primary(),
    createdAt: instant(),
  },
});

/** The one row that marks a database as Atelier's. */
export class Installation extends InstallationSchema.class {}
InstallationSchema.setClass(Installation);

const ActivitySchema = defineEntity({
  name: 'Activity',
  schema: 'operations',
  tableName: 'activity',
  uniques: [{ properties: ['submissionId', 'sequence'] }],
  indexes: [{ properties: ['taskId'] }],
  triggers: [
    {
      // Who follows a submission live hears of its events when they are committed.
      name: 'activity_tell',
      timing: 'after',
      events: ['insert'],
      when: '(new.sequence IS NOT NULL)',
      body: "perform pg_notify('submission_events', new.submission_id::text); return new;",
    },
  ],
  properties: {
    ...identified,
    /** Such as `task.submitted`, `ci.result.passed`, `review.created`. */
    kind: p.string().length(100),
    actorId: p.uuid().strictNullable(),
    taskId: p.uuid().strictNullable(),
    submissionId: p.uuid().strictNullable(),
    /** 1, 2, … within the submission; the id of the event in its live stream. */
    sequence: p.integer().strictNullable(),
    data: p.json<Record<string, unknown>>().$type<Record<string, unknown>>(),
  },
});

/** A domain event, written in the transaction that it tells of; append-only. No keys to other tables: it outlives what it names. */
export class Activity extends ActivitySchema.class {}
ActivitySchema.setClass(Activity);

const AuditEntrySchema = defineEntity({
  name: 'AuditEntry',
  schema: 'operations',
  tableName: 'audit',
  indexes: [{ properties: ['targetId'] }, { properties: ['action'] }],
  properties: {
    ...identified,
    action: p.string().length(100),
    actorId: p.uuid().strictNullable(),
    targetKind: p.string().length(50),
    targetId: p.uuid(),
    via: p.enum(['api', 'temporal', 'system', 'command-line']),
    data: p.json<Record<string, unknown>>().$type<Record<string, unknown>>(),
  },
});

/** Who did what to whom, by which door; append-only. */
export class AuditEntry extends AuditEntrySchema.class {}
AuditEntrySchema.setClass(AuditEntry);

/** The answer that a key stands for. */
export interface StoredResponse {
  readonly status: number;
  readonly body: unknown;
}

const IdempotencyKeySchema = defineEntity({
  name: 'IdempotencyKey',
  schema: 'operations',
  tableName: 'idempotency_keys',
  properties: {
    userId: p.uuid().primary(),
    route: p.string().length(200).primary(),
    key: p.string().length(200).primary(),
    /** SHA-256 of the request's body in hex. */
    bodyHash: p.string().length(64),
    response: p.json<StoredResponse>().$type<StoredResponse>(),
    createdAt: instant(),
  },
});

/** What a POST with this key was answered, so that its repeat is answered alike and does nothing. */
export class IdempotencyKey extends IdempotencyKeySchema.class {}
IdempotencyKeySchema.setClass(IdempotencyKey);

const StreamTicketSchema = defineEntity({
  name: 'StreamTicket',
  schema: 'operations',
  tableName: 'stream_tickets',
  properties: {
    ...identified,
    userId: p.uuid(),
    /** The session that made it: what the ticket opens ends with it. */
    sessionId: p.uuid(),
    submissionId: p.uuid(),
    /** SHA-256 in hex; the ticket has 256 random bits, so a slow hash would add nothing. */
    tokenHash: p.string().length(64).unique(),
    expiresAt: instant(),
    usedAt: instant().strictNullable(),
  },
});

/** Opens one live stream once, for clients that cannot send headers. */
export class StreamTicket extends StreamTicketSchema.class {}
StreamTicketSchema.setClass(StreamTicket);
