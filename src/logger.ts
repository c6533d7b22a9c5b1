import { type Logger as PinoLogger, pino } from 'pino';

export type Logger = PinoLogger;

/** One JSON object a line on stdout; nothing that opens a door is ever printed. */
export function createLogger(process: string, level: string): Logger {
  return pino({
    level,
    base: { process },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: ['req.headers.authorization', 'req.headers.cookie', '*.password', '*.token', '*.secret'],
  });
}
