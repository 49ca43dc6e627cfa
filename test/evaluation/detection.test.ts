import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { normal, randomKey, UserError } from '../../src/core/index.js';
import {
  auroc,
  averagePrecision,
  detectionError,
  falsePositiveRate,
} from '../../src/evaluation/index.js';

/** Few different numbers, so that many are equal. */
const scores = fc.array(fc.integer({ min: -4, max: 4 }), { minLength: 1, maxLength: 12 });
const measures = { auroc, averagePrecision, falsePositiveRate };

test('measures by hand, with ties', () => {
  const [inliers, outliers] = [
    [0.1, 0.4, 0.2, 0.3],
    [0.9, 0.35, 0.8],
  ];
  expect(auroc(inliers, outliers)).toBeCloseTo(11 / 12, 12);
  expect(averagePrecision(inliers, outliers)).toBeCloseTo((1 + 1 + 3 / 4) / 3, 12);
  expect(falsePositiveRate(inliers, outliers)).toBe(1 / 4);
  // All alike: chance, the share of the outliers, and every inlier.
  expect(auroc([1, 1, 1], [1])).toBe(0.5);
  expect(averagePrecision([1, 1, 1], [1])).toBe(0.25);
  expect(falsePositiveRate([1, 1, 1], [1])).toBe(1);
  // 19 of 20 outliers are 95 % of them.
  const most = Array.from({ length: 20 }, (_, i) => (i === 0 ? -9 : 9));
  expect(falsePositiveRate([0, 0, 10], most)).toBeCloseTo(1 / 3, 12);
  expect(auroc([Number.NEGATIVE_INFINITY], [Number.POSITIVE_INFINITY])).toBe(1);
});

describe('properties', () => {
  test('auroc is the share of pairs in order, and mirrored where sides change', () => {
    fc.assert(
      fc.property(scores, scores, (inliers, outliers) => {
        const pairs = inliers.flatMap((a) => outliers.map((b) => (b > a ? 1 : b === a ? 0.5 : 0)));
        const share = pairs.reduce<number>((sum, one) => sum + one, 0) / pairs.length;
        expect(auroc(inliers, outliers)).toBeCloseTo(share, 10);
        expect(auroc(outliers, inliers)).toBeCloseTo(1 - share, 10);
      }),
    );
  });

  test('no measure changes where scores are mapped in order, or come in another order', () => {
    fc.assert(
      fc.property(scores, scores, (inliers, outliers) => {
        const mapped = (all: number[]) => all.map((score) => Math.exp(score) - 3).reverse();
        for (const measure of Object.values(measures)) {
          const value = measure(inliers, outliers);
          expect(measure(mapped(inliers), mapped(outliers))).toBe(value);
          expect(value).toBeGreaterThanOrEqual(0);
          expect(value).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  test('the bootstrap has the deviation of the measure over new images', () => {
    const drawn = (seed: number, shift: number) =>
      normal(randomKey(seed), 200).map((x) => x + shift);
    const values = Array.from({ length: 60 }, (_, i) =>
      auroc(drawn(2 * i, 0), drawn(2 * i + 1, 1)),
    );
    const mean = values.reduce((sum, value) => sum + value, 0) / 60;
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 59);
    const error = detectionError(auroc, drawn(0, 0), drawn(1, 1));
    expect(error / deviation).toBeGreaterThan(0.7);
    expect(error / deviation).toBeLessThan(1.4);
    expect(detectionError(auroc, [0, 1], [2, 3])).toBe(0);
  });
});

test('no scores, and scores that are no numbers, are refused', () => {
  for (const measure of Object.values(measures)) {
    expect(() => measure([], [1])).toThrow(UserError);
    expect(() => measure([1], [])).toThrow(/1 scores of inliers and 0 of outliers/);
    expect(() => measure([1, Number.NaN], [1])).toThrow(/is NaN/);
  }
});
