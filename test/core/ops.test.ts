import { describe, expect, test } from 'vitest';
import { normal, randomKey, tf } from '../../src/core/index.js';
import { attention, gelu, groupNorm, relu, silu } from '../../src/core/ops.js';
import { affineStep } from '../../src/flow/gaussian.js';
import { expectNoTensorsLeft } from '../leaks.js';

function random(seed: number, shape: number[]): tf.Tensor {
  const size = shape.reduce((product, side) => product * side, 1);
  return tf.tensor(normal(randomKey(seed), size), shape);
}

/** Compares the gradients of two functions of the same arguments, weighted at random. */
function expectSameGradients(
  f: (...inputs: tf.Tensor[]) => tf.Tensor,
  reference: (...inputs: tf.Tensor[]) => tf.Tensor,
  inputs: tf.Tensor[],
): void {
  tf.tidy(() => {
    const value = f(...inputs);
    const weights = random(99, value.shape);
    expect(maximum(tf.abs(tf.sub(value, reference(...inputs))))).toBeLessThan(1e-5);
    const [got, expected] = [f, reference].map((one) =>
      tf.grads((...args: tf.Tensor[]) => tf.sum(tf.mul(one(...args), weights)))(inputs),
    ) as [tf.Tensor[], tf.Tensor[]];
    got.forEach((gradient, i) => {
      const scale = 1 + maximum(tf.abs(expected[i]!));
      expect(maximum(tf.abs(tf.sub(gradient, expected[i]!))) / scale).toBeLessThan(1e-5);
    });
  });
}

const maximum = (tensor: tf.Tensor): number => tf.max(tensor).dataSync()[0] as number;

describe('operations with gradients of their own', () => {
  test('relu, and its gradient 0 at 0', () => {
    expectSameGradients(relu, tf.relu, [random(5, [4, 50])]);
    tf.tidy(() => {
      const slope = tf.grad((x: tf.Tensor) => relu(x))(tf.tensor1d([-1, 0, 1e-30, 2]));
      expect([...slope.dataSync()]).toEqual([0, 0, 1, 1]);
    });
  });

  test('gelu, also far out in the tails', () => {
    const reference = (x: tf.Tensor): tf.Tensor =>
      tf.mul(tf.mul(x, 0.5), tf.add(1, tf.erf(tf.div(x, Math.SQRT2))));
    expectSameGradients(gelu, reference, [tf.mul(random(4, [50]), 3)]);
    tf.tidy(() => {
      const tails = gelu(tf.tensor1d([-40, -5, 0, 5, 40])).dataSync();
      expect(tails[0]).toBeCloseTo(0, 6);
      expect(tails[4]).toBeCloseTo(40, 4);
    });
  });

  test('silu, also far out in the tails', () => {
    const reference = (x: tf.Tensor): tf.Tensor => tf.div(x, tf.add(1, tf.exp(tf.neg(x))));
    expectSameGradients(silu, reference, [tf.mul(random(5, [50]), 3)]);
    tf.tidy(() => {
      expect([...silu(tf.tensor1d([-200, 0, 200])).dataSync()]).toEqual([-0, 0, 200]);
    });
  });

  test.each([1, 2, 6])('group normalisation in %i groups, far from zero, too', (groups) => {
    const [batch, height, width, channels] = [2, 3, 5, 6];
    const reference = (...[x, weight, bias]: tf.Tensor[]): tf.Tensor => {
      const grouped = tf.reshape(x!, [batch, height, width, groups, channels / groups]);
      const { mean, variance } = tf.moments(grouped, [1, 2, 4], true);
      const normalised = tf.div(tf.sub(grouped, mean), tf.sqrt(tf.add(variance, 1e-3)));
      return tf.add(tf.mul(tf.reshape(normalised, x!.shape), weight!), bias!);
    };
    const x = tf.add(tf.mul(random(20, [batch, height, width, channels]), 2), 1);
    expectSameGradients(
      (...[given, weight, bias]) =>
        groupNorm(given as tf.Tensor4D, weight as tf.Tensor1D, bias as tf.Tensor1D, groups, 1e-3),
      reference,
      [x, random(21, [channels]), random(22, [channels])],
    );
    tf.tidy(() => {
      const far = tf.add(x, 1000) as tf.Tensor4D;
      const [ones, zeros] = [tf.ones([channels]), tf.zeros([channels])] as tf.Tensor1D[];
      const moved = groupNorm(far, ones!, zeros!, groups);
      const still = groupNorm(x as tf.Tensor4D, ones!, zeros!, groups);
      expect(maximum(tf.abs(tf.sub(moved, still)))).toBeLessThan(1e-3);
    });
  });

  test('the affine step', () => {
    expectSameGradients(
      (x, a, b) => affineStep(x!, a!, b!),
      (x, a, b) => tf.mul(tf.sub(x!, b!), tf.exp(tf.neg(a!))),
      [random(8, [2, 3, 4]), random(9, [2, 3, 4]), random(10, [2, 3, 4])],
    );
  });

  test('attention, with and without a mask, its logits scaled', () => {
    const mask = tf.tensor2d([0, -1e9, -1e9, 0, 0, -1e9, 0, 0, 0], [3, 3]);
    const perSample = tf.tensor4d([0.5, 2], [2, 1, 1, 1]);
    for (const [m, scale] of [
      [undefined, 0.7],
      [mask, perSample],
    ] as const) {
      expectSameGradients(
        (q, k, v) =>
          attention(q as tf.Tensor4D, k as tf.Tensor4D, v as tf.Tensor4D, { scale, mask: m }),
        (q, k, v) => {
          const products = tf.mul(tf.matMul(q!, k!, false, true), scale);
          return tf.matMul(tf.softmax(m ? tf.add(products, m) : products), v!);
        },
        [random(5, [2, 2, 3, 4]), random(6, [2, 2, 3, 4]), random(7, [2, 2, 3, 4])],
      );
    }
  });

  test('nothing leaks', () => {
    const x = random(8, [4, 4]);
    expectNoTensorsLeft();
    tf.tidy(() => {
      gelu(x);
    });
  });
});
