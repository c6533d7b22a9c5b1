/** Thrown for everything that the wall refuses; `code` says why in one word of the statement, `message` in a sentence. */
export class LockerError extends Error {
  /**
   * @param {string} code such as 'full'
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.name = 'LockerError';
    this.code = code;
  }
}
