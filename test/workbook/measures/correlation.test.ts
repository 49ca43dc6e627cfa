import { expect, test } from 'vitest';
import {
  concordantPairs,
  correlation,
  rankCorrelation,
} from '../../../workbook/measures/correlation.js';

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

test('pairs are concordant where the guess has their order; ties of the truth do not count', () => {
  expect(concordantPairs([1, 2, 3], [10, 20, 30])).toEqual({ right: 3, all: 3 });
  expect(concordantPairs([3, 2, 1], [10, 20, 20])).toEqual({ right: 0, all: 2 });
  // A tie of the guess is no order.
  expect(concordantPairs([1, 1], [5, 4])).toEqual({ right: 0, all: 1 });
});
