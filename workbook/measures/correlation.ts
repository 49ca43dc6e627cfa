import { mean } from '../../src/evaluation/index.js';

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
 * import { correlation } from 'tarflow/workbook';
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
    const [x, y] = [value - meanA, b[i]! - meanB];
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

/** How well one quantity orders things by another. */
export interface ConcordantPairs {
  /** Pairs that both put in the same order. */
  right: number;
  /** Pairs that differ in what is to be ordered by. */
  all: number;
}

/**
 * Counts the pairs that a guess puts in their order; ties of the guess count as wrong, and ties of
 * the truth do not count.
 *
 * @param guess a number for each thing, and
 * @param truth likewise
 */
export function concordantPairs(
  guess: readonly number[],
  truth: readonly number[],
): ConcordantPairs {
  let [right, all] = [0, 0];
  for (let i = 0; i < truth.length; i++) {
    for (let j = i + 1; j < truth.length; j++) {
      const difference = truth[i]! - truth[j]!;
      if (difference === 0) continue;
      all++;
      if ((guess[i]! - guess[j]!) * difference > 0) right++;
    }
  }
  return { right, all };
}
