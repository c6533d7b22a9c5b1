import { hash, verify } from '@node-rs/argon2';

// OWASP's password storage cheat sheet: Argon2id with 19 MiB, 2 iterations, 1 lane; the library's default algorithm is Argon2id.
const parameters = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };

/** A hash in PHC string format; about 60 ms of CPU, off the event loop. */
export function hashPassword(password: string): Promise<string> {
  return hash(password.normalize('NFKC'), parameters);
}

let unknownUserHash: Promise<string> | undefined;

/** Whether the password is right. Without a hash (no such user) it takes as long as with one, so that time tells nothing. */
export async function verifyPassword(passwordHash: string | null, password: string): Promise<boolean> {
  unknownUserHash ??= hashPassword('nobody has this password');
  const isRight = await verify(passwordHash ?? (await unknownUserHash), password.normalize('NFKC'));
  return passwordHash !== null && isRight;
}
