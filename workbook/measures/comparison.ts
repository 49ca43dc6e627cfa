import { mean, standardDeviation } from '../../src/evaluation/index.js';

/** The difference of two measurements that share their seeds, images or other conditions. */
export interface PairedDifference {
  /** Pairs. */
  count: number;
  /** Mean of the differences, second minus first. */
  mean: number;
  /** Their standard deviation, divided by their number less one. */
  standardDeviation: number;
  /** The t interval of the mean, at the level asked for. */
  interval: readonly [low: number, high: number];
  /** The two-sided probability of a mean this far from 0 if there is no difference (t test). */
  p: number;
}

/**
 * Compares two measurements pair by pair, `second[i] − first[i]`, by Student's t. Differences are
 * taken as independent and roughly normal; with three pairs the interval is as wide as that says.
 *
 * @param level of the interval, default 0.95
 * @throws RangeError when the lists differ in length or have fewer than two values, and for a level that
 *   is not between 0 and 1
 */
export function pairedDifference(
  first: readonly number[],
  second: readonly number[],
  level = 0.95,
): PairedDifference {
  const count = first.length;
  if (second.length !== count || count < 2) {
    throw new RangeError(
      `Cannot pair ${count} values with ${second.length}. Give two lists of the same length, of two values or more.`,
    );
  }
  checkLevel(level);
  const differences = second.map((value, i) => value - first[i]!);
  const [centre, deviation] = [mean(differences), standardDeviation(differences)];
  const error = deviation / Math.sqrt(count);
  const reach = tQuantile((1 + level) / 2, count - 1) * error;
  return {
    count,
    mean: centre,
    standardDeviation: deviation,
    interval: [centre - reach, centre + reach],
    p: centre === 0 ? 1 : Math.max(0, 1 - withinT(Math.abs(centre) / error, count - 1)),
  };
}

/**
 * Compares two sets of trainings that share nothing, `second − first`, by Welch's t interval.
 *
 * @param level of the interval, default 0.95
 * @throws RangeError for fewer than two values in either
 */
export function unpairedDifference(
  first: readonly number[],
  second: readonly number[],
  level = 0.95,
): Pick<PairedDifference, 'mean' | 'interval'> {
  if (Math.min(first.length, second.length) < 2) {
    throw new RangeError(
      `Got ${first.length} and ${second.length} values. Give two or more of each.`,
    );
  }
  checkLevel(level);
  const parts = [first, second].map((values) => standardDeviation(values) ** 2 / values.length);
  const variance = parts.reduce((sum, part) => sum + part, 0);
  const spread = parts.map((part, i) => part ** 2 / ([first, second][i]!.length - 1));
  const freedom = variance ** 2 / spread.reduce((sum, part) => sum + part, 0);
  const centre = mean(second) - mean(first);
  const reach = variance === 0 ? 0 : tQuantile((1 + level) / 2, freedom) * Math.sqrt(variance);
  return { mean: centre, interval: [centre - reach, centre + reach] };
}

function checkLevel(level: number): void {
  if (level > 0 && level < 1) return;
  throw new RangeError(`The level is ${level}. Expected a number between 0 and 1, such as 0.95.`);
}

/** The probability that Student's t lies within ±t, for any degrees of freedom from 1 on. */
function withinT(t: number, freedom: number): number {
  // With t = √ν·tan θ the density is that of θ, in proportion to cos^(ν−1) θ.
  const upTo = (angle: number): number => {
    const steps = 4000;
    const value = (k: number) => Math.cos((k / steps) * angle) ** (freedom - 1);
    let sum = value(0) + value(steps);
    for (let k = 1; k < steps; k++) sum += (k % 2 === 1 ? 4 : 2) * value(k);
    return (angle / steps / 3) * sum;
  };
  return upTo(Math.atan(t / Math.sqrt(freedom))) / upTo(Math.PI / 2);
}

/** The t below which a share of at least one half of Student's distribution lies. */
function tQuantile(share: number, freedom: number): number {
  let [low, high] = [0, 1];
  while (withinT(high, freedom) < 2 * share - 1) high *= 2;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (withinT(middle, freedom) < 2 * share - 1) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
