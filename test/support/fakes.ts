import type { ClaimRequest, DecisionRequest, ReleaseRequest } from '../../src/domain/reviews.ts';
import type { SubmissionToStart } from '../../src/domain/submissions.ts';
import type { OverrideWorkflows } from '../../src/temporal/overrides.ts';
import type { TrialWorkflows } from '../../src/temporal/trial-runs.ts';
import type { ClaimResult, DecideResult, SubmissionWorkflows, ToldResult } from '../../src/temporal/submissions.ts';

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

  /** What becomes of a claim and a release; as `onDecide`. */
  onClaim: (request: ClaimRequest) => Promise<ClaimResult> = () => Promise.resolve({ status: 'closed' });
  onRelease: (request: ReleaseRequest) => Promise<ToldResult> = () => Promise.resolve({ status: 'closed' });

  async claim(_workflowId: string, request: ClaimRequest): Promise<ClaimResult> {
    if (this.failure !== null) throw this.failure;
    return this.onClaim(request);
  }

  async release(_workflowId: string, request: ReleaseRequest): Promise<ToldResult> {
    if (this.failure !== null) throw this.failure;
    return this.onRelease(request);
  }

  cancel = (): Promise<ToldResult> => this.#told();
  resolveParked = (): Promise<ToldResult> => this.#told();
  override = (): Promise<ToldResult> => this.#told();

  async #told(): Promise<ToldResult> {
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

/** Stands in for src/temporal/overrides.ts: `apply` does what the workflow does. */
export class FakeOverrideWorkflows implements OverrideWorkflows {
  readonly started: string[] = [];
  failure: Error | null = null;
  apply: (overrideId: string) => Promise<void> = () => Promise.resolve();

  async start(overrideId: string): Promise<void> {
    if (this.failure !== null) throw this.failure;
    this.started.push(overrideId);
  }

  async ended(overrideId: string): Promise<boolean> {
    await this.apply(overrideId);
    return true;
  }
}

/** Stands in for src/temporal/trial-runs.ts: it remembers what it was asked. */
export class FakeTrialWorkflows implements TrialWorkflows {
  readonly started: string[] = [];
  failure: Error | null = null;

  async start({ runId }: { runId: string }): Promise<void> {
    if (this.failure !== null) throw this.failure;
    this.started.push(runId);
  }
}
