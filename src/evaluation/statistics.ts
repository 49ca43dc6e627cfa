/**
 * The statistics that a measurement is reported with: of values over seeds or images, of two models
 * measured on the same seeds, and of two classifiers asked about the same images.
 */

/** The arithmetic mean; NaN of no values. */
export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] as number;
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
  for (let i = 0; i < values.length; i++) squares += ((values[i] as number) - centre) ** 2;
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

/** “mean ± standard deviation”; of a single value “value (n = 1)”, as its deviation is unknown. */
export function plusMinus(values: readonly number[], digits = 2): string {
  const centre = mean(values).toFixed(digits);
  if (values.length === 1) return `${centre} (n = 1)`;
  return `${centre} ± ${standardDeviation(values).toFixed(digits)}`;
}

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
    const bin = Math.floor(((values[i] as number) - from) / width);
    if (bin >= 0 && bin < bins) counts[bin] = (counts[bin] as number) + 1;
  }
  return Array.from(counts, (count, bin) => ({
    value: from + (bin + 0.5) * width,
    density: count / values.length / width,
  }));
}

/** The empirical distribution: each value, and the share of values up to it, in ascending order. */
export function cumulativeShares(values: ArrayLike<number>): { value: number; share: number }[] {
  const sorted = Float64Array.from(values).sort();
  return Array.from(sorted, (value, i) => ({ value, share: (i + 1) / sorted.length }));
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
  const steps = values.slice(1).map((value, i) => value - (values[i] as number));
  const falls = steps.filter((step) => step < 0).length;
  return {
    values: values.length,
    falls,
    shareOfFalls: falls / steps.length,
    largestRise: Math.max(0, ...steps),
  };
}

/** What tells whether numbers in rows are independent draws from a standard normal distribution. */
export interface NormalityMeasures {
  /** 0 for a standard normal. */
  mean: number;
  /** 1 for a standard normal. */
  meanSquare: number;
  /** Pearson's correlation of each number with the next one in its row; 0 if independent. */
  neighbourCorrelation: number;
  /** 0 for a normal distribution, above it for one with heavy tails. */
  excessKurtosis: number;
}

/**
 * Compares numbers with draws from the standard normal distribution.
 *
 * @param values row by row, for example the rows of images
 * @param width numbers in a row; neighbours are taken within rows
 */
export function normalityMeasures(values: ArrayLike<number>, width: number): NormalityMeasures {
  const centre = mean(values);
  let [square, fourth, product, pairs] = [0, 0, 0, 0];
  for (let i = 0; i < values.length; i++) {
    const centred = (values[i] as number) - centre;
    square += centred ** 2;
    fourth += centred ** 4;
    if (i % width === width - 1) continue;
    product += centred * ((values[i + 1] as number) - centre);
    pairs++;
  }
  const variance = square / values.length;
  return {
    mean: centre,
    meanSquare: variance + centre ** 2,
    neighbourCorrelation: product / pairs / variance,
    excessKurtosis: fourth / values.length / variance ** 2 - 3,
  };
}

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
  if (!(level > 0 && level < 1)) {
    throw new RangeError(`The level is ${level}. Expected a number between 0 and 1, such as 0.95.`);
  }
  const differences = second.map((value, i) => value - (first[i] as number));
  const [centre, deviation] = [mean(differences), standardDeviation(differences)];
  const error = deviation / Math.sqrt(count);
  const reach = tQuantile((1 + level) / 2, count - 1) * error;
  return {
    count,
    mean: centre,
    standardDeviation: deviation,
    interval: [centre - reach, centre + reach],
    p: centre === 0 ? 1 : 1 - withinT(Math.abs(centre) / error, count - 1),
  };
}

/** Two classifiers on the same images: where exactly one of them is right. */
export interface McNemarResult {
  onlyFirst: number;
  onlySecond: number;
  /** The two-sided probability of a split as uneven as this if both are right equally often. */
  p: number;
}

/**
 * McNemar's exact test of two classifiers that saw the same images. Images on which both are right
 * or both are wrong say nothing; of the others a fair coin would decide if neither were better.
 *
 * @param first whether the first classifier is right, image by image
 * @throws RangeError when the lists differ in length
 * @see McNemar (1947), Psychometrika 12
 */
export function mcNemarTest(first: readonly boolean[], second: readonly boolean[]): McNemarResult {
  if (first.length !== second.length) {
    throw new RangeError(
      `Cannot pair ${first.length} answers with ${second.length}. Give both classifiers' answers to the same images.`,
    );
  }
  const only = (here: readonly boolean[], there: readonly boolean[]): number =>
    here.filter((right, i) => right && !there[i]).length;
  const [onlyFirst, onlySecond] = [only(first, second), only(second, first)];
  return { onlyFirst, onlySecond, p: signTest(onlyFirst, onlySecond) };
}

/** The two-sided probability that a fair coin falls as unevenly as this. */
function signTest(heads: number, tails: number): number {
  const tosses = heads + tails;
  let logChoose = 0; // log of C(tosses, k) for k = 0
  let sum = 0;
  for (let k = 0; k <= Math.min(heads, tails); k++) {
    sum += Math.exp(logChoose - tosses * Math.LN2);
    logChoose += Math.log((tosses - k) / (k + 1));
  }
  return Math.min(1, 2 * sum);
}

/**
 * The probability that Student's t lies within ±t, a finite sum for whole degrees of freedom.
 *
 * @see Abramowitz and Stegun (1964), 26.7.3 and 26.7.4
 */
function withinT(t: number, freedom: number): number {
  if (t === Number.POSITIVE_INFINITY) return 1;
  const angle = Math.atan(t / Math.sqrt(freedom));
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)];
  const odd = freedom % 2;
  let term = odd ? cosine : 1;
  let sum = freedom === 1 ? 0 : term;
  for (let k = 2 + odd; k <= freedom - 2; k += 2) {
    term *= ((k - 1) / k) * cosine ** 2;
    sum += term;
  }
  return odd ? (2 / Math.PI) * (angle + sine * sum) : sine * sum;
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

/**
 * Pearson's correlation of two series.
 *
 * @param a at least two numbers, not all equal, and
 * @param b likewise, as many
 * @returns from −1 to 1
 * @throws RangeError for series of other lengths, or one that does not vary
 *
 * @example
 * ```ts
 * import { correlation } from 'tarflow/evaluation';
 *
 * console.log(correlation([1, 2, 3], [2, 4, 7])); // 0.99
 * ```
 */
export function correlation(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length || a.length < 2) {
    throw new RangeError(
      `Series of ${a.length} and ${b.length} numbers came. Expected two or more, as many in both.`,
    );
  }
  const [meanA, meanB] = [mean(a), mean(b)];
  let [product, squareA, squareB] = [0, 0, 0];
  a.forEach((value, i) => {
    const [x, y] = [value - meanA, (b[i] as number) - meanB];
    product += x * y;
    squareA += x * x;
    squareB += y * y;
  });
  if (squareA === 0 || squareB === 0) {
    throw new RangeError('A series of equal numbers came. Expected numbers that vary.');
  }
  return product / Math.sqrt(squareA * squareB);
}

/**
 * Spearman's correlation of two series: that of their ranks, equal numbers sharing theirs.
 *
 * @returns from −1 to 1
 * @throws RangeError as {@link correlation}
 */
export function rankCorrelation(a: readonly number[], b: readonly number[]): number {
  return correlation(ranks(a), ranks(b));
}

function ranks(values: readonly number[]): number[] {
  return values.map((value) => {
    const below = values.filter((other) => other < value).length;
    const equal = values.filter((other) => other === value).length;
    return below + (equal - 1) / 2;
  });
}
