import { expect, test } from 'vitest';
import { normal, randomKey, tf } from '../../src/core/index.js';
import { rmsNorm } from '../../src/core/ops.js';

const numbers = (seed: number, shape: [number, number]): tf.Tensor2D =>
  tf.tensor2d(normal(randomKey(seed), shape[0] * shape[1]), shape);

test('the gradient of the norm by the root mean square is that of its definition', () =>
  tf.tidy(() => {
    const [x, factor] = [numbers(3, [5, 8]), numbers(4, [5, 8])];
    const weight = tf.tensor1d(normal(randomKey(5), 8));
    const plain = (input: tf.Tensor, w: tf.Tensor): tf.Tensor => {
      const root = tf.rsqrt(tf.add(tf.mean(tf.square(input), -1, true), 1e-6));
      return tf.mul(tf.mul(input, root), tf.add(w, 1));
    };
    const loss = (f: typeof plain) => (input: tf.Tensor, w: tf.Tensor) =>
      tf.sum(tf.mul(f(input, w), factor));
    const ours = tf.grads(loss((input, w) => rmsNorm(input as tf.Tensor2D, w as tf.Tensor1D)))([
      x,
      weight,
    ]);
    const theirs = tf.grads(loss(plain))([x, weight]);
    ours.forEach((gradient, i) => {
      const error = tf.max(tf.abs(tf.sub(gradient, theirs[i] as tf.Tensor))).dataSync()[0];
      expect(error).toBeLessThan(1e-5);
    });
  }));
