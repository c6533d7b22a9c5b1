import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  decide,
  type DecisionRequest,
  newReviewGate,
  planReview,
  refusalOf,
  reopen,
  type ReviewGate,
} from '../../src/domain/reviews.ts';

const request = (changes: Partial<DecisionRequest> = {}): DecisionRequest => ({
  requestId: 'request-1',
  actorId: 'reviewer-1',
  outcome: 'APPROVED',
  via: 'api',
  ...changes,
});

const openGate: ReviewGate = { ...newReviewGate('student'), phase: 'open' };

describe('the review gate', () => {
  it('takes the first valid request', () => {
    expect(refusalOf(openGate, request())).toBeNull();
    expect(decide(openGate, request())).toEqual({ ...openGate, phase: 'deciding', decision: request() });
  });

  it('refuses a second request, also one of the same reviewer', () => {
    const decided = decide(openGate, request());
    const second = request({ requestId: 'request-2', outcome: 'REJECTED' });
    expect(refusalOf(decided, second)).toMatchObject({ kind: 'already-decided' });
    expect(decide(decided, second)).toEqual(decided);
  });

  it('does not refuse the same request again, and keeps the first form of it', () => {
    const decided = decide(openGate, request());
    const again = request({ outcome: 'REJECTED' });
    expect(refusalOf(decided, again)).toBeNull();
    expect(decide(decided, again)).toEqual(decided);
  });

  it('lets nobody review their own work', () => {
    const own = request({ actorId: 'student' });
    expect(refusalOf(openGate, own)).toMatchObject({ kind: 'self-review' });
    expect(decide(openGate, own)).toEqual(openGate);
  });

  it.each(['checking', 'parked', 'closed'] as const)('takes nothing while it is %s', (phase) => {
    const gate: ReviewGate = { ...openGate, phase };
    expect(refusalOf(gate, request())).toMatchObject({ kind: 'invalid-state' });
    expect(decide(gate, request())).toEqual(gate);
  });

  it('begins closed to decisions: the checks come first', () => {
    expect(refusalOf(newReviewGate('student'), request())).toMatchObject({ kind: 'invalid-state' });
  });

  it('is open for the next request after the committing activity refused one', () => {
    const reopened = reopen(decide(openGate, request()), 'open');
    const next = request({ requestId: 'request-2' });
    expect(decide(reopened, next).decision).toEqual(next);
  });

  const { requestId: _requestId, ...withoutRequestId } = request();
  const { actorId: _actorId, ...withoutActorId } = request();
  const { outcome: _outcome, ...withoutOutcome } = request();
  const malformed: [string, unknown][] = [
    ['nothing', undefined],
    ['null', null],
    ['a text', 'APPROVED'],
    ['a number', 1],
    ['a list', []],
    ['an empty object', {}],
    ['no request id', withoutRequestId],
    ['no actor', withoutActorId],
    ['no outcome', withoutOutcome],
    ['a request id that is a number', { ...request(), requestId: 7 }],
    ['an actor that is null', { ...request(), actorId: null }],
    ['an outcome in small letters', { ...request(), outcome: 'approved' }],
    ['an outcome that is a list', { ...request(), outcome: ['APPROVED'] }],
  ];

  it.each(malformed)('refuses and ignores what is no request: %s', (_case, value) => {
    expect(refusalOf(openGate, value as DecisionRequest)).toMatchObject({ kind: 'validation' });
    expect(decide(openGate, value as DecisionRequest)).toEqual(openGate);
  });

  it('takes at most one decision, which never changes, whoever asks for what in which order', () => {
    const anyRequest = fc.record({
      requestId: fc.constantFrom('a', 'b', 'c', 'd'),
      actorId: fc.constantFrom('student', 'reviewer-1', 'reviewer-2'),
      outcome: fc.constantFrom('APPROVED' as const, 'REJECTED' as const, 'MAYBE' as 'APPROVED'),
      via: fc.constantFrom('api' as const, 'temporal' as const),
    });
    fc.assert(
      fc.property(fc.array(anyRequest, { minLength: 1, maxLength: 20 }), (requests) => {
        const gates = requests.reduce<ReviewGate[]>((all, next) => [...all, decide(all.at(-1) ?? openGate, next)], []);
        const firstValid = requests.find(({ actorId, outcome }) => actorId !== 'student' && outcome.endsWith('ED'));
        expect(gates.at(-1)?.decision ?? null).toEqual(firstValid ?? null);
        const taken = new Set(gates.map((gate) => gate.decision).filter((decision) => decision !== null));
        expect(taken.size).toBe(firstValid === undefined ? 0 : 1);
      }),
    );
  });
});

describe('planReview', () => {
  it('counts both instants from the opening', () => {
    const hourMs = 3_600_000;
    const openedAt = Date.UTC(2026, 10, 21, 9);
    expect(planReview({ remindAfterMs: hourMs, dueAfterMs: 24 * hourMs }, openedAt)).toEqual({
      remindAt: Date.UTC(2026, 10, 21, 10),
      dueAt: Date.UTC(2026, 10, 22, 9),
    });
  });
});
