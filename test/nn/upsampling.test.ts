import { beforeAll, expect, test } from 'vitest';
import { startEngine } from '../../src/core/engine.js';
import { normal, randomKey } from '../../src/core/random.js';
import { tf } from '../../src/core/tf.js';
import { doubled } from '../../src/nn/convolution.js';

beforeAll(async () => {
  await startEngine();
});

test('doubling repeats each pixel four times, and its gradient adds the four', () => {
  tf.tidy(() => {
    const x = tf.tensor4d(normal(randomKey(1), 2 * 3 * 4 * 2), [2, 3, 4, 2]);
    const expected = tf.image.resizeNearestNeighbor(x, [6, 8]);
    expect(doubled(x).dataSync()).toEqual(expected.dataSync());
    const weights = tf.tensor4d(normal(randomKey(2), expected.size), [2, 6, 8, 2]);
    const gradient = tf.grad((one) => tf.sum(tf.mul(doubled(one as tf.Tensor4D), weights)))(x);
    const sums = tf.mul(tf.avgPool(weights, 2, 2, 'valid'), 4);
    expect(tf.max(tf.abs(tf.sub(gradient, sums))).dataSync()[0]).toBeLessThan(1e-6);
  });
});
