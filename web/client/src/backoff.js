// Waiting times between attempts to connect, with full jitter.

const CAPS = [100, 200, 500, 1000, 2000, 5000];

/** Health of this long makes the next trouble a first one again. */
export const HEALTHY_MS = 10_000;

/**
 * Counts failures and says how long to wait: `next` gives the milliseconds
 * until the next attempt, each call counts one failure.
 * @param {() => number} random
 */
export function backoff(random) {
  let failures = 0;
  return {
    next: () => Math.floor(random() * (CAPS[failures++] ?? 10_000)),
    reset: () => {
      failures = 0;
    },
  };
}
