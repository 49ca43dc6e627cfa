import { describe, expect, test } from 'vitest';
import { pairedDifference, unpairedDifference } from '../../../workbook/measures/comparison.js';

describe('a paired difference', () => {
  // Quantiles of Student's t from tables: 12.706, 4.303, 3.182, 2.262 at 97.5 %; 2.920 at 95 %.
  test.each([
    [1, 0.95, 12.7062],
    [2, 0.95, 4.30265],
    [3, 0.95, 3.18245],
    [9, 0.95, 2.26216],
    [2, 0.9, 2.91999],
    [120, 0.95, 1.97993],
  ])('with %i degrees of freedom has the t interval of level %d', (freedom, level, t) => {
    const first = Array.from({ length: freedom + 1 }, (_, i) => i ** 2 / 7);
    const second = first.map((value, i) => value + Math.sin(3 * i));
    const result = pairedDifference(first, second, level);
    const error = result.standardDeviation / Math.sqrt(freedom + 1);
    expect((result.interval[1] - result.mean) / error).toBeCloseTo(t, 3);
    expect(result.interval[0] + result.interval[1]).toBeCloseTo(2 * result.mean, 12);
  });

  test('is of the pairs: a spread that both share does not widen it', () => {
    const result = pairedDifference([10, 20, 30], [11, 22, 33]);
    expect(result).toMatchObject({ count: 3, mean: 2, standardDeviation: 1 });
    // t = 2√3 with 2 degrees of freedom.
    expect(result.p).toBeCloseTo(0.07418, 5);
  });

  test('agrees in its interval and its p', () => {
    const first = [0, 0, 0, 0, 0];
    const second = [0.3, 1.1, 0.9, 2.0, 0.4];
    const { p } = pairedDifference(first, second);
    expect(pairedDifference(first, second, 1 - p).interval[0]).toBeCloseTo(0, 9);
  });

  test('of equal pairs is none, of constant differences certain', () => {
    expect(pairedDifference([1, 2], [1, 2]).p).toBe(1);
    expect(pairedDifference([1, 2], [2, 3]).p).toBe(0);
  });

  test('needs pairs', () => {
    expect(() => pairedDifference([1, 2], [1])).toThrow('Cannot pair 2 values with 1');
    expect(() => pairedDifference([1], [1])).toThrow(RangeError);
    for (const level of [0, 1, 95, Number.NaN]) {
      expect(() => pairedDifference([1, 2], [2, 4], level)).toThrow(`The level is ${level}.`);
    }
  });
});

test("an unpaired difference has Welch's interval", () => {
  // By SciPy's ttest_ind(equal_var=False), 3.82 degrees of freedom.
  const [first, second] = [
    [172.1, 168.0, 180.3],
    [117.2, 109.9, 125.5],
  ];
  const { mean, interval } = unpairedDifference(first, second);
  expect(mean).toBeCloseTo(-55.9333, 3);
  expect(interval[0]).toBeCloseTo(-72.27634, 3);
  expect(interval[1]).toBeCloseTo(-39.59032, 3);
  expect(unpairedDifference(first, second, 0.983).interval[0]).toBeCloseTo(-79.3159, 3);
  expect(() => unpairedDifference([1], [1, 2])).toThrow('Got 1 and 2 values');
});
