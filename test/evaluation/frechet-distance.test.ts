import { describe, expect, test } from 'vitest';
import { normal, randomKey, tf } from '../../src/core/index.js';
import {
  type FeatureStatistics,
  featureStatistics,
} from '../../src/evaluation/feature-statistics.js';
import { frechetDistance } from '../../src/evaluation/frechet-distance.js';
import { expectNoTensorsLeft } from '../leaks.js';

/** Statistics of a Gaussian with the given mean and covariance, row by row. */
function gaussian(mean: number[], covariance: number[]): FeatureStatistics {
  return {
    count: 1000,
    mean: Float64Array.from(mean),
    covariance: Float64Array.from(covariance),
  };
}

/** A product AAᵀ of a random n × rank matrix: symmetric, with `rank` positive eigenvalues. */
function positive(seed: number, n: number, rank = n): Float64Array {
  const a = normal(randomKey(seed), n * rank);
  return Float64Array.from({ length: n * n }, (_, at) => {
    let sum = 0;
    for (let k = 0; k < rank; k++) {
      sum += (a[Math.floor(at / n) * rank + k] as number) * (a[(at % n) * rank + k] as number);
    }
    return sum;
  });
}

describe('the Fréchet distance of Gaussians has a closed form', () => {
  test('with a common rotation: as without it', () => {
    // Q diag(λ) Qᵀ by one rotation in the plane.
    const [c, s] = [Math.cos(0.7), Math.sin(0.7)];
    const rotated = (x: number, y: number) => [
      c * c * x + s * s * y,
      c * s * (x - y),
      c * s * (x - y),
      s * s * x + c * c * y,
    ];
    const distance = frechetDistance(
      gaussian([0, 0], rotated(25, 1)),
      gaussian([0, 0], rotated(4, 9)),
    );
    expect(distance).toBeCloseTo(9 + 4, 12);
  });

  test('in two dimensions: tr (Σ₁Σ₂)^½ is √(tr M + 2√det M), M = Σ₁Σ₂', () => {
    // Covariances that do not commute.
    const [a, b] = [
      [2, 1, 1, 3],
      [5, -2, -2, 1],
    ] as const;
    const trace = a[0] * b[0] + 2 * a[1] * b[1] + a[3] * b[3];
    const determinant = (a[0] * a[3] - a[1] ** 2) * (b[0] * b[3] - b[1] ** 2);
    const root = Math.sqrt(trace + 2 * Math.sqrt(determinant));
    const expected = 2 + 3 + 5 + 1 - 2 * root;
    expect(frechetDistance(gaussian([0, 0], [...a]), gaussian([0, 0], [...b]))).toBeCloseTo(
      expected,
      12,
    );
  });

  test('with Σ₂ = s²Σ₁ of any size and rank: |μ|² + (1 − s)² tr Σ₁', () => {
    for (const [n, rank] of [
      [12, 12],
      [12, 5],
      [40, 40],
    ] as const) {
      const covariance = positive(n + rank, n, rank);
      const mean = Array.from({ length: n }, (_, i) => i / n);
      let [trace, square] = [0, 0];
      for (let i = 0; i < n; i++) {
        trace += covariance[i * n + i] as number;
        square += (i / n) ** 2;
      }
      const distance = frechetDistance(
        gaussian(mean, [...covariance]),
        gaussian(new Array(n).fill(0), [...covariance.map((value) => 2.25 * value)]),
      );
      // In a singular matrix an eigenvalue's rounding error of 1e-16 has a root of 1e-8.
      expect(distance).toBeCloseTo(square + 0.25 * trace, rank < n ? 4 : 8);
    }
  });
});

describe('of features', () => {
  const [count, width] = [300, 6];
  const features = (seed: number, scale = 1) => ({
    data: normal(randomKey(seed), count * width).map((value, i) => scale * value + (i % width)),
    shape: [count, width] as const,
  });

  test('statistics are the mean and the unbiased covariance', () => {
    const {
      count: images,
      mean,
      covariance,
    } = featureStatistics({
      data: [1, 0, 3, 2, 5, 7],
      shape: [3, 2],
    });
    expect(images).toBe(3);
    expect([...mean]).toEqual([3, 3]);
    expect([...covariance]).toEqual([4, 7, 7, 13]);
  });

  test('a tensor and its numbers give the same, and leak nothing', () => {
    const [a, b] = [features(1), features(2)];
    const tensor = tf.tensor2d(a.data, [count, width]);
    expectNoTensorsLeft();
    expect(frechetDistance(tensor, b)).toBe(frechetDistance(a, featureStatistics(b)));
  });

  test('is 0 of a set and itself, symmetric, and grows with the difference', () => {
    const [a, b, wide] = [features(1), features(2), features(3, 2)];
    expect(frechetDistance(a, a)).toBeCloseTo(0, 8);
    expect(frechetDistance(a, b)).toBeCloseTo(frechetDistance(b, a), 8);
    expect(frechetDistance(a, b)).toBeGreaterThan(0);
    // Deviations 1 and 2 in six dimensions: 6, give or take the estimate's error.
    expect(frechetDistance(a, wide)).toBeGreaterThan(4.5);
    expect(frechetDistance(a, wide)).toBeLessThan(7.5);
  });

  test('a feature that never changes, and fewer images than features, are no trouble', () => {
    const flat = features(1);
    for (let i = 0; i < count; i++) flat.data[i * width] = 0;
    expect(frechetDistance(flat, flat)).toBeCloseTo(0, 8);
    const few = { data: normal(randomKey(4), 3 * width), shape: [3, width] as const };
    expect(frechetDistance(few, few)).toBeCloseTo(0, 5);
  });

  test('what has no distance is refused', () => {
    expect(() => featureStatistics({ data: [1, 2], shape: [1, 2] })).toThrow(/two images or more/);
    const broken = features(1);
    broken.data[3 * width + 2] = Number.NaN;
    expect(() => frechetDistance(broken, features(2))).toThrow(/image 3 are not finite/);
    expect(() => frechetDistance(gaussian([0], [1]), features(1))).toThrow(
      /width 1 and of width 6/,
    );
  });
});
