import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { uuidV7 } from '../../src/domain/ids.ts';

const instants = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const randomBytes = fc.uint8Array({ minLength: 10, maxLength: 16 });

describe('uuidV7', () => {
  it('lays out the example of RFC 9562, appendix A.6', () => {
    const random = Uint8Array.from([0xcc, 0x3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f]);
    expect(uuidV7(0x017f22e279b0, random)).toBe('017f22e2-79b0-7c03-98c4-dc0c0c07398f');
  });

  it('has the format, version 7 and the variant of RFC 9562 for all inputs', () => {
    fc.assert(
      fc.property(instants, randomBytes, (unixMs, random) => {
        expect(uuidV7(unixMs, random)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      }),
    );
  });

  it('holds the instant and all 74 random bits', () => {
    fc.assert(
      fc.property(instants, randomBytes, (unixMs, random) => {
        const hex = uuidV7(unixMs, random).replaceAll('-', '');
        expect(Number.parseInt(hex.slice(0, 12), 16)).toBe(unixMs);
        const held = Uint8Array.from(Buffer.from(hex.slice(12), 'hex'));
        const masks = [0x0f, 0xff, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        expect(masks.map((mask, index) => (held[index] ?? 0) & mask)).toEqual(
          masks.map((mask, index) => (random[index] ?? 0) & mask),
        );
      }),
    );
  });

  it('sorts by time as text', () => {
    fc.assert(
      fc.property(fc.uniqueArray(instants, { minLength: 2, maxLength: 2 }), randomBytes, randomBytes, (pair, first, second) => {
        const [earlier = 0, later = 0] = pair.toSorted((left, right) => left - right);
        expect(uuidV7(earlier, first) < uuidV7(later, second)).toBe(true);
      }),
    );
  });
});
