import { defineEntity, p } from '@mikro-orm/core';
import { roles } from '../../domain/users.ts';
import { identified, instant } from '../columns.ts';

const UserSchema = defineEntity({
  name: 'User',
  schema: 'accounts',
  tableName: 'users',
  properties: {
    ...identified,
    /** In canonical form (`canonicalEmail`). */
    email: p.string().length(320).unique(),
    name: p.string().length(200),
    /** Argon2id, PHC string format. */
    passwordHash: p.string().length(255),
    role: p.enum([...roles]),
    disabledAt: instant().strictNullable(),
    erasedAt: instant().strictNullable(),
  },
});

export class User extends UserSchema.class {}
UserSchema.setClass(User);
