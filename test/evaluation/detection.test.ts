import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { normal, randomKey, UserError } from '../../src/core/index.js';
import { detection } from '../../src/evaluation/index.js';

/** Few different numbers, so that many are equal. */
const scores = fc.array(fc.integer({ min: -4, max: 4 }), { minLength: 1, maxLength: 12 });
const measured = (inliers: number[], outliers: number[]) => {
  const { auroc, aupr, fpr95 } = detection(inliers, outliers, { draws: 2 });
  return [auroc.value, aupr.value, fpr95.value];
};

test('measures by hand, with ties', () => {
  const [inliers, outliers] = [
    [0.1, 0.4, 0.2, 0.3],
    [0.9, 0.35, 0.8],
  ];
  expect(measured(inliers, outliers)).toEqual([
    expect.closeTo(11 / 12, 12),
    expect.closeTo((1 + 1 + 3 / 4) / 3, 12),
    1 / 4,
  ]);
  // All alike: chance, the share of the outliers, and every inlier.
  expect(measured([1, 1, 1], [1])).toEqual([0.5, 0.25, 1]);
  // 19 of 20 outliers are 95 % of them.
  const most = Array.from({ length: 20 }, (_, i) => (i === 0 ? -9 : 9));
  expect(measured([0, 0, 10], most)[2]).toBeCloseTo(1 / 3, 12);
  expect(measured([Number.NEGATIVE_INFINITY], [Number.POSITIVE_INFINITY])[0]).toBe(1);
});

describe('properties', () => {
  test('auroc is the share of pairs in order, and mirrored where sides change', () => {
    fc.assert(
      fc.property(scores, scores, (inliers, outliers) => {
        const pairs = inliers.flatMap((a) => outliers.map((b) => (b > a ? 1 : b === a ? 0.5 : 0)));
        const share = pairs.reduce<number>((sum, one) => sum + one, 0) / pairs.length;
        expect(measured(inliers, outliers)[0]).toBeCloseTo(share, 10);
        expect(measured(outliers, inliers)[0]).toBeCloseTo(1 - share, 10);
      }),
    );
  });

  test('no measure changes where scores are mapped in order, or come in another order', () => {
    fc.assert(
      fc.property(scores, scores, (inliers, outliers) => {
        const mapped = (all: number[]) => all.map((score) => Math.exp(score) - 3).reverse();
        const values = measured(inliers, outliers);
        expect(measured(mapped(inliers), mapped(outliers))).toEqual(values);
        for (const value of values) {
          expect(value).toBeGreaterThanOrEqual(0);
          expect(value).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  test('the bootstrap has the deviation of the measure over new images', () => {
    const drawn = (seed: number, shift: number) =>
      Array.from(normal(randomKey(seed), 200), (x) => x + shift);
    const values = Array.from({ length: 60 }, (_, i) =>
      measured(drawn(2 * i, 0), drawn(2 * i + 1, 1)),
    ).map(([auroc = 0]) => auroc);
    const mean = values.reduce((sum, value) => sum + value, 0) / 60;
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 59);
    const { standardError: error } = detection(drawn(0, 0), drawn(1, 1)).auroc;
    expect(error / deviation).toBeGreaterThan(0.7);
    expect(error / deviation).toBeLessThan(1.4);
    expect(detection([0, 1], [2, 3]).auroc.standardError).toBe(0);
  });
});

test('no scores, and scores that are no numbers, are refused', () => {
  expect(() => measured([], [1])).toThrow(UserError);
  expect(() => measured([1], [])).toThrow(/1 scores of inliers and 0 of outliers/);
  expect(() => measured([1, Number.NaN], [1])).toThrow(/is NaN/);
});
