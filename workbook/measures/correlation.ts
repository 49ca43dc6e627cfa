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
