import { z } from 'zod';
import { roles } from '../../domain/users.ts';
import { defineContract, Instant, text } from './core.ts';

const Email = z.email().max(254);
const Password = text(200, 10);

/** `expiresAt` is the access token's; the session and its refresh tokens end at `refreshExpiresAt`, which no refresh moves. */
const Tokens = z.object({
  accessToken: z.string(),
  tokenType: z.literal('Bearer'),
  expiresAt: Instant,
  refreshToken: z.string(),
  refreshExpiresAt: Instant,
});

export const usersContract = defineContract({
  register: {
    method: 'post',
    path: '/auth/register',
    tag: 'accounts',
    summary: 'Register as a student; the answer is the same for an address that has an account',
    access: 'public',
    body: z.strictObject({ email: Email, name: text(200), password: Password }),
    status: 202,
    response: z.object({ status: z.literal('accepted') }),
  },
  login: {
    method: 'post',
    path: '/auth/login',
    tag: 'accounts',
    summary: 'Open a session and get its access token and refresh token',
    access: 'public',
    body: z.strictObject({ email: Email, password: text(200) }),
    status: 200,
    response: Tokens,
  },
  refresh: {
    method: 'post',
    path: '/auth/refresh',
    tag: 'accounts',
    summary: 'Use a refresh token up for a new access token and the next refresh token; to use it again ends the session',
    access: 'public',
    // As long as an access token may be: what is not ours is refused as such, whatever it is.
    body: z.strictObject({ refreshToken: text(4_096) }),
    status: 200,
    response: Tokens,
  },
  logout: {
    method: 'post',
    path: '/auth/logout',
    tag: 'accounts',
    summary: 'End the session; its access and refresh tokens are refused from now on',
    access: 'user',
    status: 204,
    response: z.undefined(),
  },
  me: {
    method: 'get',
    path: '/me',
    tag: 'accounts',
    summary: 'Who is logged in, with XP',
    access: 'user',
    status: 200,
    response: z.object({ id: z.uuid(), email: z.string(), name: z.string(), role: z.enum(roles), xp: z.int() }),
  },
  createAccessToken: {
    method: 'post',
    path: '/me/access-tokens',
    tag: 'accounts',
    summary: 'Make an access token: the password for cloning and pushing with git',
    access: 'user',
    isKeyed: true,
    body: z.strictObject({
      name: text(100),
      expiresInDays: z.int().min(1).max(365).default(90),
    }),
    status: 201,
    response: z.object({ id: z.uuid(), token: z.string(), expiresAt: Instant }),
  },
});
