import { describe, expect, test } from 'vitest';
import {
  cumulativeShares,
  histogram,
  normalityMeasures,
  plusMinus,
  smoothness,
} from '../../../workbook/measures/distribution.js';

describe('distributions', () => {
  test('values are written with their deviation', () => {
    expect(plusMinus([1, 2, 3], 1)).toBe('2.0 ± 1.0');
    expect(plusMinus([34.56], 1)).toBe('34.6 (n = 1)');
  });

  test('a histogram is a density: shares of all values by width', () => {
    const rows = histogram([-1, 0, 0.49, 0.5, 1, 7], { from: 0, to: 1, bins: 2 });
    expect(rows).toEqual([
      { value: 0.25, density: 2 / 6 / 0.5 },
      { value: 0.75, density: 1 / 6 / 0.5 },
    ]);
  });

  test('shares rise to one', () => {
    expect(cumulativeShares([3, 1, 2, 1])).toEqual([
      { value: 1, share: 0.25 },
      { value: 1, share: 0.5 },
      { value: 2, share: 0.75 },
      { value: 3, share: 1 },
    ]);
  });

  test('a curve falls smoothly or not', () => {
    expect(smoothness([5, 4, 4.5, 2])).toEqual({
      values: 4,
      falls: 2,
      shareOfFalls: 2 / 3,
      largestRise: 0.5,
    });
    expect(smoothness([3, 2, 1]).largestRise).toBe(0);
  });

  test('numbers are compared with the standard normal', () => {
    // ±1 in turn, in rows of four: variance 1, neighbours opposite, kurtosis that of a coin.
    const measures = normalityMeasures([1, -1, 1, -1, 1, -1, 1, -1], 4);
    expect(measures).toEqual({
      mean: 0,
      meanSquare: 1,
      neighbourCorrelation: -1,
      excessKurtosis: -2,
    });
    // The pair across the end of a row does not count, and a mean is not correlation.
    const { mean: centre, meanSquare } = normalityMeasures([3, 3, 5, 5], 2);
    expect([centre, meanSquare]).toEqual([4, 17]);
    expect(normalityMeasures([3, 3, 5, 5], 2).neighbourCorrelation).toBe(1);
  });
});
