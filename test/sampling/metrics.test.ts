import { describe, expect, test } from 'vitest';
import { foldIn, normal, randomKey, tf, UserError } from '../../src/core/index.js';
import {
  convergenceRankingMetric,
  initialGuessingMetric,
  spectralNorm,
} from '../../src/sampling/study/metrics.js';
import { randomImages, smallFlow } from '../flow/small-flow.js';
import { expectNoTensorsLeft } from '../leaks.js';

describe('the spectral norm', () => {
  test.each([
    ['close to one another', [1, 1 - 1e-9, 0.5], 5, 3],
    ['equal', [2, 2, 2, 2], 4, 6],
    ['of very different size', [3e4, 1, 1e-6], 3, 7],
    ['tiny', [1e-160, 1e-161], 2, 2],
    ['huge', [1e160, 1], 2, 3],
    ['many', Array.from({ length: 40 }, (_, i) => 7 - 0.01 * i), 60, 40],
  ])('is the largest singular value: %s', (_, values, rows, columns) => {
    const matrix = withSingularValues(values, rows, columns);
    const norm = spectralNorm(matrix, rows, columns);
    expect(Math.abs(norm / values[0]! - 1)).toBeLessThan(1e-12);
  });

  test('of a vector is its length, of zeros 0, and what is not finite is not hidden', () => {
    expect(spectralNorm([3, 4], 1, 2)).toBeCloseTo(5, 12);
    expect(spectralNorm([3, 4], 2, 1)).toBeCloseTo(5, 12);
    expect(spectralNorm([0, 0, 0, 0], 2, 2)).toBe(0);
    expect(Number.isFinite(spectralNorm([1, Number.POSITIVE_INFINITY], 1, 2))).toBe(false);
    expect(spectralNorm([1, Number.NaN], 1, 2)).toBeNaN();
    expect(() => spectralNorm([1, 2, 3], 2, 2)).toThrow(RangeError);
  });
});

describe('metrics of blocks', () => {
  test('do not depend on how images are batched, and leave no tensors', () => {
    const flow = smallFlow({ classes: 3, blocks: 3 });
    const images = randomImages(flow, 5, 2);
    const label = [0, 1, 2, 1, 0];
    expectNoTensorsLeft();
    const whole = convergenceRankingMetric(flow, images, { label });
    const parts = convergenceRankingMetric(flow, images, { label, batchSize: 2 });
    expect(whole).toHaveLength(3);
    whole.forEach((ranking, block) => {
      expect(ranking.metric / parts[block]!.metric).toBeCloseTo(1, 5);
      expect(ranking.metric).toBe(ranking.spread * ranking.scaleWeight + ranking.shiftWeight);
    });
    expect(whole.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 12);

    const guesses = initialGuessingMetric(flow, images, { label });
    const again = initialGuessingMetric(flow, images, { label, batchSize: 2 });
    guesses.forEach(({ latent, zeros, better }, block) => {
      expect(latent / again[block]!.latent).toBeCloseTo(1, 4);
      expect(better).toBe(zeros < latent ? 'zeros' : 'latent');
    });
    const unlabelled = initialGuessingMetric(flow, images);
    expect(unlabelled[0]!.latent).not.toBeCloseTo(guesses[0]!.latent, 4);
  });

  test('a volume-preserving block ranks by the weights of its shift alone', () => {
    const flow = smallFlow({ volumePreserving: true });
    const images = randomImages(flow, 2, 2);
    for (const ranking of convergenceRankingMetric(flow, images)) {
      expect(ranking.scaleWeight).toBe(0);
      expect(ranking.metric).toBe(ranking.shiftWeight);
    }
  });

  test('images or labels that do not fit are named', () => {
    const flow = smallFlow({ classes: 2 });
    const images = randomImages(flow, 2, 2);
    const wrong = tf.zeros([2, 1, 4, 3]) as tf.Tensor4D;
    const none = tf.zeros([0, 1, 4, 4]) as tf.Tensor4D;
    expectNoTensorsLeft();
    expect(() => convergenceRankingMetric(flow, wrong)).toThrow('(2, 1, 4, 3)');
    expect(() => initialGuessingMetric(flow, none)).toThrow('No images');
    expect(() => initialGuessingMetric(flow, images, { label: [0] })).toThrow(UserError);
    for (const batchSize of [0, -1, 0.5, Number.NaN]) {
      for (const metric of [convergenceRankingMetric, initialGuessingMetric]) {
        expect(() => metric(flow, images, { batchSize })).toThrow(`batch size is ${batchSize}`);
      }
    }
    const broken = tf.tidy(
      () => tf.concat([images, tf.fill([1, 1, 4, 4], Number.NaN)]) as tf.Tensor4D,
    );
    for (const metric of [convergenceRankingMetric, initialGuessingMetric]) {
      expect(() => metric(flow, broken)).toThrow('Image 2 is not finite');
    }
    broken.dispose();
  });
});

/** A matrix, row by row, with these singular values: U·Σ·Vᵀ with random reflections U and V. */
function withSingularValues(
  values: readonly number[],
  rows: number,
  columns: number,
): Float64Array {
  const key = randomKey(rows * 100 + columns);
  const [left, right] = [reflection(foldIn(key, 0), rows), reflection(foldIn(key, 1), columns)];
  return Float64Array.from({ length: rows * columns }, (_, index) => {
    const [i, j] = [Math.floor(index / columns), index % columns];
    return values.reduce((sum, value, k) => sum + left[i]![k]! * value * right[j]![k]!, 0);
  });
}

/** I − 2·v·vᵀ/|v|², an orthogonal matrix. */
function reflection(key: ReturnType<typeof randomKey>, size: number): number[][] {
  const v = Array.from(normal(key, size));
  const square = v.reduce((sum, value) => sum + value * value, 0);
  return v.map((a, i) => v.map((b, j) => (i === j ? 1 : 0) - (2 * a * b) / square));
}
