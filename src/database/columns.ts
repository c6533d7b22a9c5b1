import { randomBytes } from 'node:crypto';
import { p } from '@mikro-orm/core';
import { uuidV7 } from '../domain/ids.ts';

/** A new id: version 7 UUIDs sort by time of making, so indexes stay compact and pages can be cut by id. */
export function newId(): string {
  return uuidV7(Date.now(), randomBytes(10));
}

/** An instant: UTC, milliseconds (the driver's default type would cut them off). */
export const instant = () => p.datetime().columnType('timestamptz(3)');

/** Columns of every table that has an id. */
export const identified = {
  id: p.uuid().primary(),
  createdAt: instant(),
};
