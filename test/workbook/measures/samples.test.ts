import { describe, expect, test } from 'vitest';
import { correlation, rankCorrelation } from '../../../workbook/measures/correlation.js';
import { histogram, smoothness } from '../../../workbook/measures/distribution.js';

describe('distributions', () => {
  test('a histogram is a density: shares of all values by width', () => {
    const rows = histogram([-1, 0, 0.49, 0.5, 1, 7], { from: 0, to: 1, bins: 2 });
    expect(rows).toEqual([
      { value: 0.25, density: 2 / 6 / 0.5 },
      { value: 0.75, density: 1 / 6 / 0.5 },
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
});

test('correlations are those of their definitions', () => {
  expect(correlation([1, 2, 3, 4], [3, 5, 7, 9])).toBeCloseTo(1, 12);
  expect(correlation([1, 2, 3], [3, 2, 1])).toBeCloseTo(-1, 12);
  // By hand: products 1, squares 5 and 1.
  expect(correlation([0, 1, 2, 3], [0, 1, 0, 1])).toBeCloseTo(1 / Math.sqrt(5), 12);
  expect(rankCorrelation([1, 10, 100, 1000], [2, 3, 50, 51])).toBeCloseTo(1, 12);
  // Equal numbers share their rank: ranks 0.5, 0.5, 2 and 0, 1, 2.
  expect(rankCorrelation([7, 7, 9], [1, 2, 3])).toBeCloseTo(Math.sqrt(3) / 2, 12);
  expect(() => correlation([1, 2], [1])).toThrow(/2 and 1 numbers came/);
  expect(() => correlation([1, 1], [1, 2])).toThrow(/equal numbers came/);
});
