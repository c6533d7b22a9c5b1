/** A wall of lockers for parcels. Throw a `LockerError` (see `locker-error.js`) for what it refuses. */
export class LockerWall {
  /**
   * @param {{ small: number, medium: number, large: number }} counts how many lockers there are of each size
   */
  constructor(counts) {
    // Think first about what the wall has to remember.
  }

  /**
   * Puts a parcel into the smallest empty locker that fits.
   *
   * @param {string} parcelId
   * @param {string} size 'small', 'medium' or 'large'
   * @param {number} day
   * @returns {string} the label of the locker, such as 'S1'
   */
  drop(parcelId, size, day) {
    throw new Error('drop is not written yet');
  }

  /**
   * Takes a parcel out of the wall.
   *
   * @param {string} parcelId
   * @param {number} day
   * @returns {{ locker: string, fee: number }} where it was, and what is to be paid, in cents
   */
  collect(parcelId, day) {
    throw new Error('collect is not written yet');
  }

  /**
   * Lists the parcels that cost something by now.
   *
   * @param {number} day
   * @returns {string[]} parcel ids, the earliest drop day first
   */
  overdue(day) {
    throw new Error('overdue is not written yet');
  }

  /**
   * Counts the empty lockers.
   *
   * @returns {{ small: number, medium: number, large: number }}
   */
  emptyLockers() {
    throw new Error('emptyLockers is not written yet');
  }
}
