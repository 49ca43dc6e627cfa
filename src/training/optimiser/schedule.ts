/**
 * Linear warm-up, then a cosine to the floor, set once per step (the published schedule). Between the
 * two the rate may stay at its peak, so that a run whose end is not known yet can go on.
 */
export interface LearningRateSchedule {
  /** Largest learning rate, reached at the end of the warm-up. */
  peak: number;
  /** Steps of warm-up. */
  warmup: number;
  /** Steps at the peak between warm-up and cosine. Default 0. */
  hold?: number | undefined;
  /** Steps in all. */
  steps: number;
  /** Learning rate at which the warm-up begins and to which the cosine falls at k = `steps`. Default 1e-6. */
  floor?: number;
}

/**
 * The learning rate of step k, counted from 0. With a warm-up the first step has the floor, without one
 * the peak.
 */
export function learningRate(schedule: LearningRateSchedule, k: number): number {
  const { peak, warmup, hold = 0, steps, floor = 1e-6 } = schedule;
  if (k < warmup) return floor + (k / warmup) * (peak - floor);
  const begin = warmup + hold;
  const done = Math.min(1, Math.max(0, k - begin) / Math.max(1, steps - begin));
  return floor + 0.5 * (1 + Math.cos(Math.PI * done)) * (peak - floor);
}
