/** The statistics that a measurement is reported with: of values over seeds or images. */

/** The arithmetic mean; NaN of no values. */
export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

/**
 * The standard deviation of the population that the values are a sample of (divided by n − 1); NaN
 * of fewer than two values, which tell nothing about it.
 */
export function standardDeviation(values: ArrayLike<number>): number {
  if (values.length < 2) return Number.NaN;
  const centre = mean(values);
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i]! - centre) ** 2;
  return Math.sqrt(squares / (values.length - 1));
}

/** The standard error of the values' mean; undefined of fewer than two, which tell nothing about it. */
export function standardErrorOfMean(values: ArrayLike<number>): number | undefined {
  if (values.length < 2) return undefined;
  return standardDeviation(values) / Math.sqrt(values.length);
}

/** The mean of values with its standard error, which is absent of fewer than two. */
export function meanWithError(values: ArrayLike<number>): {
  mean: number;
  standardError?: number;
} {
  const standardError = standardErrorOfMean(values);
  return { mean: mean(values), ...(standardError !== undefined && { standardError }) };
}

/**
 * The value below which a share of the values lies, by linear interpolation between neighbours.
 *
 * @param share from 0, the smallest, to 1, the largest
 */
export function quantile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  const place = share * (sorted.length - 1);
  const [below = Number.NaN, above = Number.NaN] = [
    sorted[Math.floor(place)],
    sorted[Math.ceil(place)],
  ];
  return below + (above - below) * (place - Math.floor(place));
}

/** The middle value, or the mean of the two in the middle. */
export function median(values: ArrayLike<number>): number {
  return quantile(values, 0.5);
}

/** The standard error of a share of successes among independent trials, √(p(1 − p)/n). */
export function standardErrorOfShare(share: number, trials: number): number {
  return Math.sqrt((share * (1 - share)) / trials);
}
