/** A report that student code spoiled, or never finished: it counts as no report. Not a trouble of the sandbox. */
export class MalformedReportError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'MalformedReportError';
  }
}
