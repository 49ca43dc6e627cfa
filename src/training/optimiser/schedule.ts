/** Linear warm-up, then a cosine to the floor, set once per step (the published schedule). */
export interface LearningRateSchedule {
  /** Largest learning rate, reached at the end of the warm-up. */
  peak: number;
  /** Steps of warm-up. */
  warmup: number;
  /** Steps in all. */
  steps: number;
  /** Learning rate of the first step and of the last. Default 1e-6. */
  floor?: number;
}

/** The learning rate of step k, counted from 0: the first step uses the floor. */
export function learningRate(schedule: LearningRateSchedule, k: number): number {
  const { peak, warmup, steps, floor = 1e-6 } = schedule;
  if (k < warmup) return floor + (k / warmup) * (peak - floor);
  const done = Math.min(1, (k - warmup) / Math.max(1, steps - warmup));
  return floor + 0.5 * (1 + Math.cos(Math.PI * done)) * (peak - floor);
}
