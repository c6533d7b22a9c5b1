import type { Request, Response } from 'express';
import type { Problem } from '../contract/core.ts';

/** A refusal that belongs to HTTP and not to the domain, such as a body that is no JSON. */
export class HttpProblem extends Error {
  readonly status: number;
  readonly slug: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly errors: Problem['errors'];

  constructor(
    status: number,
    slug: string,
    detail: string,
    extra: { headers?: Readonly<Record<string, string>>; errors?: NonNullable<Problem['errors']> } = {},
  ) {
    super(detail);
    this.name = 'HttpProblem';
    this.status = status;
    this.slug = slug;
    this.headers = extra.headers ?? {};
    this.errors = extra.errors;
  }
}

/** Answers with a problem document (RFC 9457), whatever the client said it accepts. */
export function sendProblem(request: Request, response: Response, problem: HttpProblem): void {
  const body: Problem = {
    type: `urn:atelier:problem:${problem.slug}`,
    title: problem.slug.replaceAll('-', ' '),
    status: problem.status,
    detail: problem.message,
    instance: request.originalUrl.split('?')[0] ?? '',
    requestId: response.getHeader('X-Request-Id') as string,
    ...(problem.errors && { errors: problem.errors }),
  };
  response.status(problem.status).set(problem.headers).type('application/problem+json').send(JSON.stringify(body));
}
