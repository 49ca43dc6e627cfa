/** A range of values in so many bins of equal width. */
export interface Bins {
  from: number;
  to: number;
  bins: number;
}

/**
 * The empirical density of values: the middle of each bin, and the share of all values that lie in
 * it divided by its width. Each bin includes its lower end and not its upper one, so a value equal to `to`
 * is outside. Values outside the bins count among all.
 */
export function histogram(
  values: ArrayLike<number>,
  { from, to, bins }: Bins,
): { value: number; density: number }[] {
  const width = (to - from) / bins;
  const counts = new Float64Array(bins);
  for (let i = 0; i < values.length; i++) {
    const bin = Math.floor((values[i]! - from) / width);
    if (bin >= 0 && bin < bins) counts[bin]! += 1;
  }
  return Array.from(counts, (count, bin) => ({
    value: from + (bin + 0.5) * width,
    density: count / values.length / width,
  }));
}

/** How steadily a curve falls. */
export interface Smoothness {
  /** The number of values. */
  values: number;
  /** How many values are lower than the one before. */
  falls: number;
  /** `falls` as a share of the steps between values. */
  shareOfFalls: number;
  /** The largest rise from one value to the next; 0 where there is none. */
  largestRise: number;
}

/** How steadily a curve of two values or more falls from one to the next. */
export function smoothness(values: readonly number[]): Smoothness {
  const steps = values.slice(1).map((value, i) => value - values[i]!);
  const falls = steps.filter((step) => step < 0).length;
  return {
    values: values.length,
    falls,
    shareOfFalls: falls / steps.length,
    largestRise: Math.max(0, ...steps),
  };
}

/**
 * Whether a training is smooth, as the rule of claim A5 says: each validation is below the one before, and after
 * the warm-up no step has a loss more than `most` above the least one before it. One that ended early, or with a
 * loss that is not finite, is not.
 *
 * @param records of every step, in order
 */
export function isSmooth(
  records: readonly { step: number; loss: number; validation?: { loss: number } | undefined }[],
  { steps, warmupSteps, most }: { steps: number; warmupSteps: number; most: number },
): boolean {
  if (records.length < steps) return false;
  const held = records.flatMap(({ validation }) => (validation ? [validation.loss] : []));
  if (held.some((loss, i) => !(i === 0 || loss < held[i - 1]!))) return false;
  let least = Number.POSITIVE_INFINITY;
  return records.every(({ step, loss }) => {
    const rises = !(loss <= least + most);
    least = Math.min(least, loss);
    return step <= warmupSteps ? Number.isFinite(loss) : !rises;
  });
}
