/** The wall of parcel lockers of one shop: parcels are dropped, collected, and cost their price when they are late. */

import { LockerError } from './locker-error.js';

/** The day of the drop is free, and as many days after it. */
const FREE_DAYS = 3;

/** No parcel costs more than this many days. */
const MOST_PAID_DAYS = 10;

/** The sizes in ascending order: a parcel fits into its own size and into every later one. */
const SIZES = [
  { name: 'small', letter: 'S', centsPerDay: 40 },
  { name: 'medium', letter: 'M', centsPerDay: 60 },
  { name: 'large', letter: 'L', centsPerDay: 100 },
];

/**
 * Counts the days that a parcel has to pay for.
 *
 * @param {{ day: number }} parcel `day` is the day of the drop
 * @param {number} day
 * @returns {number} 0 while it is free
 */
function paidDays(parcel, day) {
  return Math.max(0, day - parcel.day - FREE_DAYS);
}

/** A wall of lockers for parcels. */
export class LockerWall {
  /** Every locker in the order in which parcels are offered them: by size, then by number. */
  #lockers;

  /** The parcels in the wall by id, in the order in which they were dropped; a `Map`, because any text may be an id. */
  #parcels = new Map();

  /**
   * @param {{ small: number, medium: number, large: number }} counts how many lockers there are of each size
   */
  constructor(counts) {
    this.#lockers = SIZES.flatMap(({ name, letter }, sizeIndex) =>
      Array.from({ length: counts[name] }, (_, index) => ({ label: `${letter}${index + 1}`, sizeIndex, isEmpty: true })),
    );
  }

  /**
   * Puts a parcel into the smallest empty locker that fits.
   *
   * @param {string} parcelId
   * @param {string} size 'small', 'medium' or 'large'
   * @param {number} day
   * @returns {string} the label of the locker, such as 'S1'
   * @throws {LockerError} 'unknown-size', 'already-here' or 'full'
   */
  drop(parcelId, size, day) {
    const sizeIndex = SIZES.findIndex(({ name }) => name === size);
    if (sizeIndex === -1) throw new LockerError('unknown-size', `there is no size "${size}"`);
    if (this.#parcels.has(parcelId)) throw new LockerError('already-here', `parcel "${parcelId}" is already here`);
    const locker = this.#lockers.find((candidate) => candidate.isEmpty && candidate.sizeIndex >= sizeIndex);
    if (locker === undefined) throw new LockerError('full', `no empty locker fits a ${size} parcel`);

    locker.isEmpty = false;
    this.#parcels.set(parcelId, { locker, sizeIndex, day });
    return locker.label;
  }

  /**
   * Takes a parcel out of the wall.
   *
   * @param {string} parcelId
   * @param {number} day
   * @returns {{ locker: string, fee: number }} where it was, and what is to be paid, in cents
   * @throws {LockerError} 'not-here' or 'day-before-drop'
   */
  collect(parcelId, day) {
    const parcel = this.#parcels.get(parcelId);
    if (parcel === undefined) throw new LockerError('not-here', `parcel "${parcelId}" is not here`);
    if (day < parcel.day) throw new LockerError('day-before-drop', `parcel "${parcelId}" came on day ${parcel.day}`);

    parcel.locker.isEmpty = true;
    this.#parcels.delete(parcelId);
    const fee = Math.min(paidDays(parcel, day), MOST_PAID_DAYS) * SIZES[parcel.sizeIndex].centsPerDay;
    return { locker: parcel.locker.label, fee };
  }

  /**
   * Lists the parcels that cost something by now.
   *
   * @param {number} day
   * @returns {string[]} parcel ids, the earliest drop day first
   */
  overdue(day) {
    return [...this.#parcels]
      .filter(([, parcel]) => paidDays(parcel, day) > 0)
      .sort(([, left], [, right]) => left.day - right.day)
      .map(([parcelId]) => parcelId);
  }

  /**
   * Counts the empty lockers.
   *
   * @returns {{ small: number, medium: number, large: number }} a new object at every call
   */
  emptyLockers() {
    const counts = { small: 0, medium: 0, large: 0 };
    for (const { isEmpty, sizeIndex } of this.#lockers) {
      if (isEmpty) counts[SIZES[sizeIndex].name] += 1;
    }
    return counts;
  }
}
