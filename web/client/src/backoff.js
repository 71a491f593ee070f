// Waiting times between attempts to connect, with full jitter.

const CAPS = [100, 200, 500, 1000, 2000, 5000, 10_000];

/** Health of this long makes the next trouble a first one again. */
export const HEALTHY_MS = 10_000;

/** Counts failures and says how long to wait. */
export class Backoff {
  /** @param {() => number} random */
  constructor(random = Math.random) {
    /** @private */ this._random = random;
    this.failures = 0;
  }

  /** Milliseconds until the next attempt; each call counts one failure. */
  next() {
    const cap = CAPS[Math.min(this.failures, CAPS.length - 1)];
    this.failures++;
    return Math.floor(this._random() * cap);
  }

  reset() {
    this.failures = 0;
  }
}
