import * as os from 'node:os';

/** What a piece of work cost that began at a `performance.now()`, for a claim's record. */
export function costSince(start: number): { seconds: number; cores: number } {
  return {
    seconds: Math.round((performance.now() - start) / 1000),
    cores: os.availableParallelism(),
  };
}

/**
 * The least time that something takes, after a first round that warms up and does not count.
 *
 * @param run what is timed; it ends when its result has been read from the device
 * @returns seconds
 */
export async function leastSeconds(run: () => Promise<void>, repeats: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let repeat = 0; repeat <= repeats; repeat++) {
    const start = performance.now();
    await run();
    if (repeat > 0) least = Math.min(least, (performance.now() - start) / 1000);
  }
  return least;
}
