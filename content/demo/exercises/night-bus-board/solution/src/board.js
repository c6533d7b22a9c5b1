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

const MINUTES_PER_DAY = 24 * 60;

/** A departure further ahead than this has just left and comes again tomorrow. */
const HORIZON_MINUTES = 6 * 60;

const LINE_WIDTH = 4;
const DESTINATION_WIDTH = 16;
const TEXT_WIDTH = 11;

/**
 * Turns a time of day into minutes since midnight.
 *
 * @param {string} time 'HH:MM'
 * @returns {number} 0 to 1439
 */
function minutesSinceMidnight(time) {
  const [hours, minutes] = time.split(':').map(Number);
  return hours * 60 + minutes;
}

/**
 * Counts the minutes from `now` until the clock next shows `time`.
 *
 * @param {string} now time of day, 'HH:MM'
 * @param {string} time time of day, 'HH:MM'
 * @returns {number} 0 to 1439
 */
export function minutesUntil(now, time) {
  const difference = minutesSinceMidnight(time) - minutesSinceMidnight(now);
  return (difference + MINUTES_PER_DAY) % MINUTES_PER_DAY;
}

/**
 * Says how long a wait is, in the words of the sign.
 *
 * @param {number} minutes
 * @returns {string} 'now', '7 min' or '2 h 05 min'
 */
export function waitText(minutes) {
  if (minutes === 0) return 'now';
  if (minutes < 60) return `${minutes} min`;
  const rest = String(minutes % 60).padStart(2, '0');
  return `${Math.floor(minutes / 60)} h ${rest} min`;
}

/**
 * Counts the minutes until a bus leaves; for a cancelled one, until it would have left as planned.
 *
 * @param {Departure} departure
 * @param {string} now time of day, 'HH:MM'
 * @returns {number} 0 to 1439
 */
function waitFor({ time, delay = 0, cancelled = false }, now) {
  // The planned time may lie before `now` and the delayed one after it, so the delay is added before the day wraps around.
  return (minutesUntil(now, time) + (cancelled ? 0 : delay)) % MINUTES_PER_DAY;
}

/**
 * Brings a destination to its width on the sign.
 *
 * @param {string} destination
 * @returns {string} exactly 16 characters
 */
function fitDestination(destination) {
  if (destination.length <= DESTINATION_WIDTH) return destination.padEnd(DESTINATION_WIDTH);
  return `${destination.slice(0, DESTINATION_WIDTH - 1)}…`;
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
  return departures
    .map((departure) => ({ departure, wait: waitFor(departure, now) }))
    .filter(({ wait }) => wait <= HORIZON_MINUTES)
    .toSorted((left, right) => left.wait - right.wait)
    .slice(0, count)
    .map(({ departure, wait }) => {
      const text = departure.cancelled ? 'cancelled' : waitText(wait);
      return departure.line.padEnd(LINE_WIDTH) + fitDestination(departure.destination) + text.padStart(TEXT_WIDTH);
    });
}
