import { CancellationScope, condition, log, setHandler, upsertSearchAttributes } from '@temporalio/workflow';
import * as reviews from '../domain/reviews.ts';
import type { Conclusion } from '../domain/submissions.ts';
import { claimReview, decideReview, releaseReview, reviewDecided, searchAttributes } from './contract.ts';
import type { trackProgress } from './progress.ts';
import { decidedAlready, refuse, refusalFailure } from './refusals.ts';
import { checkLease, commitClaim, commitDecision, commitRelease, openReview, remindReviewers } from './steps.ts';

/** At most this often, in milliseconds, a lease that is not over yet is looked up. */
const leaseLookMs = 1_000;

/** Decision and claim by update and by signal, all through the reducer of domain/reviews.ts, with the reminders and the lease beside them. */
export function awaitReview(submissionId: string, studentId: string, progress: ReturnType<typeof trackProgress>) {
  let gate = reviews.newReviewGate(studentId);
  /** The claim that is committed; another object for each. */
  let lease: { readonly claimedBy: string; readonly until: number } | null = null;
  /** Claims and releases that are being committed, in the order in which the gate took them: it shows the holder after the last. */
  const turns: { readonly claimedBy: string | null }[] = [];
  let lastTurn = Promise.resolve();
  const answers = new Map<string, { reviewId: string } | reviews.Refusal>();

  setHandler(
    decideReview,
    async (request) => {
      // Asked again after a refusal: the old answer is not the answer to this try.
      if (gate.decision === null) answers.delete(request.requestId);
      gate = reviews.decide(gate, request);
      await condition(() => answers.has(request.requestId));
      const answer = answers.get(request.requestId);
      if (answer === undefined || 'kind' in answer) throw refusalFailure(answer);
      return answer;
    },
    { validator: (request) => refuse(reviews.refusalOf(gate, request)) },
  );
  setHandler(reviewDecided, (signal) => {
    const request = { ...signal, via: 'temporal' } as const;
    const refusal = reviews.refusalOf(gate, request);
    if (refusal === null) gate = reviews.decide(gate, request);
    else log.warn('ignored reviewDecided', { kind: refusal.kind });
  });

  setHandler(
    claimReview,
    async ({ actorId }) => {
      const result = await inTurn(actorId, async () => {
        const claimed = await commitClaim({ submissionId, actorId });
        if ('leaseUntil' in claimed) hold({ claimedBy: actorId, until: claimed.leaseUntil });
        return claimed;
      });
      if ('leaseUntil' in result) return { leaseUntil: result.leaseUntil };
      throw refusalFailure('kind' in result ? result : decidedAlready);
    },
    { validator: (request) => refuse(reviews.refusalOfClaim(gate, request)) },
  );
  setHandler(
    releaseReview,
    async ({ actorId }) => {
      if (gate.claimedBy === null) return;
      await inTurn(null, async () => {
        await commitRelease({ submissionId, actorId });
        hold(null);
      });
    },
    { validator: (request) => refuse(reviews.refusalOfRelease(gate, request)) },
  );

  /** Commits a claim or a release after those that came before it. One that cannot be committed leaves what stood. */
  async function inTurn<T>(claimedBy: string | null, commit: () => Promise<T>): Promise<T> {
    const turn = { claimedBy };
    turns.push(turn);
    gate = reviews.claim(gate, claimedBy);
    const committing = lastTurn.then(commit);
    lastTurn = committing.then(
      () => undefined,
      () => undefined,
    );
    try {
      return await committing;
    } finally {
      turns.splice(turns.indexOf(turn), 1);
      showHolder();
    }
  }

  /** Notes the claim that stands now. One that was committed when the review was over, or parked, is dropped by what ended it. */
  function hold(claim: typeof lease): void {
    const wasHeld = lease !== null;
    lease = gate.phase === 'open' || gate.phase === 'deciding' ? claim : null;
    if (lease !== null && !wasHeld) progress.show('UNDER_REVIEW', 'a reviewer has claimed it');
    if (lease === null && wasHeld) progress.show('AWAITING_REVIEW', 'free for a reviewer');
  }

  function showHolder(): void {
    const next = turns.at(-1) ?? lease;
    if (gate.phase === 'open' || gate.phase === 'deciding') gate = reviews.claim(gate, next?.claimedBy ?? null);
  }

  /** Opens the review and waits until a decision is committed; a refused one (role lost meanwhile) opens the gate again. */
  async function concluded(): Promise<Conclusion> {
    try {
      // Before the activity, not after: its commit may be seen, and answered, before its completion gets here.
      gate = reviews.reopen(gate, 'open');
      const plan = await openReview({ submissionId });
      if ('conclusion' in plan) return plan.conclusion;
      progress.show(
        'AWAITING_REVIEW',
        'signal reviewDecided {"requestId": "any-unique-text", "actorId": "<reviewer id>", "outcome": "APPROVED"}',
      );
      upsertSearchAttributes([{ key: searchAttributes.reviewDueAt, value: new Date(plan.dueAt) }]);
      return await committed(plan);
    } catch (error) {
      // Who waits for an answer gets one before the submission is parked, or is over.
      leave('parked', { kind: 'invalid-state', message: 'The decision could not be committed; an admin looks at it.' });
      throw error;
    }
  }

  async function committed(plan: reviews.ReviewPlan): Promise<Conclusion> {
    const reminders = [
      { at: plan.remindAt, kind: 'review-reminder' },
      { at: plan.dueAt, kind: 'review-overdue' },
    ] as const;
    let reminded = 0;
    for (;;) {
      if (gate.decision !== null) {
        const request = gate.decision;
        // Not cancelled half-way: from here on it is decided. After the claims and releases that the gate took before.
        const result = await CancellationScope.nonCancellable(async () => {
          await lastTurn;
          return commitDecision({ submissionId, ...request });
        });
        if (result.status === 'committed') {
          answers.set(request.requestId, { reviewId: result.reviewId });
          return request.outcome === 'APPROVED' ? 'approved' : 'rejected';
        }
        leave('open', { kind: result.kind, message: result.message });
        if (result.conclusion !== undefined) return result.conclusion;
        continue;
      }
      const reminder = reminders[reminded];
      const watched = lease;
      const until = Math.min(reminder?.at ?? Infinity, watched?.until ?? Infinity);
      const isWoken = () => gate.decision !== null || lease !== watched;
      if (until === Infinity) await condition(isWoken);
      else if (until > Date.now()) await condition(isWoken, until - Date.now());
      if (isWoken()) continue;
      if (watched?.until === until) {
        const held = await checkLease({ submissionId });
        if ('conclusion' in held) return held.conclusion;
        // Claimed anew while this was looked up: that claim has its own time.
        if (lease !== watched) continue;
        // Where clocks differ a little, it is not looked up again and again until they agree.
        if (held.status === 'held') hold({ ...watched, until: Math.max(held.leaseUntil, Date.now() + leaseLookMs) });
        else hold(null);
        showHolder();
      } else if (reminder !== undefined) {
        reminded += 1;
        // Overdue never decides by itself.
        const ended = await remindReviewers({ submissionId, kind: reminder.kind });
        if (ended?.conclusion !== undefined) return ended.conclusion;
      }
    }
  }

  /** Answers the request that holds the gate, if one does, and frees it. */
  function leave(phase: 'open' | 'parked' | 'closed', answer: reviews.Refusal): void {
    if (gate.decision !== null && !answers.has(gate.decision.requestId)) answers.set(gate.decision.requestId, answer);
    gate = reviews.reopen(gate, phase);
    if (gate.claimedBy === null) lease = null;
  }

  return {
    concluded,
    close: () => leave('closed', decidedAlready),
    refusalOfCancel: (request: reviews.CancelRequest) => reviews.refusalOfCancel(gate, request),
    refusalOfOverride: (message: reviews.OverrideMessage) => reviews.refusalOfOverride(gate, message),
  };
}
