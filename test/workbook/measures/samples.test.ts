import { describe, expect, test } from 'vitest';
import { crossEntropy, reliability, softmax } from '../../../workbook/measures/classification.js';
import { correlation, rankCorrelation } from '../../../workbook/measures/correlation.js';
import {
  histogram,
  normalityMeasures,
  smoothness,
} from '../../../workbook/measures/distribution.js';

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

/** Scores whose softmax is these probabilities, moved by a constant that must not matter. */
const scoresOf = (...probabilities: number[]) => probabilities.map((p) => Math.log(p) - 1000);

test('probabilities are a softmax, which a constant does not change and a temperature flattens', () => {
  const scores = scoresOf(0.5, 0.25, 0.25);
  [0.5, 0.25, 0.25].forEach((p, i) => {
    expect(softmax(scores)[i]).toBeCloseTo(p, 12);
    // p^(1/T), normalised.
    expect(softmax(scores, 2)[i]).toBeCloseTo(Math.sqrt(p) / (Math.sqrt(0.5) + 1), 12);
  });
});

test('the cross-entropy is the mean of −log p(label), at any temperature', () => {
  const scores = [scoresOf(0.5, 0.5), scoresOf(0.8, 0.2)];
  expect(crossEntropy(scores, [0, 1])).toBeCloseTo(-Math.log(0.5 * 0.2) / 2, 12);
  for (const temperature of [0.3, 1, 4]) {
    const expected = scores.map((row, i) => -Math.log(softmax(row, temperature)[i] as number));
    const mean = ((expected[0] as number) + (expected[1] as number)) / 2;
    expect(crossEntropy(scores, [0, 1], temperature)).toBeCloseTo(mean, 12);
  }
});

test('the calibration error is the mean distance from the diagonal, weighted by images', () => {
  // Three images of confidence 0.8, one of them wrong, and one of confidence 0.6, right.
  const scores = [...Array(3).fill(scoresOf(0.8, 0.2)), scoresOf(0.4, 0.6)];
  const { error, bins } = reliability(scores, [0, 0, 1, 1]);
  expect(bins).toHaveLength(2);
  expect(bins[0]).toMatchObject({ images: 1, accuracy: 1 });
  expect(bins[1]?.accuracy).toBeCloseTo(2 / 3, 12);
  expect(bins[1]?.confidence).toBeCloseTo(0.8, 12);
  expect(error).toBeCloseTo(0.75 * (0.8 - 2 / 3) + 0.25 * 0.4, 12);
  // A probability of 1 falls into the last bin.
  expect(reliability([[0, -1e4]], [0]).bins).toEqual([{ images: 1, confidence: 1, accuracy: 1 }]);
});
