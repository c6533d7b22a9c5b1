import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  claim,
  decide,
  newReviewGate,
  refusalOf,
  refusalOfCancel,
  refusalOfClaim,
  refusalOfOverride,
  refusalOfRelease,
  reopen,
  type ReviewGate,
} from '../../src/domain/reviews.ts';

const requestId = 'request-1';

const checking = newReviewGate('student');
const free: ReviewGate = { ...checking, phase: 'open' };
const heldByAnn = claim(free, 'ann');
const parked = reopen(free, 'parked');
const closed = reopen(free, 'closed');
const decision = { requestId, actorId: 'ann', outcome: 'APPROVED', via: 'api' } as const;
const deciding = decide(heldByAnn, decision);

const gates = { checking, free, 'held by Ann': heldByAnn, parked, deciding, closed };
type GateName = keyof typeof gates;

const kindOf = (refusal: { kind: string } | null) => refusal?.kind ?? 'taken';

describe('a claim', () => {
  it.each<[GateName, string, string]>([
    ['free', 'ann', 'taken'],
    ['free', 'student', 'self-review'],
    ['held by Ann', 'ann', 'taken'],
    ['held by Ann', 'ben', 'claimed'],
    ['checking', 'ann', 'invalid-state'],
    ['parked', 'ann', 'invalid-state'],
    ['deciding', 'ann', 'already-decided'],
    ['closed', 'ann', 'already-decided'],
  ])('of a submission that is %s, by %s: %s', (gate, actorId, expected) => {
    expect(kindOf(refusalOfClaim(gates[gate], { requestId, actorId, mayTakeOver: false }))).toBe(expected);
  });

  it.each<[GateName, string, string]>([
    ['held by Ann', 'admin', 'taken'],
    ['held by Ann', 'student', 'self-review'],
    ['checking', 'admin', 'invalid-state'],
    ['deciding', 'admin', 'already-decided'],
  ])('that may take over, of one that is %s, by %s: %s', (gate, actorId, expected) => {
    expect(kindOf(refusalOfClaim(gates[gate], { requestId, actorId, mayTakeOver: true }))).toBe(expected);
  });

  it('keeps decisions for its holder', () => {
    expect(refusalOf(heldByAnn, { ...decision, actorId: 'ben' })).toMatchObject({ kind: 'claimed' });
    expect(decide(heldByAnn, { ...decision, actorId: 'ben' })).toEqual(heldByAnn);
    expect(decide(heldByAnn, decision)).toMatchObject({ phase: 'deciding', decision });
  });

  it('outlives a decision that was refused, and nothing else', () => {
    expect(reopen(deciding, 'open').claimedBy).toBe('ann');
    expect(reopen(heldByAnn, 'open').claimedBy).toBeNull();
    expect(reopen(heldByAnn, 'parked').claimedBy).toBeNull();
    expect(reopen(deciding, 'closed').claimedBy).toBeNull();
  });
});

describe('a release', () => {
  it.each<[GateName, string, boolean, string]>([
    ['held by Ann', 'ann', false, 'taken'],
    ['held by Ann', 'ben', false, 'claimed'],
    ['held by Ann', 'ben', true, 'taken'],
    ['free', 'ben', false, 'taken'],
    ['deciding', 'ann', false, 'already-decided'],
  ])('of a submission that is %s, by %s (admin: %s): %s', (gate, actorId, isAdmin, expected) => {
    expect(kindOf(refusalOfRelease(gates[gate], { requestId, actorId, isAdmin }))).toBe(expected);
  });
});

describe('a cancel', () => {
  it.each<[GateName, string, boolean, string]>([
    ['checking', 'student', false, 'taken'],
    ['free', 'student', false, 'taken'],
    ['parked', 'student', false, 'taken'],
    ['held by Ann', 'student', false, 'invalid-state'],
    ['held by Ann', 'admin', true, 'taken'],
    ['held by Ann', 'ann', false, 'forbidden'],
    ['deciding', 'admin', true, 'already-decided'],
    ['closed', 'student', false, 'already-decided'],
  ])('of a submission that is %s, by %s (admin: %s): %s', (gate, actorId, isAdmin, expected) => {
    expect(kindOf(refusalOfCancel(gates[gate], { requestId, actorId, isAdmin }))).toBe(expected);
  });
});

describe('an override', () => {
  it.each<[GateName, string]>([
    ['checking', 'taken'],
    ['free', 'taken'],
    ['held by Ann', 'taken'],
    ['parked', 'taken'],
    ['deciding', 'already-decided'],
    ['closed', 'already-decided'],
  ])('of a submission that is %s: %s', (gate, expected) => {
    expect(kindOf(refusalOfOverride(gates[gate], { overrideId: 'override-1' }))).toBe(expected);
  });
});

describe('what is no request', () => {
  it.each([undefined, null, 'claim', 7, [], {}, { actorId: null }, { overrideId: 7 }])(
    'is refused and not tripped over: %j',
    (value) => {
      const message = value as never;
      for (const gate of Object.values(gates)) {
        expect(refusalOfClaim(gate, message)).toMatchObject({ kind: 'validation' });
        expect(refusalOfRelease(gate, message)).toMatchObject({ kind: 'validation' });
        expect(refusalOfCancel(gate, message)).toMatchObject({ kind: 'forbidden' });
        expect(refusalOfOverride(gate, message)).toMatchObject({ kind: 'validation' });
      }
    },
  );
});

/** What may happen to a gate, as the workflow does it. */
const happening = fc.record({
  kind: fc.constantFrom('claim', 'take over', 'release', 'lapse', 'decide', 'refuse the decision', 'park', 'redrive'),
  actorId: fc.constantFrom('student', 'ann', 'ben'),
  requestId: fc.constantFrom('a', 'b', 'c'),
});

describe('whatever happens in whatever order', () => {
  it('one decision at most holds the gate, never the student’s, and while it is claimed none but the holder’s', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 40 }), (happenings) => {
        let gate = free;
        for (const { kind, actorId, requestId: id } of happenings) {
          const before = gate;
          const claimRequest = { requestId: id, actorId, mayTakeOver: kind === 'take over' };
          if (kind === 'claim' || kind === 'take over') {
            if (refusalOfClaim(gate, claimRequest) === null) gate = claim(gate, actorId);
          } else if (kind === 'release') {
            if (refusalOfRelease(gate, { requestId: id, actorId, isAdmin: false }) === null) gate = claim(gate, null);
          } else if (kind === 'lapse') gate = claim(gate, null);
          else if (kind === 'decide') gate = decide(gate, { requestId: id, actorId, outcome: 'APPROVED', via: 'api' });
          else if (kind === 'refuse the decision') gate = gate.decision === null ? gate : reopen(gate, 'open');
          else if (kind === 'park') gate = reopen(gate, 'parked');
          else gate = gate.phase === 'parked' ? reopen(gate, 'open') : gate;

          expect(gate.claimedBy).not.toBe('student');
          expect(gate.decision?.actorId).not.toBe('student');
          expect(gate.decision !== null).toBe(gate.phase === 'deciding');
          const isTaken = before.decision === null && gate.decision !== null;
          expect(isTaken && before.claimedBy !== null ? gate.decision?.actorId : before.claimedBy).toBe(before.claimedBy);
          const isFreed = kind === 'refuse the decision' || kind === 'park';
          expect(before.decision !== null && !isFreed ? gate.decision : before.decision).toBe(before.decision);
        }
      }),
    );
  });
});
