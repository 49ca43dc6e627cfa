import { describe, expect, test } from 'vitest';
import {
  correlation,
  cumulativeShares,
  histogram,
  mcNemarTest,
  mean,
  median,
  normalityMeasures,
  pairedDifference,
  plusMinus,
  quantile,
  rankCorrelation,
  smoothness,
  standardDeviation,
  standardErrorOfShare,
} from '../../src/evaluation/statistics.js';

describe('values', () => {
  test('have a mean and a deviation', () => {
    expect(mean([2, 4, 9])).toBe(5);
    expect(mean(Float32Array.of(1, 2))).toBe(1.5);
    expect(standardDeviation([2, 4, 9])).toBeCloseTo(Math.sqrt(13), 12);
    expect(standardDeviation([7])).toBeNaN();
    expect(mean([])).toBeNaN();
  });

  test('have quantiles between neighbours, in any order', () => {
    const values = [30, 10, 20, 40];
    expect([0, 0.25, 1].map((share) => quantile(values, share))).toEqual([10, 17.5, 40]);
    expect(median(values)).toBe(25);
    expect(median(Float32Array.of(9, -100, 3))).toBe(3);
    expect(values).toEqual([30, 10, 20, 40]);
    expect(quantile([], 0.5)).toBeNaN();
  });

  test('are written with their deviation', () => {
    expect(plusMinus([1, 2, 3], 1)).toBe('2.0 ± 1.0');
    expect(plusMinus([34.56], 1)).toBe('34.6 (n = 1)');
  });

  test('that are shares have a binomial error', () => {
    expect(standardErrorOfShare(0.8, 400)).toBeCloseTo(0.02, 12);
  });
});

describe('distributions', () => {
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

describe("McNemar's test", () => {
  /** Answers of two classifiers with so many images on which both, one or none are right. */
  function answers(both: number, first: number, second: number, none: number) {
    const of = (...runs: [number, boolean][]) =>
      runs.flatMap(([count, right]) => Array<boolean>(count).fill(right));
    return [
      of([both, true], [first, true], [second, false], [none, false]),
      of([both, true], [first, false], [second, true], [none, false]),
    ] as const;
  }

  test('counts where one alone is right', () => {
    expect(mcNemarTest(...answers(50, 2, 8, 3))).toMatchObject({ onlyFirst: 2, onlySecond: 8 });
  });

  test.each([
    [2, 8, 0.109375], // 2·(1 + 10 + 45)/2¹⁰
    [8, 2, 0.109375],
    [0, 5, 0.0625],
    [5, 5, 1],
    [0, 0, 1],
  ])('finds the exact probability of a split %i to %i', (first, second, p) => {
    expect(mcNemarTest(...answers(20, first, second, 4)).p).toBeCloseTo(p, 10);
  });

  test('approaches the normal one for many images', () => {
    // z = 200/√4000 with the correction of one half: 2·(1 − Φ(3.1465)).
    expect(mcNemarTest(...answers(0, 1900, 2100, 0)).p).toBeCloseTo(0.001652, 5);
  });

  test('needs the same images', () => {
    expect(() => mcNemarTest([true], [])).toThrow('Cannot pair 1 answers with 0');
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
