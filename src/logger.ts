import { type Logger as PinoLogger, pino } from 'pino';
import { createLogOutput } from './log-output.ts';
import { traceFields } from './trace.ts';

export type Logger = PinoLogger;

/** One JSON object a line on stdout, with the trace that it belongs to; nothing that opens a door is ever printed. */
export function createLogger(process: string, level: string): Logger {
  const options = {
    level,
    base: { process },
    mixin: traceFields,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: ['req.headers.authorization', 'req.headers.cookie', '*.password', '*.token', '*.secret'],
  };
  return pino(options, createLogOutput(1, { process }));
}
