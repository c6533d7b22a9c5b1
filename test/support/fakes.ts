import type { DecisionRequest } from '../../src/domain/reviews.ts';
import type { SubmissionToStart } from '../../src/domain/submissions.ts';
import type { DecideResult, SubmissionWorkflows } from '../../src/temporal/submissions.ts';

/** Stands in for src/temporal/submissions.ts where a test is not about workflows: it remembers what it was asked. */
export class FakeSubmissionWorkflows implements SubmissionWorkflows {
  readonly started: SubmissionToStart[] = [];
  readonly decisions: DecisionRequest[] = [];
  readonly announced: string[] = [];
  /** What the next calls throw; null lets them succeed. */
  failure: Error | null = null;
  /** Whether the workflow has ended. */
  isClosed = false;
  /** What becomes of a decision: a test that needs a review in the database commits it here. */
  onDecide: (request: DecisionRequest) => Promise<DecideResult> = () => Promise.resolve({ status: 'closed' });

  async start(submission: SubmissionToStart): Promise<void> {
    if (this.failure !== null) throw this.failure;
    this.started.push(submission);
  }

  async decide(_workflowId: string, request: DecisionRequest): Promise<DecideResult> {
    if (this.failure !== null) throw this.failure;
    this.decisions.push(request);
    return this.onDecide(request);
  }

  async cancel(): Promise<{ status: 'told' | 'closed' }> {
    if (this.failure !== null) throw this.failure;
    return { status: this.isClosed ? 'closed' : 'told' };
  }

  async announceChecksStarted(workflowId: string): Promise<void> {
    this.announced.push(workflowId);
  }

  async health(): Promise<{ temporal: boolean; judging: boolean }> {
    return { temporal: this.failure === null, judging: this.failure === null };
  }
}
