/** `CHAOS=whole`: all that promises say, which takes 50 minutes; else what is enough before a release. */
export const isWhole = process.env['CHAOS'] === 'whole';

/** How much is done of what takes long. */
export const sizes = {
  usual: { kills: 24, submissions: 36, stops: 8, readOnlyMs: 10_000, mailOutageMs: 30_000 },
  whole: { kills: 100, submissions: 200, stops: 25, readOnlyMs: 60_000, mailOutageMs: 600_000 },
} as const;

/** How long a zombie is stopped, in ms: longer than every timeout after which its work is given to another. */
export const zombieMs = isWhole ? 60_000 : 20_000;
