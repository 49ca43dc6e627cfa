import { expect, test } from 'vitest';
import { normal, randomKey, tf } from '../../src/core/index.js';
import { rmsNorm } from '../../src/core/ops.js';
import { rotaryOf, rotaryRows, rotated } from '../../src/nn/rotary.js';

const numbers = (seed: number, shape: [number, number]): tf.Tensor2D =>
  tf.tensor2d(normal(randomKey(seed), shape[0] * shape[1]), shape);

test('pairs are turned by their angles', () =>
  tf.tidy(() => {
    const angles = tf.tensor2d([0.3, 0.3, -1.2, -1.2], [1, 4]);
    const turned = rotated(tf.tensor2d([1, 2, 3, 4], [1, 4]), rotaryOf(angles)).dataSync();
    const expected = [
      [1, 2, 0.3],
      [3, 4, -1.2],
    ].flatMap(([a, b, angle]) => [
      a! * Math.cos(angle!) - b! * Math.sin(angle!),
      b! * Math.cos(angle!) + a! * Math.sin(angle!),
    ]);
    turned.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i] as number, 5);
    });
  }));

test('products of queries and keys depend on distances alone', () =>
  tf.tidy(() => {
    const places = tf.tile(tf.reshape(tf.range(0, 12), [12, 1]), [1, 8]);
    const rates = tf.tensor2d([1, 1, 0.3, 0.3, 0.1, 0.1, 0.01, 0.01], [1, 8]);
    const rotary = rotaryOf(tf.mul(places, rates));
    const [query, key] = [numbers(1, [1, 8]), numbers(2, [1, 8])];
    const product = (q: number, k: number): number =>
      tf
        .sum(
          tf.mul(rotated(query, rotaryRows(rotary, q, 1)), rotated(key, rotaryRows(rotary, k, 1))),
        )
        .dataSync()[0] as number;
    expect(product(7, 3)).toBeCloseTo(product(11, 7), 4);
    expect(Math.abs(product(7, 3) - product(7, 4))).toBeGreaterThan(1e-2);
  }));

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
