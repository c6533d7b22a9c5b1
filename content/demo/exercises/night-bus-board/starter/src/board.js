/**
 * One departure as the transport company sends it.
 *
 * @typedef {object} Departure
 * @property {string} line name of the line, such as 'N5'
 * @property {string} destination where the bus goes
 * @property {string} time planned time of day, 'HH:MM'
 * @property {number} [delay] minutes; none when missing
 * @property {boolean} [cancelled] not cancelled when missing
 */

/**
 * Counts the minutes from `now` until the clock next shows `time`.
 *
 * @param {string} now time of day, 'HH:MM'
 * @param {string} time time of day, 'HH:MM'
 * @returns {number} 0 to 1439
 */
export function minutesUntil(now, time) {
  throw new Error('minutesUntil is not written yet');
}

/**
 * Says how long a wait is, in the words of the sign.
 *
 * @param {number} minutes
 * @returns {string} 'now', '7 min' or '2 h 05 min'
 */
export function waitText(minutes) {
  throw new Error('waitText is not written yet');
}

/**
 * Makes the lines of the sign, soonest departure first.
 *
 * @param {readonly Departure[]} departures in any order; stays as it is
 * @param {string} now time of day, 'HH:MM'
 * @param {number} count how many lines the sign has
 * @returns {string[]} at most `count` lines of 31 characters
 */
export function boardLines(departures, now, count) {
  throw new Error('boardLines is not written yet');
}
