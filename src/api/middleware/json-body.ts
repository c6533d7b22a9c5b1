import express, { type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import { HttpProblem } from './problems.ts';

/** Largest JSON body, in bytes, after decompression, where an endpoint needs no other. */
const standardBodyBytes = 100_000;

/** So many times the limit is read away, not more: a body in chunks may have no end. */
const readFactor = 10;

/**
 * Reads a JSON object of up to `maxBodyBytes` into `request.body`; a request without a body has none.
 *
 * Own code, not `express.json`: that lets UTF-16, invalid UTF-8 (as U+FFFD) and bodies of other types pass.
 */
export function jsonBody(maxBodyBytes: number = standardBodyBytes): RequestHandler {
  const raw = express.raw({ type: () => true, limit: maxBodyBytes });
  return (request, response, next) => readBody(request, response, next, raw, maxBodyBytes);
}

function readBody(request: Request, response: Response, next: NextFunction, raw: RequestHandler, maxBodyBytes: number): void {
  const hasBody = request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0;
  if (!hasBody) {
    request.body = undefined;
    next();
    return;
  }
  if (!/^application\/json\s*(?:;\s*charset="?utf-8"?\s*)?$/i.test(request.headers['content-type'] ?? '')) {
    next(new HttpProblem(415, 'unsupported-media-type', 'Send application/json in UTF-8.'));
    return;
  }
  // What is too large is read to its end, so that its sender sees the answer; but not for ever.
  let receivedBytes = 0;
  let isCut = false;
  request.on('data', (chunk: Buffer) => {
    receivedBytes += chunk.length;
    if (isCut || receivedBytes <= maxBodyBytes * readFactor) return;
    isCut = true;
    next(tooLarge(maxBodyBytes));
  });
  raw(request, response, (error: unknown) => {
    if (isCut) return;
    if (error !== undefined) {
      next(bodyProblem(error, maxBodyBytes));
      return;
    }
    try {
      request.body = parseObject(request.body as Buffer);
      next();
    } catch (problem) {
      next(problem);
    }
  });
}

function parseObject(bytes: Buffer): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    throw new HttpProblem(400, 'malformed-json', 'The body is not JSON in UTF-8.');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HttpProblem(400, 'malformed-json', 'The body must be a JSON object.');
  }
  return value as Record<string, unknown>;
}

const tooLarge = (maxBodyBytes: number) =>
  new HttpProblem(413, 'payload-too-large', `The body is larger than ${maxBodyBytes} bytes.`, {
    headers: { Connection: 'close' },
  });

/** What the body reader itself refuses; its errors carry a status. */
function bodyProblem(error: unknown, maxBodyBytes: number): unknown {
  const status = (error as { status?: unknown }).status;
  if (status === 413) return tooLarge(maxBodyBytes);
  if (status === 415) return new HttpProblem(415, 'unsupported-media-type', 'This content encoding is not supported.');
  if (status === 400) return new HttpProblem(400, 'malformed-json', 'The body could not be read.');
  return error;
}
